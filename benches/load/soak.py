#!/usr/bin/env python3
"""Millions of requests through Sluice while its routes are replaced every few seconds: is anything lost, does memory grow?

HTTP/1.1, HTTP/1.1 over TLS and HTTP/2 at once, in batches with connections of their own. Exits with 1 when a request is
lost, a reload does not become live, or the memory of the last third is more than 5 % above that of the middle third.
"""

import argparse
import datetime
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True

import checks  # noqa: E402
import generators  # noqa: E402
import meter  # noqa: E402
import processes  # noqa: E402
import proxies  # noqa: E402
import setting  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 30
# Tables that follow each other in a circle, so that what a route leaves behind is not taken for growth.
TABLES, ROUTES = 7, 500
GROWTH = 1.05
SAMPLE_EVERY = 0.5


def main():
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(f"ended by {signal.Signals(number).name}"))
    limit = processes.allow_open_files()
    folder = Path(tempfile.mkdtemp(prefix="sluice-soak-"))
    folder.chmod(0o711)
    try:
        shared = setting.Setting(folder, 0, min(1, os.cpu_count() - 1), options.sluice.resolve(), None, limit)
        shared.start_upstream()
        with shared.spread():
            gateway = proxies.Sluice(shared, folder / "sluice", table(0), workers=2)
            gateway.wait_ready()
            soak = Soak(gateway, options)
            soak.run()
    finally:
        processes.stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    problems = soak.problems()
    print(soak.line())
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


def table(generation):
    """Half of the routes stay, the others change with every generation; the last one exists in no other."""
    stay = [f"/r/{place}" for place in range(ROUTES)]
    change = [f"/r/{generation % TABLES}/{place}" for place in range(ROUTES)]
    return [checks.PATH, *stay, *change, f"/generation/{generation}"]


class Soak:
    def __init__(self, gateway, options):
        self._gateway, self._options = gateway, options
        self._generation = 0
        self._wrong = []
        self._completed = self._lost = 0
        # KiB, in the order of time.
        self._rss, self._pss = [], []
        self._reload_at = self._start = time.monotonic()

    def run(self):
        size = max(300, self._options.requests // BATCHES)
        while self._completed + self._lost < self._options.requests:
            self._batch(min(size, max(300, self._options.requests - self._completed - self._lost)))
            # By the end it would fill the disk.
            os.truncate(self._gateway.folder / "logs/access.log", 0)
            print(f"{self._completed:,} requests, {self._lost} lost, {self._generation} reloads, "
                  f"RSS {self._rss[-1] / 1024:.1f} MiB", file=sys.stderr, flush=True)
        self._seconds = time.monotonic() - self._start

    def _batch(self, size):
        """Three generators side by side, and what happens meanwhile."""
        gateway = self._gateway
        plain, tls = (f"{kind}://127.0.0.1:{port}{checks.PATH}"
                      for kind, port in (("http", gateway.http), ("https", gateway.https)))
        loads = []
        for name, part, arguments in (
                ("h1", size - 2 * (size // 4), ("--h1", "-c32", plain)),
                ("tls", size // 4, ("--h1", "-c16", tls)),
                ("h2", size // 4, ("-c4", "-m10", tls))):
            argv = [processes.find("h2load"), "-t1", f"-n{part}", *arguments]
            # A folder for each batch: output is appended.
            folder = gateway.folder / f"load-{self._completed}"
            folder.mkdir(exist_ok=True)
            loads.append((part, processes.Process(name, argv, gateway.setting.load_cores, folder)))
        while not all(load.ended() for _, load in loads):
            self._sample()
            if time.monotonic() >= self._reload_at:
                self._reload()
                self._reload_at += self._options.every
            time.sleep(SAMPLE_EVERY)
        self._sample()
        for part, load in loads:
            text = load.output_text()
            good = part - max(generators.h2load_failed(text), part - generators.h2load_completed(text))
            self._completed += good
            self._lost += part - good

    def _sample(self):
        pids = self._gateway.process.tree()
        self._rss.append(meter.rss_kib(pids))
        self._pss.append(meter.pss_kib(pids))

    def _reload(self):
        self._generation += 1
        self._gateway.reload(table(self._generation))
        deadline = time.monotonic() + 5
        path = f"/generation/{self._generation}"
        try:
            while checks.get(self._gateway.http, path, None)[0] != 200:
                if time.monotonic() > deadline:
                    self._wrong.append(f"reload {self._generation} was not live within 5 s")
                    return
                time.sleep(0.02)
        except OSError as error:
            self._wrong.append(f"reload {self._generation}: {error!r}")

    def problems(self):
        found = list(self._wrong)
        if self._lost:
            found.append(f"{self._lost} requests lost")
        for name, figures in (("RSS", self._rss), ("PSS", self._pss)):
            _, middle, last = thirds(figures)
            if last > middle * GROWTH:
                found.append(
                    f"{name} grew from {middle / 1024:.1f} MiB in the middle third to {last / 1024:.1f} in the last")
        return found

    def line(self):
        """For the README."""
        today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
        rss, pss = (" / ".join(f"{third / 1024:.1f}" for third in thirds(figures)) for figures in (self._rss, self._pss))
        return (f"{today}: {self._completed:,} requests (half HTTP/1.1, a quarter over TLS, a quarter HTTP/2) in "
                f"{self._seconds:.0f} s with {self._generation} reloads of {len(table(0)):,} routes: {self._lost} lost; "
                f"MiB in the first, middle, last third: RSS {rss}, PSS {pss}.")


def thirds(figures):
    """The median of each."""
    if len(figures) < 3:
        raise SystemExit("too short to tell anything about memory: ask for more requests")
    cuts = [len(figures) * part // 3 for part in range(4)]
    return [median(figures[start:end]) for start, end in zip(cuts, cuts[1:])]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000_000, help="how many (10,000,000)")
    parser.add_argument("--every", type=float, default=3.0, metavar="SECONDS", help="between two reloads (3)")
    parser.add_argument("--sluice", type=Path, default=ROOT / "target/release/sluice",
                        help="its binary (target/release/sluice)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
