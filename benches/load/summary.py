"""One row for each aim: what every proxy got, what Sluice should reach, and whether it does."""

from dataclasses import dataclass
from statistics import median
from typing import Callable

PEERS = ("nginx", "haproxy", "envoy", "varnish")
TITLES = {"nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy", "varnish": "Varnish", "sluice": "Sluice"}


@dataclass(frozen=True)
class Aim:
    """A figure of a work, and what it should be.

    `at_most` holds against the peer named by `peer` ("best": of all, the one with the lowest median), round by round;
    without a peer it is the figure itself that is held against it, or against `at_least`. Without any there is no aim.
    With `over`, the figure is a ratio to that of another work in the same round.
    """
    title: str
    unit: str
    work: str
    figure: Callable
    digits: int = 2
    over: str = ""
    peer: str = ""
    at_most: float = None
    at_least: float = None
    # A cost that peers can be drawn beside: not a ratio of a proxy to itself, nor a count that may be 0.
    drawn: bool = True


def _cpu(sample):
    return sample["cpu_us"]


def _gib(sample):
    return sample["cpu_s_per_gib"]


AIMS = (
    Aim("HTTP/1.1, 1 KiB", "CPU µs/request", "h1", _cpu, peer="nginx", at_most=1.0),
    Aim("HTTP/1.1 over TLS 1.3, 1 KiB", "CPU µs/request", "tls", _cpu, peer="nginx", at_most=0.9),
    Aim("HTTP/2 over TLS 1.3, 1 KiB", "CPU µs/request", "h2", _cpu, peer="nginx", at_most=1.0),
    Aim("New TLS connection, full handshake", "CPU µs", "handshakes", _cpu, 0, peer="envoy", at_most=0.7),
    Aim("New TLS connection, resumed", "CPU µs", "resumed", _cpu, 0, peer="envoy", at_most=0.7),
    # Beyond the 5 % that are a tie.
    Aim("Resumed against full", "ratio of CPU µs", "resumed", _cpu, over="handshakes", at_most=0.95, drawn=False),
    Aim("10 MiB down", "CPU s/GiB", "large", _gib, peer="best", at_most=1.0),
    Aim("10 MiB down over TLS", "CPU s/GiB", "large-tls", _gib, peer="best", at_most=1.0),
    Aim("10 MiB up", "CPU s/GiB", "upload", _gib, peer="best", at_most=1.0),
    Aim("10 MiB up over TLS", "CPU s/GiB", "upload-tls", _gib),
    Aim("10,000 routes against 10", "ratio of CPU µs/request", "routes", lambda sample: sample["ratio"], 3,
        at_most=1.02, drawn=False),
    Aim("Every request scored against none", "ratio of CPU µs/request", "anomaly", lambda sample: sample["ratio"], 3,
        at_most=1.5, drawn=False),
    Aim("Added latency at 2,000/s, p50", "µs", "latency", lambda sample: sample["added_us"]["p50"], 0,
        peer="best", at_most=1.0),
    Aim("Added latency at 2,000/s, p99", "µs", "latency", lambda sample: sample["added_us"]["p99"], 0,
        peer="best", at_most=1.0),
    Aim("Idle connection", "KiB", "idle", lambda sample: sample["plain"]["kib_per_connection"], at_most=2),
    Aim("Idle connection over TLS", "KiB", "idle", lambda sample: sample["tls"]["kib_per_connection"], at_most=12),
    Aim("20 reloads in 10 s: lost requests", "in each round", "reload", lambda sample: sample["failed"], 0,
        at_most=0, drawn=False),
    Aim("20 reloads in 10 s: dropped connections", "of 164", "reload", lambda sample: sample["dropped"], 0,
        at_most=0, drawn=False),
    Aim("20 reloads in 10 s: p99", "ratio to steady", "reload", lambda sample: sample["p99_ratio"],
        at_most=1.2, drawn=False),
    Aim("TLS, JWT RS256, scope, partner's limit, 100 routes", "CPU µs/request", "jwt-rs256", _cpu, peer="best", at_most=0.5),
    Aim("TLS, JWT ES256, scope, partner's limit, 100 routes", "CPU µs/request", "jwt-es256", _cpu, peer="best", at_most=0.5),
    Aim("TLS, JWT HS256, scope, partner's limit, 100 routes", "CPU µs/request", "jwt-hs256", _cpu, peer="best", at_most=0.8),
    Aim("401: forged RS256 signature (HAProxy: no TLS)", "CPU µs/request", "refuse-401", _cpu, peer="best", at_most=0.7),
    Aim("401: the same, none sent twice", "CPU µs/request", "refuse-401-fresh", _cpu, peer="best", at_most=0.7),
    Aim("429: partner over its limit (nginx: any token)", "CPU µs/request", "refuse-429", _cpu, peer="best", at_most=0.7),
    Aim("429: address over its limit", "CPU µs/request", "refuse-429-address", _cpu, peer="best", at_most=0.7),
    Aim("Answer from memory, 1 KiB", "CPU µs/request", "cache-hit", _cpu, peer="best", at_most=1.0),
    Aim("Answer from memory, 64 KiB", "CPU µs/request", "cache-hit-64k", _cpu, peer="best", at_most=1.0),
    Aim("Beside a noisy partner: lost requests of the others", "in each round", "fairness", lambda sample: sample["failed"], 0,
        at_most=0, drawn=False),
    Aim("Beside a noisy partner: p50 of the others", "ratio to without it", "fairness", lambda sample: sample["p50_ratio"],
        at_most=1.2, drawn=False),
    Aim("Beside a noisy partner: p99 of the others", "ratio to without it", "fairness", lambda sample: sample["p99_ratio"],
        at_most=1.2, drawn=False),
    Aim("Two workers against one", "speed-up that CPU µs/request leaves", "cores", lambda sample: 2 / sample["ratio"],
        at_least=1.9, drawn=False),
)


def middle(aim, result, proxy):
    """The median over the rounds; None when it was not measured. Of what must never happen, the worst round."""
    figures = _rounds(aim, result, proxy).values()
    if not figures:
        return None
    return max(figures) if aim.at_most == 0 else median(figures)


def _rounds(aim, result, proxy):
    """The figure of each round."""
    def of(work):
        return {sample["round"]: aim.figure(sample) for sample in result["works"].get(work, {}).get(proxy, [])}

    figures = of(aim.work)
    if not aim.over:
        return figures
    others = of(aim.over)
    return {number: figure / others[number] for number, figure in figures.items() if others.get(number)}


def best_peer(aim, result):
    figures = {peer: middle(aim, result, peer) for peer in PEERS}
    known = {peer: figure for peer, figure in figures.items() if figure is not None}
    return min(known, key=known.get) if known else None


def lines(result):
    """Header and rows, for `report.markdown`. Works that were not measured are left out."""
    yield ["work", "unit", *TITLES.values(), "Sluice against", "aim", "met"]
    for aim in AIMS:
        figures = [middle(aim, result, proxy) for proxy in TITLES]
        if any(figure is not None for figure in figures):
            yield [aim.title, aim.unit, *(_figure(aim, figure) for figure in figures), *_verdict(aim, result)]


def _figure(aim, figure):
    return "-" if figure is None else f"{figure:.{aim.digits}f}"


def _verdict(aim, result):
    """The last three columns."""
    peer = best_peer(aim, result) if aim.peer == "best" else aim.peer
    ratio = _ratio(aim, result, peer or best_peer(aim, result))
    against = "-" if ratio is None else f"{ratio:.2f} × {TITLES[peer or best_peer(aim, result)]}"
    own = middle(aim, result, "sluice")
    if aim.peer:
        wanted = f"≤ {aim.at_most:g} × {'the best' if aim.peer == 'best' else TITLES[aim.peer]}"
        # As precise as it is shown.
        met = None if ratio is None else round(ratio, 2) <= aim.at_most
    else:
        against = "-" if not aim.drawn else against
        if aim.at_most is None and aim.at_least is None:
            return against, "-", "-"
        wanted = f"≤ {aim.at_most:g}" if aim.at_least is None else f"≥ {aim.at_least:g}"
        met = None
        if own is not None:
            own = round(own, aim.digits)
            met = own <= aim.at_most if aim.at_least is None else own >= aim.at_least
    return against, wanted, "-" if met is None else "yes" if met else "**no**"


def _ratio(aim, result, peer):
    """Median of the ratios of the rounds that both have."""
    own, others = _rounds(aim, result, "sluice"), _rounds(aim, result, peer)
    ratios = [figure / others[number] for number, figure in own.items() if others.get(number, 0) > 0]
    return median(ratios) if ratios else None
