"""One partner far over its limit beside others within theirs: do the others notice?"""

import os
import time

import checks
import latency
import meter
from guards import Guard
from tokens import PARTNERS

NOISY, QUIET = PARTNERS[0], PARTNERS[1:21]
GUARD = Guard("RS256", permits=100, seconds=1)
# Requests a second of each quiet partner, and of the noisy one.
RATE, NOISE = 50, 5000
TITLE = (f"{len(QUIET)} partners at {RATE} requests a second each beside one at {NOISE}, limit {GUARD.permits} a second each; "
         "JWT RS256, scope, 100 routes, plain TCP")
POINTS = ("p50", "p99")
# Before and after the quiet ones are counted, the noise is there already and still.
MARGIN = 1


def measure(proxy, options):
    """Times and refusals of the quiet partners with the noise, and without it just before and just after, half as long each."""
    setting = proxy.setting
    seconds = 2 * options.seconds
    issuer = setting.issuer(GUARD.algorithm)
    everybody = issuer.good.read_text(encoding="ascii").split()
    quiet, noisy = proxy.folder / "quiet.txt", proxy.folder / "noisy.txt"
    noisy.write_text(f"{everybody[0]}\n", encoding="ascii")
    quiet.write_text("".join(f"{token}\n" for token in everybody[1:1 + len(QUIET)]), encoding="ascii")

    def quietly(name, seconds):
        run = latency.start(proxy, proxy.http, RATE * len(QUIET), seconds, name, quiet)
        numbers = latency.finish(run, seconds)
        if not numbers["answered"]:
            raise checks.WrongAnswer(f"{proxy.name}: quiet partners get no answer: {numbers}")
        return numbers

    window = meter.Window(proxy.process.tree(), [*setting.upstream.tree(), os.getpid()], setting)
    before = quietly("quiet-before", seconds / 2)
    long = seconds + 2 * MARGIN
    noise = latency.start(proxy, proxy.http, NOISE, long, "noise", noisy)
    time.sleep(MARGIN)
    beside = quietly("quiet-beside", seconds)
    noise = latency.finish(noise, long)
    after = quietly("quiet-after", seconds / 2)
    # The generators come and go, and what they took counts as foreign on their core.
    foreign = window.close()["foreign"][:1]
    alone = {point: (before[point] + after[point]) / 2 for point in POINTS}
    failed = int(sum(run["refused"] + run["failed"] for run in (before, beside, after)))
    passed = noise["answered"] / long
    complaints = []
    if failed:
        complaints.append(f"{failed} requests of quiet partners refused or failed")
    if noise["failed"]:
        complaints.append(f"{noise['failed']:.0f} requests of the noisy partner neither answered nor refused")
    # What it may in that time, and what it had saved up.
    if noise["answered"] > GUARD.permits * (long + 2):
        complaints.append(f"{passed:.0f} requests a second of the noisy partner passed")
    return {
        "quiet_us": {point: beside[point] for point in POINTS},
        "alone_us": alone,
        "p50_ratio": beside["p50"] / alone["p50"],
        "p99_ratio": beside["p99"] / alone["p99"],
        "answered": int(before["answered"] + beside["answered"] + after["answered"]),
        "failed": failed,
        "noise_passed": passed,
        "noise_refused": noise["refused"] / long,
        "foreign": foreign,
        "complaints": complaints,
    }
