#!/usr/bin/env python3
"""The same work through Sluice, nginx, HAProxy and Envoy in turn: CPU per request, memory, lost requests.

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
from pathlib import Path

sys.dont_write_bytecode = True

import checks  # noqa: E402
import processes  # noqa: E402
import proxies  # noqa: E402
import report  # noqa: E402
import works  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main():
    options = arguments()
    # Each unwinds, so that `finally` ends what was started.
    for number in ENDINGS:
        signal.signal(number, lambda number, _frame: sys.exit(f"ended by {signal.Signals(number).name}"))
    os.sched_setaffinity(0, {options.load_core})
    limit = processes.allow_open_files()
    folder = Path(tempfile.mkdtemp(prefix="sluice-load-"))
    # nginx workers may run as another user.
    folder.chmod(0o711)
    try:
        setting = proxies.Setting(folder, options.proxy_core, options.load_core, options.sluice, options.envoy, limit)
        if options.idle_connections > setting.connections - 100:
            raise SystemExit(f"{limit} open files allow no more than {setting.connections - 100} idle connections")
        setting.start_upstream()
        result = measure(setting, options)
    finally:
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        processes.stop_all()
        if options.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print_tables(result)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if result["wrong"] else 0


def measure(setting, options):
    versions = {name: proxies.PROXIES[name].version(setting) for name in options.proxies}
    result = {"about": about(options, versions), "works": {}, "wrong": []}
    for work_name in options.work:
        work = works.WORKS[work_name]
        rows = {name: [] for name in options.proxies}
        rounds = min(options.rounds, work.max_rounds)
        for number in range(1, rounds + 1):
            for name in options.proxies:
                sample = one(setting, work, name, f"{work_name}-{number}", options, result["wrong"])
                if sample is not None:
                    rows[name].append({"round": number, **sample})
                    progress(work_name, number, rounds, name, sample)
        result["works"][work_name] = {name: samples for name, samples in rows.items() if samples}
    return result


def one(setting, work, name, folder, options, wrong):
    """Starts the proxy, checks, measures, stops it; None when its answers were wrong."""
    proxy = proxies.PROXIES[name](setting, setting.folder / folder / name, work.routes)
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
        "failed": "{} lost", "reloads_live": "{} reloads",
    }
    words = [form.format(sample[key]) for key, form in shown.items() if key in sample]
    words += [f"{kind} {sample[kind]['kib_per_connection']:.2f} KiB" for kind in ("plain", "tls") if kind in sample]
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
    facts = result["about"]
    print(f"{facts['date']}; {facts['processor']}, Linux {facts['kernel']}; "
          f"{facts['rounds']} rounds of {facts['seconds']} s")
    print("; ".join(facts["versions"].values()) + f"; access log: {facts['access_log']}")
    for name, rows in result["works"].items():
        print(f"\n**{name}**: {works.WORKS[name].title}\n")
        print("\n".join(report.markdown(works.WORKS[name].table(rows))))
    for problem in result["wrong"]:
        print(f"WRONG: {problem}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=positive, default=5, help="length of a measured window (5)")
    parser.add_argument("--proxies", type=names(proxies.PROXIES), default=list(proxies.PROXIES),
                        help="comma-separated, of " + ",".join(proxies.PROXIES))
    parser.add_argument("--work", "--only", type=names(works.WORKS), default=["h1", "tls", "idle"],
                        help="comma-separated, of " + ",".join(works.WORKS) + " (h1,tls,idle)")
    parser.add_argument("--idle-connections", type=positive, default=2000, help="for the idle work (2000)")
    parser.add_argument("--sluice", type=Path, default=ROOT / "target/release/sluice",
                        help="its binary (target/release/sluice)")
    parser.add_argument("--envoy", type=Path, help="its binary (what setup.sh installed)")
    parser.add_argument("--proxy-core", type=int, default=0, help="core of the proxy (0)")
    parser.add_argument("--load-core", type=int, default=1, help="core of load generator and upstream (1)")
    parser.add_argument("--json", metavar="FILE", help="write every sample there")
    parser.add_argument("--keep", action="store_true", help="keep the folder of configurations and logs")
    options = parser.parse_args()
    options.sluice = options.sluice.resolve()
    if options.envoy is None:
        options.envoy = next((ROOT / "target/load/envoy").glob("lib/python3*/site-packages/envoy/_bin/envoy"), None)
    for name in ("sluice", "envoy"):
        path = getattr(options, name)
        if name in options.proxies and (path is None or not path.is_file()):
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
