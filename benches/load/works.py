"""The kinds of work. A new kind is one entry of `WORKS`."""

from dataclasses import dataclass, replace
from typing import Callable

import caches
import checks
import fairness
import idle
import latency
import reloads
import report
from checks import PATH
from generators import bearers, connections, h2load, paths, wrk
from guards import Guard
from proxies import CATCH_ALL, PROXIES
from tokens import PARTNERS
from traffic import hits, refusals, traffic
from variants import table, variants


# Without those that do nothing but keep answers.
FORWARDING = tuple(name for name, proxy in PROXIES.items() if not proxy.only_caches)


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
    # What stands before the routes.
    guard: Guard = None
    # Size of the answers that are kept in memory.
    cache: str = None
    # Who can do it.
    proxies: tuple = FORWARDING


def answers(path=PATH, tls=False):
    return lambda proxy, options: checks.keep_alive(proxy, path, _body(proxy, path), tls)


def scored(measure):
    """With anomaly checks, after what is usual was learned at the pace at which it is measured: what is unusual costs more."""
    def measured(proxy, options):
        if not proxy.anomaly:
            return measure(proxy, options)
        measure(proxy, options)
        checks.model_made(proxy)
        before = checks.scored(proxy)
        sample = measure(proxy, options)
        number, unusual = (after - before for after, before in zip(checks.scored(proxy), before))
        if number < sample["requests"] or unusual > 0.05 * number:
            sample["complaints"].append(f"{number} of {sample['requests']} requests scored, {unusual} of them unusual")
        return sample

    return measured


def takes(tls):
    return lambda proxy, options: checks.upload(proxy, proxy.setting.large.read_bytes(), tls)


def _body(proxy, path):
    return proxy.setting.large.read_bytes() if path == "/10m" else proxy.setting.body


def both(proxy, options):
    answers()(proxy, options)
    answers(tls=True)(proxy, options)


def resumes(proxy, options):
    """With one worker, and from any to any of two."""
    answers(tls=True)(proxy, options)
    checks.resumption(proxy)
    with proxy.beside("two-workers", workers=2) as two:
        checks.resumption(two)


def guarded(proxy, options):
    """Tokens, scope and limit; with a limit that is never reached and with one that is at once."""
    if proxy.verifies_tokens:
        with proxy.beside("never-over", guard=Guard(proxy.guard.algorithm)) as ample:
            checks.identity(ample)
    with proxy.beside("soon-over", guard=replace(proxy.guard, permits=1, seconds=3600)) as strict:
        checks.limit(strict)


def limited(proxy, options):
    """By address, so that one request is all there is."""
    with proxy.beside("another") as fresh:
        checks.statuses(fresh, None, (429,) * 3)


def chain(algorithm):
    return Work(
        f"TLS 1.3, JWT {algorithm} of {len(PARTNERS)} partners in turn, scope, limit for each partner, 100 routes; "
        "64 connections, 1 KiB JSON",
        guarded, traffic(bearers(PATH, "good")), report.traffic, routes=GUARDED, max_rounds=3,
        guard=Guard(algorithm), proxies=VERIFYING)


def forged(title, fresh):
    return Work(
        f"401: TLS 1.3, 64 connections, RS256 tokens with a forged signature, {title}; HAProxy: plain TCP",
        guarded, refusals(bearers(PATH, "forged", 401, fresh), 401), report.traffic, routes=GUARDED, max_rounds=3,
        guard=Guard("RS256"), proxies=VERIFYING)


def from_memory(size, shown):
    prefix = f"/cached/{size}/"
    every = [f"{prefix}{number}" for number in range(caches.ANSWERS)]
    return Work(
        f"Hits: {caches.ANSWERS} answers of {shown} in turn from memory, HTTP/1.1 keep-alive, 64 connections",
        lambda proxy, options: checks.kept(proxy, every, proxy.setting.cached[size]),
        hits(paths(prefix, caches.ANSWERS)), report.traffic, cache=size, proxies=tuple(PROXIES))


def large(path, tls, check, upload=False):
    return {
        "check": check,
        "measure": traffic(wrk(path, tls, connections=8, upload=upload), whole_run=True, mib=10),
        "table": report.large,
        "max_rounds": 3,
    }


# 100 routes; what the other one answers is what the upstream saw of the credential.
GUARDED = [*table(99), "/credential"]
VERIFYING = tuple(name for name, proxy in PROXIES.items() if proxy.verifies_tokens)

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
        "New TLS 1.3 connection (full handshake) and one 1 KiB request, 64 at a time",
        answers(tls=True), traffic(connections(PATH, at_a_time=64, resumed=False)), report.traffic),
    "resumed": Work(
        "New TLS 1.3 connection (session resumed by the ticket of the one before) and one 1 KiB request, 64 at a time",
        resumes, traffic(connections(PATH, at_a_time=64, resumed=True)), report.traffic),
    "large": Work(
        "10 MiB answer, HTTP/1.1 keep-alive, 8 connections",
        **large("/10m", tls=False, check=answers("/10m"))),
    "large-tls": Work(
        "10 MiB answer, HTTP/1.1 keep-alive over TLS 1.3, 8 connections",
        **large("/10m", tls=True, check=answers("/10m", tls=True))),
    "upload": Work(
        "10 MiB request body, HTTP/1.1 keep-alive, 8 connections",
        **large("/upload", tls=False, check=takes(tls=False), upload=True)),
    "upload-tls": Work(
        "10 MiB request body, HTTP/1.1 keep-alive over TLS 1.3, 8 connections",
        **large("/upload", tls=True, check=takes(tls=True), upload=True)),
    "routes": Work(
        "10,000 routes against 10, HTTP/1.1 keep-alive, 64 connections, 1 KiB JSON",
        answers(),
        variants(traffic(wrk(PATH, tls=False)), answers(), {"routes": table(10)}, {"routes": table(10_000)}),
        report.routes, max_rounds=3),
    "anomaly": Work(
        "`anomaly: observe` against none, HTTP/1.1 keep-alive, 64 connections, 1 KiB JSON",
        answers(),
        variants(scored(traffic(wrk(PATH, tls=False))), answers(), {"anomaly": False}, {"anomaly": True}),
        report.anomaly, max_rounds=3, proxies=("sluice",)),
    "latency": Work(
        f"Time added to a request at a constant {latency.RATE} a second, {latency.CONNECTIONS} connections, 1 KiB JSON",
        answers(), latency.measure, report.latency),
    "idle": Work(
        "Idle connections that made one request each",
        both, idle.measure, report.idle, max_rounds=2),
    "reload": Work(
        f"{reloads.RELOADS} reloads in {reloads.SECONDS} s under load, {reloads.ROUTES} routes, 64 connections",
        both, reloads.measure, report.reload, routes=reloads.routes(0), max_rounds=2),
    "cores": Work(
        "Two workers against one, HTTP/1.1 keep-alive, 64 connections, 1 KiB JSON; everybody on both cores",
        answers(),
        variants(traffic(wrk(PATH, tls=False)), answers(), {"workers": 1}, {"workers": 2}, spread=True),
        report.cores, max_rounds=3),
    "jwt-rs256": chain("RS256"),
    "jwt-es256": chain("ES256"),
    "jwt-hs256": chain("HS256"),
    "refuse-401": forged(f"{len(PARTNERS)} of them in turn", fresh=False),
    "refuse-401-fresh": forged("none sent twice", fresh=True),
    "refuse-429": Work(
        f"429: TLS 1.3, 64 connections, {len(PARTNERS)} partners by JWT RS256, each over its limit; "
        "nginx: by the field, unverified",
        guarded, refusals(bearers(PATH, "good", 429), 429, passed=len(PARTNERS)), report.traffic, routes=GUARDED,
        max_rounds=3, guard=Guard("RS256", 1, 3600)),
    "refuse-429-address": Work(
        "429: TLS 1.3, 64 connections, limit by client address, nobody asked who they are",
        limited, refusals(bearers(PATH, "good", 429), 429, passed=1), report.traffic, routes=GUARDED, max_rounds=3,
        guard=Guard("", 1, 3600)),
    "cache-hit": from_memory("1k", "1 KiB"),
    "cache-hit-64k": from_memory("64k", "64 KiB"),
    "fairness": Work(
        fairness.TITLE, guarded, fairness.measure, report.fairness, routes=GUARDED, max_rounds=3,
        guard=fairness.GUARD, proxies=VERIFYING),
}
