"""Memory of idle connections: each makes one request and is then left open."""

import select
import socket
import time

import checks
import meter
from checks import PATH

REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def measure(proxy, options):
    """KiB of PSS a connection, over plain TCP and then over TLS. A proxy of its own for each, and fresh."""
    # Two of them would share the pages of their program.
    proxy.stop()
    sample = {"connections": options.idle_connections, "complaints": []}
    for kind, tls in (("plain", False), ("tls", True)):
        with proxy.beside(kind) as fresh:
            sample[kind] = _one(fresh, options.idle_connections, tls)
    return sample


def _one(proxy, number, tls):
    context = checks.client_context(proxy.setting) if tls else None
    # What is set up once, at first use, is not a connection's memory.
    close(connect(proxy, 32, context))
    before = _settled(proxy)
    connections = connect(proxy, number, context)
    held = _settled(proxy)
    closed = count_closed(connections)
    if closed:
        raise checks.WrongAnswer(f"{proxy.name}: {closed} of {number} idle connections were closed")
    for connection in connections[:: max(1, number // 50)]:
        _ask(proxy, connection)
    close(connections)
    return {
        "base_kib": before,
        "held_kib": held,
        "kib_per_connection": (held - before) / number,
        "after_close_kib": _settled(proxy),
    }


def connect(proxy, number, context):
    """That many connections that have made one request each."""
    connections = []
    for _ in range(number):
        connection = socket.create_connection(("127.0.0.1", proxy.https if context else proxy.http), checks.TIMEOUT)
        if context:
            connection = context.wrap_socket(connection, server_hostname="localhost")
        _ask(proxy, connection)
        connections.append(connection)
    return connections


def _ask(proxy, connection):
    body = proxy.setting.body
    connection.sendall(REQUEST)
    answer = b""
    while not answer.endswith(body):
        piece = connection.recv(16384)
        if not piece:
            raise checks.WrongAnswer(f"{proxy.name}: connection closed instead of an answer")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise checks.WrongAnswer(f"{proxy.name}: {answer[:40]!r}")


def count_closed(connections):
    """How many the proxy has given up."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return len(poll.poll(0))


def close(connections):
    for connection in connections:
        connection.close()


def _settled(proxy):
    """PSS once it stands still for half a second, or after five."""
    last = meter.pss_kib(proxy.process.tree())
    for _ in range(10):
        time.sleep(0.5)
        now = meter.pss_kib(proxy.process.tree())
        if abs(now - last) <= 64:
            return now
        last = now
    return last
