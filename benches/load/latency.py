"""What a proxy adds to the time of a request, at a constant rate far below its limit; see pace.c."""

import os

import checks
import meter
import processes
from checks import PATH

RATE = 2000
CONNECTIONS = 32
POINTS = ("p50", "p90", "p99", "p99.9")


def measure(proxy, options):
    """Microseconds through the proxy less those of the direct way, measured just before and just after."""
    setting = proxy.setting
    window = meter.Window(proxy.process.tree(), [*setting.upstream.tree(), os.getpid()], setting)
    before = _run(proxy, setting.upstream_port, options.seconds / 2, "direct-before")
    through = _run(proxy, proxy.http, options.seconds, "through")
    after = _run(proxy, setting.upstream_port, options.seconds / 2, "direct-after")
    direct = {point: (before[point] + after[point]) / 2 for point in POINTS}
    # The generators come and go, and what they took counts as foreign on their core.
    foreign = window.close()["foreign"][:1]
    lost = sum(run["failed"] + run["refused"] for run in (before, through, after))
    return {
        "direct_us": direct,
        "through_us": {point: through[point] for point in POINTS},
        "added_us": {point: through[point] - direct[point] for point in POINTS},
        "answered": through["answered"],
        "foreign": foreign,
        "complaints": [f"{lost} requests failed"] if lost else [],
    }


def _run(proxy, port, seconds, name):
    numbers = finish(start(proxy, port, RATE, seconds, name), seconds)
    if not numbers["answered"]:
        raise checks.WrongAnswer(f"{proxy.name}: no answer at {RATE} requests a second: {numbers}")
    return numbers


def start(proxy, port, rate, seconds, name, *tokens):
    """`tokens` is a file of them, one a line."""
    argv = [processes.find("pace"), str(port), PATH, str(rate), str(seconds), str(CONNECTIONS), *map(str, tokens)]
    return processes.Process(name, argv, proxy.setting.load_cores, proxy.folder)


def finish(run, seconds):
    """What it printed, by name."""
    run.wait_end(seconds + 30)
    return {line.split()[0]: float(line.split()[1]) for line in run.output_text().splitlines()}
