"""The kinds of work. A new kind is one entry of `WORKS`."""

import os
import re
import time
from dataclasses import dataclass
from typing import Callable

import checks
import idle
import meter
import processes
import reloads
import report
from proxies import CATCH_ALL, PATH

# Connecting, handshakes and first requests stay outside the window that is measured.
WARM_UP = 0.6
TAIL = 0.4


@dataclass(frozen=True)
class Work:
    title: str
    # (proxy, options) → None; raises WrongAnswer.
    check: Callable
    # (proxy, options) → a sample: what one round found, as plain values for --json.
    measure: Callable
    # The columns of its table; see report.py.
    table: Callable
    # Exact paths to route, or CATCH_ALL.
    routes: object = CATCH_ALL
    # More rounds than this say nothing new.
    max_rounds: int = 1000


@dataclass(frozen=True)
class Generator:
    """A load generator: its command line, and how to read the number of its failed requests."""

    command: str
    argv: Callable
    failed: Callable
    completed: Callable


def wrk(path, tls, connections=64, extra=()):
    def argv(proxy, seconds):
        url = f"https://127.0.0.1:{proxy.https}{path}" if tls else f"http://127.0.0.1:{proxy.http}{path}"
        return ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", *extra, url]

    return Generator("wrk", argv, reloads.wrk_failed, lambda text: int(re.search(r"(\d+) requests in", text)[1]))


def h2load(path, connections, streams):
    def argv(proxy, seconds):
        return ["-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "--tls13-ciphers=TLS_AES_256_GCM_SHA384",
                "--groups=X25519", f"https://127.0.0.1:{proxy.https}{path}"]

    def failed(text):
        counts = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
        statuses = re.search(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
        return max(map(int, counts.groups())) + sum(map(int, statuses.groups()))

    return Generator("h2load", argv, failed, lambda text: int(re.search(r"(\d+) succeeded", text)[1]))


def traffic(generator, whole_run=False):
    """CPU per request under full load.

    Requests are counted by the upstream inside the window, so that what never reached it is not counted.
    `whole_run` takes the generator's count and the whole run instead: for answers so large that a window
    cuts through many of them.
    """
    def measure(proxy, options):
        setting = proxy.setting
        seconds = options.seconds + (0 if whole_run else 1)
        count = checks.UpstreamCount(setting.status_port)
        pids = proxy.process.tree()
        first = before = count.read()
        load = processes.Process(
            generator.command, [processes.find(generator.command), *generator.argv(proxy, seconds)],
            setting.load_core, proxy.folder, {"OPENSSL_CONF": str(setting.client_tls)})
        if not whole_run:
            time.sleep(WARM_UP)
            before = count.read()
        others = [*setting.upstream.tree(), load.pid, os.getpid()]
        window = meter.Window(pids, others, setting.proxy_core, setting.load_core)
        if whole_run:
            load.wait_end(seconds + 30)
        else:
            time.sleep(seconds - WARM_UP - TAIL)
        sample = window.close()
        after = count.read()
        load.wait_end(seconds + 30)
        text = load.output_text()
        all_requests = count.read()[1] - first[1]
        count.close()
        completed = generator.completed(text)
        requests = completed if whole_run else after[1] - before[1]
        if requests <= 0:
            raise checks.WrongAnswer(f"{proxy.name}: no request completed under load:\n{text}")
        upstream_connections, failed = after[0] - before[0], generator.failed(text)
        complaints = []
        if failed:
            complaints.append(f"{failed} failed requests")
        if upstream_connections > max(64, requests // 100):
            complaints.append(f"{upstream_connections} new upstream connections for {requests} requests")
        # Only what was in flight at the end may differ.
        if abs(all_requests - completed) > 128:
            complaints.append(f"{completed} answers to the client, {all_requests} from the upstream")
        return sample | {
            "requests": requests,
            "cpu_us": sample["proxy_cpu_ns"] / 1000 / requests,
            "requests_per_second": requests / sample["seconds"],
            "failed": failed,
            "upstream_connections": upstream_connections,
            "complaints": complaints,
        }

    return measure


def answers(path=PATH, tls=False):
    return lambda proxy, options: checks.keep_alive(proxy, path, _body(proxy, path), tls)


def _body(proxy, path):
    if path == "/10m":
        return (proxy.setting.folder / "upstream" / "10m").read_bytes()
    return proxy.setting.body


def both(proxy, options):
    answers()(proxy, options)
    answers(tls=True)(proxy, options)


WORKS = {
    "h1": Work(
        "HTTP/1.1 keep-alive, 64 connections, 1 KiB JSON",
        answers(), traffic(wrk(PATH, tls=False)), report.traffic),
    "tls": Work(
        "HTTP/1.1 keep-alive over TLS 1.3 (ECDSA P-256, AES-256-GCM), 64 connections, 1 KiB JSON",
        answers(tls=True), traffic(wrk(PATH, tls=True)), report.traffic),
    "h2": Work(
        "HTTP/2 over TLS 1.3, 8 connections of 10 streams, 1 KiB JSON",
        lambda proxy, options: checks.http2(proxy, PATH, proxy.setting.body),
        traffic(h2load(PATH, connections=8, streams=10)), report.traffic),
    "handshakes": Work(
        "New TLS 1.3 connection (full handshake, no resumption) and one 1 KiB request, 64 at a time",
        answers(tls=True), traffic(wrk(PATH, tls=True, extra=("-H", "Connection: close"))), report.traffic),
    "large": Work(
        "10 MiB answer, HTTP/1.1 keep-alive, 8 connections",
        answers("/10m"), traffic(wrk("/10m", tls=False, connections=8), whole_run=True), report.traffic),
    "large-tls": Work(
        "10 MiB answer, HTTP/1.1 keep-alive over TLS 1.3, 8 connections",
        answers("/10m", tls=True), traffic(wrk("/10m", tls=True, connections=8), whole_run=True), report.traffic),
    "idle": Work(
        "Idle connections that made one request each",
        both, idle.measure, report.idle, max_rounds=3),
    "reload": Work(
        f"{reloads.RELOADS} reloads in {reloads.SECONDS} s under load, {reloads.ROUTES} routes, 64 connections",
        both, reloads.measure, report.reload, routes=reloads.routes(0), max_rounds=3),
}
