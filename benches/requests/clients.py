"""Clients that send one request after the other on one connection and check every answer."""

import itertools
import re
import socket
import ssl


def connect(port, tls=None):
    plain = socket.create_connection(("127.0.0.1", port), 60)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return plain
    context = ssl.create_default_context()
    context.check_hostname = False
    # The certificate of the gateway was made on the spot.
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([tls])
    secured = context.wrap_socket(plain, server_hostname="localhost")
    if secured.selected_alpn_protocol() != tls:
        raise SystemExit(f"{tls} was not agreed on")
    return secured


class Http1:
    """`tokens` are sent in turn, one with each request; another `status` than 200 is what is wanted then."""

    def __init__(self, port, method, path, body=b"", tls=False, tokens=("",), status=200):
        self.socket = connect(port, "http/1.1" if tls else None)
        self.status = status
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: counting\r\nAccept: */*\r\n{fields}"
        credentials = (f"Authorization: Bearer {token}\r\n" if token else "" for token in tokens)
        self.requests = itertools.cycle([f"{head}{credential}\r\n".encode() + body for credential in credentials])

    def send(self, number):
        for _ in range(number):
            self.socket.sendall(next(self.requests))
            buffer = b""
            while (end := buffer.find(b"\r\n\r\n")) < 0:
                buffer += self._read()
            length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", buffer[:end + 2])[1])
            while len(buffer) < end + 4 + length:
                buffer += self._read()
            if not buffer.startswith(f"HTTP/1.1 {self.status} ".encode()) or len(buffer) != end + 4 + length:
                raise SystemExit(f"a wrong answer: {buffer[:200]!r}")

    def _read(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise SystemExit("the gateway closed the connection")
        return piece

    def close(self):
        self.socket.close()


class Http2:
    """As much of RFC 9113 as one stream at a time needs: fields are sent as literals without Huffman coding."""

    DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
    ACK, END_STREAM, END_HEADERS = 1, 1, 4

    def __init__(self, port, path):
        self.socket = connect(port, "h2")
        self.buffer = b""
        self.stream = 1
        fields = [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", "localhost"),
                  ("user-agent", "counting"), ("accept", "*/*")]
        self.block = b"".join(b"\x00" + self._text(name) + self._text(value) for name, value in fields)
        largest = (2**31 - 1 - 65535).to_bytes(4, "big")
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._frame(self.SETTINGS, 0, 0, b"")
                            + self._frame(self.WINDOW_UPDATE, 0, 0, largest))

    @staticmethod
    def _text(text):
        return bytes([len(text)]) + text.encode()

    @staticmethod
    def _frame(kind, flags, stream, payload):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def send(self, number):
        for _ in range(number):
            self.socket.sendall(self._frame(self.HEADERS, self.END_STREAM | self.END_HEADERS, self.stream, self.block))
            received, ended = 0, False
            while not ended:
                kind, flags, stream, payload = self._read()
                if kind in (self.RST_STREAM, self.GOAWAY):
                    raise SystemExit(f"frame {kind} instead of an answer: {payload!r}")
                if kind == self.SETTINGS and not flags & self.ACK:
                    self.socket.sendall(self._frame(self.SETTINGS, self.ACK, 0, b""))
                if stream == self.stream and kind == self.DATA:
                    received += len(payload)
                ended = stream == self.stream and kind in (self.DATA, self.HEADERS) and flags & self.END_STREAM
            if received != 1024:
                raise SystemExit(f"{received} bytes of the body")
            self.stream += 2

    def _read(self):
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            piece = self.socket.recv(65536)
            if not piece:
                raise SystemExit("the gateway closed the connection")
            self.buffer += piece
        end = 9 + int.from_bytes(self.buffer[:3], "big")
        head, payload, self.buffer = self.buffer[:9], self.buffer[9:end], self.buffer[end:]
        return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload

    def close(self):
        self.socket.close()
