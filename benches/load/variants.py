"""The same proxy in two settings, compared with itself: many routes and few, two workers and one."""

import contextlib

from checks import PATH

# Each twice, in an order in which a steady drift of the machine cancels out.
ORDER = (0, 1, 1, 0)


def variants(measure, check, *settings, spread=False):
    """CPU per request in the second setting against the first; `settings` are arguments of a `Proxy`.

    With `spread`, proxy, load and upstream may all run on every core.
    """
    def measured(proxy, options):
        proxy.stop()
        samples = ([], [])
        with proxy.setting.spread() if spread else contextlib.nullcontext():
            for place, which in enumerate(ORDER):
                with proxy.beside(f"variant-{place}", **settings[which]) as fresh:
                    check(fresh, options)
                    samples[which].append(measure(fresh, options))
        cpu_us = [sum(sample["cpu_us"] for sample in side) / len(side) for side in samples]
        everything = samples[0] + samples[1]
        return {
            "variants_cpu_us": cpu_us,
            "ratio": cpu_us[1] / cpu_us[0],
            "variants_requests_per_second": [
                sum(sample["requests_per_second"] for sample in side) / len(side) for side in samples],
            "foreign": [max(sample["foreign"][core] for sample in everything) for core in (0, 1)],
            "complaints": [complaint for sample in everything for complaint in sample["complaints"]],
        }

    return measured


def table(number):
    """A list of that many exact paths, the one that is asked for in the middle of it."""
    others = [f"/r/{place}/items" for place in range(number - 1)]
    return [*others[: number // 2], PATH, *others[number // 2:]]
