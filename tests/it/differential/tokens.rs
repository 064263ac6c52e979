//! Pieces of which requests and answers are made up.

/// The last request of every client, so that the connection ends by itself.
pub const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";

pub const REQUEST: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"POST /b HTTP/1.1\r\n",
    b"HEAD /c HTTP/1.0\r\n",
    b"Host: api.test\r\n",
    b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: api.test\r\n",
    b"HEAD /c HTTP/1.1\r\nHost: api.test\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"X-A: 1\r\n",
    b"\r\n",
    b"hello",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b";",
];

/// For answers; begun by the first of them in most cases.
pub const ANSWER: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 204 N\r\n",
    b"HTTP/1.1 304 N\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 E\r\nX-A: 1\r\n\r\n",
    b"HTTP/1.1 ",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Trailer: X-A\r\n",
    b"X-A: 1\r\n",
    b"\r\n",
    b"hello",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b";",
];
