"""Tables of medians, in Markdown. Ratios are taken round by round against nginx of the same round."""

from statistics import median

# Share of a core that others may use in a round before it is marked.
QUIET = 0.10


def noisy(sample):
    return max(sample.get("foreign", [0.0])) > QUIET


def traffic(rows):
    yield ["proxy", "CPU µs/request (min..max)", "× nginx", "user", "requests/s",
           "proxy core busy", "foreign load (proxy, load core)", "noisy rounds"]
    for name, samples in rows.items():
        cpu = [sample["cpu_us"] for sample in samples]
        yield [
            name,
            f"{_figure(median(cpu))} ({_figure(min(cpu))}..{_figure(max(cpu))})",
            _ratio(rows, samples, lambda sample: sample["cpu_us"]),
            f"{median(sample['user_share'] for sample in samples):.0%}",
            f"{median(sample['requests_per_second'] for sample in samples):.0f}",
            f"{median(sample['proxy_core'] for sample in samples):.0%}",
            ", ".join(f"{max(sample['foreign'][core] for sample in samples):.2f}" for core in (0, 1)),
            f"{sum(map(noisy, samples))} of {len(samples)}",
        ]


def idle(rows):
    yield ["proxy", "connections", "plain KiB each", "× nginx", "TLS KiB each", "× nginx",
           "base MiB", "MiB after close (TLS)"]
    for name, samples in rows.items():
        yield [
            name,
            str(samples[0]["connections"]),
            *(cell for kind in ("plain", "tls") for cell in (
                f"{median(sample[kind]['kib_per_connection'] for sample in samples):.2f}",
                _ratio(rows, samples, lambda sample, kind=kind: sample[kind]["kib_per_connection"]))),
            f"{median(sample['plain']['base_kib'] for sample in samples) / 1024:.1f}",
            f"{median(sample['tls']['after_close_kib'] for sample in samples) / 1024:.1f}",
        ]


def reload(rows):
    yield ["proxy", "reloads live", "lost requests (each round)", "of", "p99 ms",
           "longest ms", "live after ms (max)", "foreign load (load core)", "noisy rounds"]
    for name, samples in rows.items():
        live = [took for sample in samples for took in sample["live_after_ms"]]
        yield [
            name,
            ", ".join(str(sample["reloads_live"]) for sample in samples),
            ", ".join(str(sample["failed"]) for sample in samples),
            f"{median(sample['requests'] for sample in samples):.0f}",
            f"{median(sample['p99_ms'] for sample in samples):.1f}",
            f"{max(sample['max_ms'] for sample in samples):.0f}",
            f"{median(live):.0f} ({max(live):.0f})" if live else "never",
            f"{max(sample['foreign'][0] for sample in samples):.2f}",
            f"{sum(map(noisy, samples))} of {len(samples)}",
        ]


def markdown(lines):
    header, *rows = lines
    yield "| " + " | ".join(header) + " |"
    yield "|---" + "|---:" * (len(header) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _figure(value):
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _ratio(rows, samples, value):
    """Median of the ratios of the rounds that both have."""
    by_round = {sample["round"]: value(sample) for sample in rows.get("nginx", [])}
    ratios = [value(sample) / by_round[sample["round"]] for sample in samples if by_round.get(sample["round"])]
    return f"{median(ratios):.2f}" if ratios else "-"
