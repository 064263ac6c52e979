"""Is the answer right? Asked of every proxy before anything is timed."""

import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
from pathlib import Path

import processes
import tokens

TIMEOUT = 5
# Answered by the upstream with the 1 KiB document, through every proxy, whatever else is routed.
PATH = "/orders.json"


class WrongAnswer(Exception):
    """A proxy that answers wrongly is not measured."""


def json_body(size):
    """A JSON document of exactly that many bytes, without a character that a configuration file would read."""
    items, text = [], b""
    while len(text) < size - 64:
        items.append({"id": len(items), "sku": f"A-{len(items):04d}", "qty": len(items) % 7})
        text = json.dumps({"items": items, "pad": ""}).encode()
    return json.dumps({"items": items, "pad": "x" * (size - len(text))}).encode()


def connect(port, setting):
    """A connection, over TLS when a setting with a certificate is given. The certificate is verified."""
    if setting is None:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT, context=client_context(setting))


def client_context(setting):
    context = ssl.create_default_context(cafile=setting.certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def get(port, path, setting):
    """One request on a connection of its own: status and body."""
    connection = connect(port, setting)
    try:
        return _ask(connection, path)
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def keep_alive(proxy, path, body, tls):
    """Three requests on one connection: 200, the body to the byte, and the connection stays."""
    setting = proxy.setting if tls else None
    connection = connect(proxy.https if tls else proxy.http, setting)
    try:
        first = None
        for number in (1, 2, 3):
            status, answer = _ask(connection, path)
            if status != 200:
                raise WrongAnswer(f"{proxy.name}: status {status} on request {number}")
            if answer != body:
                raise WrongAnswer(f"{proxy.name}: {len(answer)} other bytes than the upstream's {len(body)}")
            if connection.sock is None or (first is not None and connection.sock is not first):
                raise WrongAnswer(f"{proxy.name}: connection closed after request {number}")
            first = connection.sock
        if tls and first.version() != "TLSv1.3":
            raise WrongAnswer(f"{proxy.name}: {first.version()} instead of TLS 1.3")
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"{proxy.name}: {error!r}") from error
    finally:
        connection.close()


def kept(proxy, paths, body):
    """Each path on one connection, whole to the byte, and once more: the first time the upstream is asked for each of them, the
    second time it is not asked at all.
    """
    with contextlib.closing(UpstreamCount(proxy.setting.status_port)) as count:
        for wanted in (len(paths), 0):
            before = count.read()[1]
            with contextlib.closing(connect(proxy.http, None)) as connection:
                for path in paths:
                    try:
                        # As the load does: the host is a part of most keys.
                        status, answer = _ask(connection, path, {"Host": "localhost"})
                    except (OSError, http.client.HTTPException) as error:
                        raise WrongAnswer(f"{proxy.name}: {error!r}") from error
                    if status != 200 or answer != body:
                        raise WrongAnswer(f"{proxy.name}: status {status} and {len(answer)} bytes for {path}")
            asked = count.read()[1] - before
            if asked != wanted:
                raise WrongAnswer(f"{proxy.name}: {asked} of {len(paths)} requests reached the upstream, not {wanted}")


def model_made(proxy):
    """Makes a model of what has come until now."""
    trained = _admin(proxy, "POST", "/anomaly/train?route=all")
    if '"made"' not in trained:
        raise WrongAnswer(f"{proxy.name}: no model was made: {trained}")


def scored(proxy):
    """How many requests were scored since the start, and how many of them were unusual."""
    text = _admin(proxy, "GET", "/metrics")
    names = (r'sluice_anomaly_requests_total{action="\w+",route="all"}', r'sluice_anomaly_unusual_total{route="all"}')
    return tuple(sum(map(int, re.findall(rf"{name} (\d+)", text))) for name in names)


def _admin(proxy, method, target):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", proxy.admin, timeout=TIMEOUT)) as admin:
        admin.request(method, target)
        return admin.getresponse().read().decode()


def upload(proxy, body, tls):
    """Two uploads on one connection: the upstream has stored every byte of each."""
    connection = connect(proxy.https if tls else proxy.http, proxy.setting if tls else None)
    try:
        for number in (1, 2):
            connection.request("POST", "/keep", body)
            answer = connection.getresponse()
            status, name = answer.status, answer.read().decode()
            if status != 200:
                raise WrongAnswer(f"{proxy.name}: status {status} on upload {number}")
            stored = Path(name)
            if stored.read_bytes() != body:
                raise WrongAnswer(f"{proxy.name}: the upstream got other bytes than were sent")
            stored.unlink()
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"{proxy.name}: {error!r}") from error
    finally:
        connection.close()


def identity(proxy):
    """Over TLS: a good token passes and stays here, every bad one is refused, and so is one without the scope."""
    issuer, other = (proxy.setting.issuer(proxy.guard.algorithm, which) for which in ("issuer", "other"))
    good = issuer.token(tokens.PARTNERS[1])
    statuses(proxy, good, (200,) * 3)
    with _asking(proxy) as ask:
        status, seen = ask(good, "/credential")
        if status != 200 or seen:
            raise WrongAnswer(f"{proxy.name}: status {status}, and the upstream saw {len(seen)} bytes of the credential")
        status, _ = ask(good, "/no/such/route")
        if status != 404:
            raise WrongAnswer(f"{proxy.name}: status {status} for a path that is no route")
    # A token for somebody else (its audience) is good but not here: 403 says so, too.
    refused = {"no token": (None, (401,))}
    refused |= {what: (token, (401, 403) if "audience" in what else (401,))
                for what, token in tokens.bad(issuer, other).items()}
    refused |= {what: (token, (403,)) for what, token in tokens.without_scope(issuer).items()}
    # All on one connection: a refusal does not end it.
    with _asking(proxy, tls=proxy.refuses_over_tls) as ask:
        for what, (token, wanted) in refused.items():
            status, body = ask(token)
            if status not in wanted or proxy.setting.body in body:
                raise WrongAnswer(f"{proxy.name}: status {status} for {what}")


def limit(proxy):
    """Of a guard that allows each partner one request: the second is refused, and another partner's first is not."""
    issuer = proxy.setting.issuer(proxy.guard.algorithm)
    first, second = (issuer.token(partner) for partner in tokens.PARTNERS[1:3])
    statuses(proxy, first, (200, 429, 429))
    statuses(proxy, second, (200, 429, 429))
    # It is the partner that counts, not the token.
    if proxy.verifies_tokens:
        statuses(proxy, issuer.token(tokens.PARTNERS[1], jti="another"), (429,))


def statuses(proxy, token, wanted):
    """Requests with that token on one connection over TLS, which stays."""
    with _asking(proxy) as ask:
        got = tuple(ask(token)[0] for _ in wanted)
        if got != wanted:
            raise WrongAnswer(f"{proxy.name}: statuses {got} instead of {wanted}")


@contextlib.contextmanager
def _asking(proxy, tls=True):
    """A connection on which to ask with tokens; it has to stay the same one."""
    connection = connect(proxy.https, proxy.setting) if tls else connect(proxy.http, None)
    first = None

    def ask(token, path=PATH):
        nonlocal first
        answer = _ask(connection, path, {"Authorization": f"Bearer {token}"} if token else {})
        if connection.sock is None or (first is not None and connection.sock is not first):
            raise WrongAnswer(f"{proxy.name}: connection closed after status {answer[0]}")
        first = connection.sock
        if answer[0] == 200 and path == PATH and answer[1] != proxy.setting.body:
            raise WrongAnswer(f"{proxy.name}: {len(answer[1])} other bytes than the upstream's")
        return answer

    try:
        yield ask
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"{proxy.name}: {error!r}") from error
    finally:
        connection.close()


def resumption(proxy):
    """A ticket of one connection resumes on each of 32 others: that one of two workers got none of them has a chance
    of one in billions.
    """
    context = client_context(proxy.setting)
    session, resumed = _tls_request(proxy, context, None)
    if resumed:
        raise WrongAnswer(f"{proxy.name}: resumed a session that was never offered")
    others = [_tls_request(proxy, context, session)[1] for _ in range(32)]
    if not all(others):
        raise WrongAnswer(f"{proxy.name}: only {sum(others)} of 32 connections resumed ({proxy.workers} workers)")


def _tls_request(proxy, context, session):
    """One request: the session that it leaves behind, and whether the offered one was taken."""
    try:
        with socket.create_connection(("127.0.0.1", proxy.https), TIMEOUT) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
                connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = b""
                while piece := connection.recv(16384):
                    answer += piece
                if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(proxy.setting.body)):
                    raise WrongAnswer(f"{proxy.name}: {answer[:40]!r} on a connection with session {session}")
                return connection.session, connection.session_reused
    except OSError as error:
        raise WrongAnswer(f"{proxy.name}: {error!r}") from error


def http2(proxy, path, body):
    """Three streams of one connection over TLS: status 200 each, and the bodies to the byte."""
    urls = [f"https://127.0.0.1:{proxy.https}{path}?{number}" for number in (1, 2, 3)]
    bodies = _nghttp(proxy, urls)
    if bodies != body * 3:
        raise WrongAnswer(f"{proxy.name}: {len(bodies)} bytes over HTTP/2 that are not three times the upstream's")
    frames = _nghttp(proxy, ["-n", "-v", *urls]).decode(errors="replace")
    statuses = re.findall(r":status: (\d+)", frames)
    connections = len(re.findall(r"Connected", frames))
    if statuses != ["200"] * 3 or connections != 1 or "negotiated protocol: h2" not in frames:
        raise WrongAnswer(f"{proxy.name}: HTTP/2 statuses {statuses} on {connections} connections")


def _nghttp(proxy, arguments):
    try:
        done = subprocess.run([processes.find("nghttp"), *arguments], capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise WrongAnswer(f"{proxy.name}: no answer over HTTP/2 within {TIMEOUT} s") from error
    if done.returncode != 0:
        raise WrongAnswer(f"{proxy.name}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _ask(connection, path, fields={}):
    connection.request("GET", path, headers=fields)
    answer = connection.getresponse()
    return answer.status, answer.read()


class UpstreamCount:
    """What the upstream has seen, by its own count; one connection that stays open."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._reads = 0

    def read(self):
        """Accepted connections and requests since its start, without those of this reader."""
        self._socket.sendall(b"GET / HTTP/1.1\r\nHost: status\r\n\r\n")
        text = b""
        while b"Waiting" not in text or not text.endswith(b"\n"):
            piece = self._socket.recv(4096)
            if not piece:
                raise SystemExit("the upstream closed its status connection")
            text += piece
        self._reads += 1
        numbers = re.search(rb"requests\s+(\d+)\s+\d+\s+(\d+)", text)
        return int(numbers[1]) - 1, int(numbers[2]) - self._reads

    def close(self):
        self._socket.close()
