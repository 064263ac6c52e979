"""Reloads under load: what is lost, what gets slower, and how soon a new route answers."""

import os
import re
import time

import checks
import generators
import idle
import meter
import processes
from checks import PATH

RELOADS = 20
SECONDS = 10
ROUTES = 1000
IDLE = 100
LIVE_WITHIN = 5.0
# Of the same load without reloads, for comparison.
STEADY_SECONDS = 5


def routes(generation):
    """The routes of one generation; its last one exists in no other."""
    table = [PATH, *(f"/r/{number}" for number in range(ROUTES - 2))]
    return [*table, f"/generation/{generation}"]


def measure(proxy, options):
    """wrk on one of the routes, without retries, while the routes are replaced again and again.

    A request is lost when its connection breaks before the answer, when it times out, or when its status is
    not 2xx. A client that repeats a GET on a broken kept connection, as RFC 9110 §9.2.2 allows, would not see
    the first kind. A connection is dropped when it was there before the first reload and is not after the
    last: of those under load, and of others that made one request and are idle.
    """
    steady = _latencies(_steady(proxy))
    resting = idle.connect(proxy, IDLE, None)
    try:
        return _reloading(proxy, steady, resting)
    finally:
        idle.close(resting)


def _steady(proxy):
    load = _load(proxy, STEADY_SECONDS, "steady")
    start = time.monotonic()
    # What the runner does between reloads, it does here too.
    for beat in range(1, STEADY_SECONDS * RELOADS // SECONDS):
        _answers(proxy, "/generation/0", start + LIVE_WITHIN)
        time.sleep(max(0.0, start + beat * SECONDS / RELOADS - time.monotonic()))
    load.wait_end(STEADY_SECONDS + 30)
    return load.output_text()


def _reloading(proxy, steady, resting):
    load = _load(proxy, SECONDS + 2, "reloading")
    time.sleep(0.5)
    # Generations of processes come and go on the proxy's core; who else was there can only be told of the other.
    window = meter.Window([], [*proxy.setting.upstream.tree(), load.pid, os.getpid()], proxy.setting)
    connections = _client_ports(proxy.http)
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
    # The idle ones are among both.
    dropped = len(connections - _client_ports(proxy.http))
    dropped_idle = idle.count_closed(resting)
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
    latencies = _latencies(text)
    return latencies | {
        "complaints": complaints,
        "foreign": [foreign],
        "reloads_live": len(live),
        "live_after_ms": live,
        "requests": generators.wrk_completed(text),
        "failed": generators.wrk_failed(text),
        "errors": " ".join(re.findall(r"(?:Socket errors|Non-2xx[^:]*): .*", text)),
        "connections": len(connections),
        "dropped": dropped,
        "dropped_idle": dropped_idle,
        "steady_p99_ms": steady["p99_ms"],
        "steady_max_ms": steady["max_ms"],
        "p99_ratio": latencies["p99_ms"] / steady["p99_ms"],
    }


def _load(proxy, seconds, name):
    return processes.Process(
        name, [processes.find("wrk"), "-t1", "-c64", f"-d{seconds}s", "--timeout", "5s", "--latency",
               f"http://127.0.0.1:{proxy.http}/r/{ROUTES // 2}"],
        proxy.setting.load_cores, proxy.folder)


def _client_ports(port):
    """The local ports of established connections to that port: each names one connection."""
    with open("/proc/net/tcp", encoding="ascii") as lines:
        rows = [line.split()[1:4] for line in lines][1:]
    return {local for local, remote, state in rows if remote == f"0100007F:{port:04X}" and state == "01"}


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


def _latencies(text):
    return {
        "p99_ms": _milliseconds(re.search(r"99%\s+(\S+)", text)[1]),
        "max_ms": _milliseconds(re.search(r"Latency(?:\s+\S+){2}\s+(\S+)", text)[1]),
    }


def _milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]
