#!/usr/bin/env python3
"""The same work through Sluice, nginx, HAProxy, Envoy and Varnish in turn: CPU per request, memory, lost requests.

Needs Linux, Python 3.9 and what setup.sh installs. Everything is on loopback. Each proxy runs alone, pinned to
one core; load generator, upstream and this runner share another.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

import checks  # noqa: E402
import picture  # noqa: E402
import processes  # noqa: E402
import proxies  # noqa: E402
import report  # noqa: E402
import setting  # noqa: E402
import summary  # noqa: E402
import works  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main():
    options = arguments()
    if options.samples_from:
        result = json.loads(options.samples_from.read_text(encoding="utf-8"))
    else:
        result = measure(options)
    print_tables(result)
    if options.json:
        write(options.json, json.dumps(result, indent=1) + "\n")
    if options.out:
        write(options.out / "table.md", "\n".join(overview(result)) + "\n")
        write(options.out / "table.svg", picture.svg(result))
    return 1 if result["wrong"] else 0


def measure(options):
    # Each unwinds, so that `finally` ends what was started.
    for number in ENDINGS:
        signal.signal(number, lambda number, _frame: sys.exit(f"ended by {signal.Signals(number).name}"))
    os.sched_setaffinity(0, {options.load_core})
    limit = processes.allow_open_files()
    if options.all:
        # What is missing is said before the first minute, not after the tenth.
        for command in ("nginx", "haproxy", "varnishd", "wrk", "h2load", "nghttp", "openssl", "connections", "pace"):
            processes.find(command)
    folder = Path(tempfile.mkdtemp(prefix="sluice-load-"))
    # nginx workers may run as another user.
    folder.chmod(0o711)
    try:
        shared = setting.Setting(folder, options.proxy_core, options.load_core, options.sluice, options.envoy, limit)
        if options.idle_connections > shared.connections - 100:
            raise SystemExit(f"{limit} open files allow no more than {shared.connections - 100} idle connections")
        shared.start_upstream()
        return rounds(shared, options)
    finally:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        processes.stop_all()
        if options.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def rounds(shared, options):
    versions = {name: proxies.PROXIES[name].version(shared) for name in options.proxies
                if any(name in works.WORKS[work].proxies for work in options.work)}
    result = {"about": about(options, versions), "works": {}, "wrong": []}
    start = time.monotonic()
    for work_name in options.work:
        work = works.WORKS[work_name]
        able = [name for name in options.proxies if name in work.proxies]
        rows = {name: [] for name in able}
        last = min(options.rounds, work.max_rounds)
        for number in range(1, last + 1):
            for name in able:
                sample = one(shared, work, name, f"{work_name}-{number}", options, result["wrong"])
                if sample is not None:
                    rows[name].append({"round": number, **sample})
                    progress(work_name, number, last, name, sample)
        result["works"][work_name] = {name: samples for name, samples in rows.items() if samples}
    result["about"]["minutes"] = round((time.monotonic() - start) / 60, 1)
    return result


def one(shared, work, name, folder, options, wrong):
    """Starts the proxy, checks, measures, stops it; None when its answers were wrong."""
    proxy = proxies.PROXIES[name](shared, shared.folder / folder / name, work.routes, guard=work.guard, cache=work.cache)
    try:
        proxy.wait_ready()
        work.check(proxy, options)
        sample = work.measure(proxy, options)
        wrong.extend(f"{folder} {name}: {complaint}" for complaint in sample["complaints"])
        return sample
    except checks.WrongAnswer as problem:
        wrong.append(f"{folder} {problem}")
        print(f"WRONG {folder} {problem}", file=sys.stderr)
        return None
    finally:
        proxy.stop()


def progress(work, number, rounds, name, sample):
    shown = {
        "cpu_us": "{:.2f} µs/request", "requests_per_second": "{:.0f}/s", "proxy_core": "core {:.0%}",
        "ratio": "ratio {:.3f}", "failed": "{} lost", "dropped": "{} dropped", "reloads_live": "{} reloads",
        "p50_ratio": "p50 × {:.2f}", "p99_ratio": "p99 × {:.2f}", "noise_passed": "{:.0f}/s of the noise passed",
    }
    words = [form.format(sample[key]) for key, form in shown.items() if key in sample]
    words += [f"{kind} {sample[kind]['kib_per_connection']:.2f} KiB" for kind in ("plain", "tls") if kind in sample]
    if "added_us" in sample:
        words.append("added " + ", ".join(f"{point} {sample['added_us'][point]:.0f} µs" for point in ("p50", "p99")))
    if "quiet_us" in sample:
        words.append("quiet " + ", ".join(f"{point} {sample['quiet_us'][point]:.0f} µs" for point in ("p50", "p99")))
    if "foreign" in sample:
        words.append(f"foreign {' + '.join(f'{share:.2f}' for share in sample['foreign'])} cores")
    if report.noisy(sample):
        words.append("NOISY")
    print(f"{work} {number}/{rounds} {name}: {', '.join(words)}", file=sys.stderr, flush=True)


def about(options, versions):
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{len(models)} × {models[0]}" if models else platform.machine(),
        "kernel": platform.release(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "versions": versions,
        "access_log": "sluice: on, to a file; the others: off",
    }


def print_tables(result):
    print("\n".join(overview(result)))
    for name, rows in result["works"].items():
        print(f"\n**{name}**: {works.WORKS[name].title}\n")
        print("\n".join(report.markdown(works.WORKS[name].table(rows))))
    for problem in result["wrong"]:
        print(f"WRONG: {problem}")


def overview(result):
    facts = result["about"]
    yield (f"{facts['date']}; {facts['processor']}, Linux {facts['kernel']}; up to {facts['rounds']} rounds of "
           f"{facts['seconds']} s; {facts['minutes']} minutes; "
           f"{'; '.join(facts['versions'].values())}; access log: {facts['access_log']}.")
    yield ""
    yield from report.markdown(summary.lines(result))
    samples = [sample for rows in result["works"].values() for row in rows.values() for sample in row]
    yield ""
    yield (f"Others took more than {report.QUIET:.0%} of a core in {sum(map(report.noisy, samples))} of {len(samples)} "
           f"measurements. Wrong answers: {len(result['wrong'])}.")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true",
                        help="every work; the table and its picture go to benches/results, all samples to target/load")
    parser.add_argument("--quick", action="store_true",
                        help="one short round of each, to try it: nothing goes to benches/results")
    parser.add_argument("--rounds", type=positive, help="interleaved rounds (5; with --all 4)")
    parser.add_argument("--seconds", type=positive, help="length of a measured window (5; with --all 2)")
    parser.add_argument("--proxies", type=names(proxies.PROXIES), default=list(proxies.PROXIES),
                        help="comma-separated, of " + ",".join(proxies.PROXIES))
    parser.add_argument("--work", "--only", type=names(works.WORKS), default=["h1", "tls", "idle"],
                        help="comma-separated, of " + ",".join(works.WORKS) + " (h1,tls,idle)")
    parser.add_argument("--idle-connections", type=positive, help="for the idle work (2000)")
    parser.add_argument("--sluice", type=Path, default=ROOT / "target/release/sluice",
                        help="its binary (target/release/sluice)")
    parser.add_argument("--envoy", type=Path, help="its binary (what setup.sh installed)")
    parser.add_argument("--proxy-core", type=int, default=0, help="core of the proxy (0)")
    parser.add_argument("--load-core", type=int, default=1, help="core of load generator and upstream (1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every sample there")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="write table.md and table.svg there")
    parser.add_argument("--from", metavar="FILE", type=Path, dest="samples_from",
                        help="measure nothing: tables and picture of the samples in that file")
    parser.add_argument("--keep", action="store_true", help="keep the folder of configurations and logs")
    options = parser.parse_args()
    options.sluice = options.sluice.resolve()
    options.seconds = options.seconds or (1 if options.quick else 2 if options.all else 5)
    options.rounds = options.rounds or (1 if options.quick else 4 if options.all else 5)
    options.idle_connections = options.idle_connections or (500 if options.quick else 2000)
    if options.all:
        options.work = list(works.WORKS)
        options.out = options.out or (ROOT / "target/load/quick" if options.quick else ROOT / "benches/results")
        options.json = options.json or ROOT / "target/load/samples.json"
    if options.envoy is None:
        options.envoy = next((ROOT / "target/load/envoy").glob("lib/python3*/site-packages/envoy/_bin/envoy"), None)
    for name in ("sluice", "envoy"):
        path = getattr(options, name)
        if not options.samples_from and name in options.proxies and (path is None or not path.is_file()):
            where = f" at {path}" if path else ": run benches/load/setup.sh"
            parser.error(f"no {name} binary{where}; leave it out with --proxies")
    return options


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def names(known):
    def parse(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown: {name} (known: {', '.join(known)})")
        return chosen

    return parse


if __name__ == "__main__":
    sys.exit(main())
