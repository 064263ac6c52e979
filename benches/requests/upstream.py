"""An upstream that answers every request with the same body, on as many kept connections as come."""

import email.utils
import re
import socket
import threading


class Upstream:
    def __init__(self, body_length):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body_length}\r\n" \
               f"Date: {email.utils.formatdate(usegmt=True)}\r\nServer: origin\r\n\r\n"
        self.answer = head.encode() + b"x" * body_length
        # So many have been answered.
        self.requests = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        with connection:
            while True:
                while (end := buffer.find(b"\r\n\r\n")) < 0:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    buffer += piece
                length = re.search(rb"(?i)\r\ncontent-length: (\d+)", buffer[:end + 2])
                whole = end + 4 + (int(length[1]) if length else 0)
                while len(buffer) < whole:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    buffer += piece
                buffer = buffer[whole:]
                self.requests += 1
                connection.sendall(self.answer)
