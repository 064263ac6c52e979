"""Reloads under load: how many requests are lost, and how soon a new route answers."""

import os
import re
import time

import checks
import meter
import processes
from proxies import PATH

RELOADS = 20
SECONDS = 10
ROUTES = 1000
LIVE_WITHIN = 5.0


def routes(generation):
    """The routes of one generation; its last one exists in no other."""
    table = [PATH, *(f"/r/{number}" for number in range(ROUTES - 2))]
    return [*table, f"/generation/{generation}"]


def measure(proxy, options):
    """wrk on one of the routes, without retries, while the routes are replaced again and again.

    A request is lost when its connection breaks before the answer, when it times out, or when its status is
    not 2xx. A client that repeats a GET on a broken kept connection, as RFC 9110 §9.2.2 allows, would not see
    the first kind.
    """
    load = processes.Process(
        "wrk", [processes.find("wrk"), "-t1", "-c64", f"-d{SECONDS + 2}s", "--timeout", "5s", "--latency",
                f"http://127.0.0.1:{proxy.http}/r/{ROUTES // 2}"],
        proxy.setting.load_core, proxy.folder)
    time.sleep(0.5)
    # Generations of processes come and go on the proxy's core; who else was there can only be told of the other.
    window = meter.Window([], [*proxy.setting.upstream.tree(), load.pid, os.getpid()],
                          proxy.setting.proxy_core, proxy.setting.load_core)
    start = time.monotonic()
    live = []
    for generation in range(1, RELOADS + 1):
        begun = time.monotonic()
        proxy.reload(routes(generation))
        if not _answers(proxy, f"/generation/{generation}", begun + LIVE_WITHIN):
            break
        live.append((time.monotonic() - begun) * 1000)
        time.sleep(max(0.0, start + generation * SECONDS / RELOADS - time.monotonic()))
    took = time.monotonic() - start
    foreign = window.close()["foreign"][1]
    load.wait_end(SECONDS + 30)
    text = load.output_text()
    old = checks.get(proxy.http, f"/generation/{len(live) - 1}", None)[0] if live else None
    complaints = []
    if len(live) < RELOADS:
        complaints.append(f"reload {len(live) + 1} was not live within {LIVE_WITHIN} s")
    if took > SECONDS + 1:
        complaints.append(f"the reloads took {took:.1f} s, longer than the load")
    if old != 404:
        complaints.append(f"a route of an earlier generation answers {old}")
    return {
        "complaints": complaints,
        "foreign": [foreign],
        "reloads_live": len(live),
        "live_after_ms": live,
        "requests": int(re.search(r"(\d+) requests in", text)[1]),
        "failed": wrk_failed(text),
        "errors": " ".join(re.findall(r"(?:Socket errors|Non-2xx[^:]*): .*", text)),
        "p99_ms": _milliseconds(re.search(r"99%\s+(\S+)", text)[1]),
        "max_ms": _milliseconds(re.search(r"Latency(?:\s+\S+){2}\s+(\S+)", text)[1]),
    }


def wrk_failed(text):
    """Requests without a 2xx or 3xx answer: broken, timed out, or another status."""
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return (sum(map(int, errors.groups())) if errors else 0) + (int(other[1]) if other else 0)


def _answers(proxy, path, deadline):
    while time.monotonic() < deadline:
        try:
            if checks.get(proxy.http, path, None)[0] == 200:
                return True
        except OSError:
            # Between two generations a fresh connection may be refused; the load counts that.
            pass
        time.sleep(0.003)
    return False


def _milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]
