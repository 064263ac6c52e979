"""Load generators: their command lines, and how to read what they print."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

# wrk's scripts.
BEARERS, PATHS = (Path(__file__).with_name(f"{name}.lua") for name in ("bearers", "paths"))
# What they count: answers by status from 0 on, or requests.
COUNTS = struct.Struct("=1000Q")


@dataclass(frozen=True)
class Generator:
    command: str
    # (proxy, seconds) → arguments
    argv: Callable
    # text → numbers of requests
    failed: Callable
    completed: Callable
    # text → what else was not as it should be
    complaints: Callable = lambda text: []
    # (proxy) → answers by status so far, while it runs; only of a generator that wants refusals
    statuses: Callable = None
    # (proxy) → requests sent so far, while it runs; only of a generator of hits
    sent: Callable = None


def wrk(path, tls, connections=64, upload=False):
    """HTTP/1.1 over connections that stay; `upload` sends 10 MiB with each request."""
    def argv(proxy, seconds):
        url = f"https://127.0.0.1:{proxy.https}{path}" if tls else f"http://127.0.0.1:{proxy.http}{path}"
        script = ("-s", str(proxy.setting.upload_script)) if upload else ()
        return ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", *script, url]

    return Generator("wrk", argv, wrk_failed, wrk_completed)


def bearers(path, kind, status=200, fresh=False):
    """HTTP/1.1 over TLS, 64 connections, the guard's tokens of one kind (`good`, `forged`) in turn; see bearers.lua.

    With another status than 200, it is that one that is wanted.
    """
    refused = status != 200

    def argv(proxy, seconds):
        tls = proxy.refuses_over_tls or status != 401
        origin = f"https://127.0.0.1:{proxy.https}" if tls else f"http://127.0.0.1:{proxy.http}"
        tokens = getattr(proxy.setting.issuer(proxy.guard.algorithm or "RS256"), kind)
        more = [str(tokens), "fresh" if fresh else "same"]
        if refused:
            _counts(proxy).write_bytes(bytes(COUNTS.size))
            more.append(str(_counts(proxy)))
        return ["-t1", "-c64", f"-d{seconds}s", "--timeout", "5s", "-s", str(BEARERS),
                f"{origin}{path}", "--", *more]

    if not refused:
        return Generator("wrk", argv, wrk_failed, wrk_completed)
    # Other statuses are found among the counts.
    return Generator("wrk", argv, wrk_broken, wrk_completed,
                     statuses=lambda proxy: COUNTS.unpack(_counts(proxy).read_bytes()))


def paths(prefix, number):
    """HTTP/1.1 on 64 connections, so many paths in turn that differ in the number at their end; see paths.lua."""
    def argv(proxy, seconds):
        _counts(proxy).write_bytes(bytes(COUNTS.size))
        return ["-t1", "-c64", f"-d{seconds}s", "--timeout", "5s", "-s", str(PATHS), f"http://127.0.0.1:{proxy.http}", "--",
                prefix, str(number), str(_counts(proxy))]

    return Generator("wrk", argv, wrk_failed, wrk_completed,
                     sent=lambda proxy: COUNTS.unpack(_counts(proxy).read_bytes())[0])


def _counts(proxy):
    return proxy.folder / "counts"


def wrk_failed(text):
    """Requests without a 2xx or 3xx answer: broken, timed out, or another status."""
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return wrk_broken(text) + (int(other[1]) if other else 0)


def wrk_broken(text):
    """Requests without any answer."""
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return sum(map(int, errors.groups())) if errors else 0


def wrk_completed(text):
    return int(re.search(r"(\d+) requests in", text)[1])


def h2load(path, connections, streams):
    """HTTP/2 over TLS 1.3."""
    def argv(proxy, seconds):
        return ["-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "--tls13-ciphers=TLS_AES_256_GCM_SHA384",
                "--groups=X25519", f"https://127.0.0.1:{proxy.https}{path}"]

    return Generator("h2load", argv, h2load_failed, h2load_completed)


def h2load_failed(text):
    counts = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
    statuses = re.search(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    return max(map(int, counts.groups())) + sum(map(int, statuses.groups()))


def h2load_completed(text):
    return int(re.search(r"(\d+) succeeded", text)[1])


def connections(path, at_a_time, resumed):
    """A new TLS 1.3 connection for each request, with a full handshake or a resumed session; see connections.c."""
    def argv(proxy, seconds):
        return [str(proxy.https), path, str(at_a_time), str(seconds), "resumed" if resumed else "full"]

    def complaints(text):
        full, again = number(text, "full"), number(text, "resumed")
        # The first ones have nothing to resume.
        others = full - at_a_time if resumed else again
        if others > (full + again) // 1000:
            yield f"{again} sessions resumed of {full + again}"

    return Generator("connections", argv, lambda text: number(text, "failed"),
                     lambda text: number(text, "completed"), complaints)


def number(text, name):
    """Of a line `name number`, as our own generators print them."""
    return int(float(re.search(rf"^{re.escape(name)} ([\d.]+)$", text, re.MULTILINE)[1]))
