#!/usr/bin/env python3
"""User instructions and allocations of whole requests through the release binary, counted by callgrind.

Compares with what baseline.json records and fails when a request costs more; `--record` writes the file anew.
Counts hardly depend on the machine, so that they can gate a change where times could not. Needs valgrind.
"""

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benches/load"))

import clients  # noqa: E402
import tokens  # noqa: E402
import upstream  # noqa: E402

BASELINE = Path(__file__).with_name("baseline.json")

WARM_UP, COUNTED = 300, 1000

# Instructions may vary a little with the C library and the processor. What the gateway does once a second comes more often among a thousand requests
# on a slow machine; an allocation that every request makes is a whole one.
TOLERANCE = 0.04
ALLOCATIONS = 0.5

# What Rust calls of the allocator; what it calls itself is not counted twice.
ALLOCATING = {"mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned", "mi_malloc", "mi_zalloc", "mi_realloc"}

GATEWAY = """
version: 1
threads: 1
listeners:
  - {{ name: http, address: "127.0.0.1:{http}" }}
  - {{ name: https, address: "127.0.0.1:{https}", tls: {{ certificates: [{{ certificate: {folder}/cert.pem, key: {folder}/key.pem }}] }} }}
admin: {{ address: "127.0.0.1:{admin}" }}
routes: {folder}/routes.yaml
access_log: {{ target: {folder}/logs/access.log }}
"""

ROUTES = """
version: 1
upstreams: {{ origin: {{ endpoints: ["127.0.0.1:{upstream}"] }} }}
issuers:
  bench: {{ issuer: "{issuer}", audiences: [{audience}], jwks: {{ file: {jwks} }}, algorithms: [RS256] }}
plans:
  large: {{ rate_limit: 1000000/s, concurrency: 1000 }}
  small: {{ rate_limit: 1/h }}
partners:
  quiet: {{ plan: large }}
  noisy: {{ plan: small }}
anomaly: {{ warm_up: 256 }}
routes:
  - name: guarded
    match: {{ path: "/guarded/{{rest...}}" }}
    auth: {{ issuer: bench, scopes: {{ all_of: ["{scope}"] }} }}
    upstream: origin
  - name: own
    match: {{ path: "/own/{{rest...}}" }}
    auth: {{ issuer: bench, scopes: {{ all_of: ["{scope}"] }} }}
    upstream: origin
    cache: {{ ttl: 1h }}
  - {{ name: kept, match: {{ path: "/kept/{{rest...}}" }}, auth: none, upstream: origin, cache: {{ ttl: 1h }} }}
  - {{ name: watched, match: {{ path: "/watched/{{rest...}}" }}, auth: none, upstream: origin, anomaly: observe }}
  - {{ name: pingora, match: {{ path: "/pingora/{{rest...}}" }}, auth: none, upstream: origin, engine: pingora }}
  - {{ name: rest, match: {{ path: "/{{rest...}}" }}, auth: none, upstream: origin }}
"""

# (ports, issuer, origin) → a client.
WORKS = {
    "GET over HTTP/1.1": lambda ports, **_: clients.Http1(ports["http"], "GET", "/orders/42"),
    "POST of 200 bytes over HTTP/1.1": lambda ports, **_: clients.Http1(ports["http"], "POST", "/orders", b"x" * 200),
    "GET over HTTP/1.1 and TLS": lambda ports, **_: clients.Http1(ports["https"], "GET", "/orders/42", tls=True),
    "GET over HTTP/2 and TLS": lambda ports, **_: clients.Http2(ports["https"], "/orders/42"),
    "GET over HTTP/1.1, engine: pingora": lambda ports, **_: clients.Http1(ports["http"], "GET", "/pingora/orders/42"),
    "GET, known RS256 token, scope, plan": lambda ports, issuer, **_: known(ports["http"], issuer),
    "GET over TLS, token, scope, plan": lambda ports, issuer, **_: known(ports["https"], issuer, tls=True),
    "GET over HTTP/1.1, from the cache": lambda ports, origin, **_: Kept(
        clients.Http1(ports["http"], "GET", "/kept/42"), origin),
    "GET over HTTP/2 and TLS, from the cache": lambda ports, origin, **_: Kept(
        clients.Http2(ports["https"], "/kept/42"), origin),
    "GET, known token, from the cache": lambda ports, issuer, origin: Kept(
        clients.Http1(ports["http"], "GET", "/own/42", tokens=[issuer.token("quiet")]), origin),
    "GET over HTTP/1.1, anomaly: observe": lambda ports, **_: watched(ports),
    "401, forged RS256 signature": lambda ports, issuer, **_: forged(ports["http"], issuer),
    "429, RS256 token, over its plan": lambda ports, issuer, **_: over(ports["http"], issuer),
}


def known(port, issuer, tls=False):
    """A token that has been verified before."""
    return clients.Http1(port, "GET", "/guarded/orders/42", tls=tls, tokens=[issuer.token("quiet")])


class Kept:
    """What this client asks for is stored, and comes from there every time."""

    def __init__(self, client, origin):
        self.client, self.origin = client, origin
        client.send(1)
        self.close = client.close

    def send(self, number):
        before = self.origin.requests
        self.client.send(number)
        if self.origin.requests != before:
            raise SystemExit("an answer did not come from the cache")


def watched(ports):
    """By a model of what it sent before: of so much that no other one is made while it is counted, which comes when it has doubled."""
    client = clients.Http1(ports["http"], "GET", "/watched/orders/42")
    client.send(2 * (WARM_UP + COUNTED))
    ask = urllib.request.Request(f"http://127.0.0.1:{ports['admin']}/anomaly/train?route=watched", method="POST")
    with urllib.request.urlopen(ask, timeout=60) as answer:
        if b'"made"' not in answer.read():
            raise SystemExit("no model was made")
    return client


def forged(port, issuer):
    """None sent twice."""
    good = issuer.token("quiet")
    every = [tokens.forge(good) for _ in range(WARM_UP + COUNTED)]
    return clients.Http1(port, "GET", "/guarded/orders/42", tokens=every, status=401)


def over(port, issuer):
    """The one request that the plan allows has been made."""
    client = clients.Http1(port, "GET", "/guarded/orders/42", tokens=[issuer.token("noisy")])
    client.send(1)
    client.status = 429
    return client


def main():
    options = arguments()
    ports = dict(zip(("http", "https", "admin"), free_ports(3)))
    with tempfile.TemporaryDirectory(prefix="sluice-requests-") as name, upstream.Upstream(body_length=1024) as origin:
        folder = Path(name)
        # Whoever watches the routes would be woken by every line written beside them.
        (folder / "logs").mkdir()
        (folder / "gateway.yaml").write_text(GATEWAY.format(folder=folder, **ports), encoding="utf-8")
        issuer = tokens.Issuer(folder / "issuer", "RS256")
        (folder / "routes.yaml").write_text(ROUTES.format(
            upstream=origin.port, issuer=tokens.ISSUER, audience=tokens.AUDIENCE, scope=tokens.SCOPE, jwks=issuer.jwks),
            encoding="utf-8")
        make_certificate(folder)
        works = {name: connect for name, connect in WORKS.items() if options.only in name}
        counts = count(works, options.sluice, folder, ports=ports, issuer=issuer, origin=origin)
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    if options.record:
        baseline = {name: counts.get(name, baseline.get(name)) for name in WORKS if name in counts or name in baseline}
        BASELINE.write_text(json.dumps(baseline, indent=2) + "\n", encoding="utf-8")
    return compare(counts, baseline)


def count(works, binary, folder, ports, **scene):
    """One gateway under callgrind serves all works; its counters are dumped before and after each."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts", str(binary), "run",
               "--config", f"{folder}/gateway.yaml"]
    with open(folder / "valgrind.log", "w", encoding="utf-8") as log:
        gateway = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for port in ports.values():
            wait_for(port, gateway, folder)
        counts, dumps = {}, 0
        for name, connect in works.items():
            client = connect(ports=ports, **scene)
            client.send(WARM_UP)
            dump(gateway)
            client.send(COUNTED)
            dump(gateway)
            client.close()
            dumps += 2
            instructions, allocations = read(folder / f"counts.{dumps}")
            counts[name] = {
                "instructions": round(instructions / COUNTED),
                "allocations": round(allocations / COUNTED, 1),
            }
        return counts
    finally:
        gateway.send_signal(signal.SIGINT)
        gateway.wait(60)


def dump(gateway):
    subprocess.run(["callgrind_control", "-d", str(gateway.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read(file):
    """Instructions, and calls of the allocator from outside of it, in one dump."""
    names, instructions, allocations, caller, callee = {}, 0, 0, "", ""
    with open(file, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := re.match(r"(c?fn)=\((\d+)\)(?: (.*))?", line):
                kind, number, name = match.groups()
                names.setdefault(number, name)
                if kind == "fn":
                    caller = names[number] or ""
                else:
                    callee = names[number] or ""
            elif line.startswith("calls="):
                if callee in ALLOCATING and not caller.lstrip("_").startswith("mi_"):
                    allocations += int(line[6:].split()[0])
            elif line.startswith(("totals:", "summary:")):
                instructions = int(line.split()[1])
    return instructions, allocations


def compare(counts, baseline):
    worse = 0
    for name, now in counts.items():
        before = baseline.get(name, {"instructions": 0, "allocations": 0})
        verdict = ""
        if now["instructions"] > before["instructions"] * (1 + TOLERANCE):
            verdict = "MORE INSTRUCTIONS"
        elif now["allocations"] > before["allocations"] + ALLOCATIONS:
            verdict = "MORE ALLOCATIONS"
        elif now["instructions"] < before["instructions"] * (1 - TOLERANCE):
            verdict = "fewer: record it with --record"
        worse += verdict.startswith("MORE")
        print(f"{name:39} {now['instructions']:8} instructions (recorded {before['instructions']:8}), "
              f"{now['allocations']:6} allocations (recorded {before['allocations']:6}) {verdict}")
    return 1 if worse else 0


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, stderr=subprocess.DEVNULL)


def free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for(port, gateway, folder):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if gateway.poll() is not None:
            raise SystemExit((folder / "valgrind.log").read_text(encoding="utf-8"))
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"nothing listens on port {port}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sluice", type=Path, default=ROOT / "target/release/sluice",
                        help="its binary (target/release/sluice)")
    parser.add_argument("--record", action="store_true", help="write what was counted into baseline.json")
    parser.add_argument("--only", default="", metavar="TEXT", help="only works with this in their name")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
