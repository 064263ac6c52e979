//! Heads that have to be refused, each with its reason.

use super::*;

#[test]
fn hostile_request_lines() {
    use Reason::{HostInvalid, MethodUnsupported, RequestMalformed, UriTooLong, VersionUnsupported};
    let long = format!("GET /{} HTTP/1.1", "a".repeat(8 * 1024));
    let long_method = format!("{} / HTTP/1.1", "A".repeat(33));
    for (text, expected) in [
        ("", RequestMalformed),
        (" ", RequestMalformed),
        ("GET", RequestMalformed),
        ("GET ", RequestMalformed),
        ("GET /", RequestMalformed),
        ("GET / ", RequestMalformed),
        (" GET / HTTP/1.1", RequestMalformed),
        ("\tGET / HTTP/1.1", RequestMalformed),
        ("GET\t/\tHTTP/1.1", RequestMalformed),
        ("GET  / HTTP/1.1", RequestMalformed),
        ("GET /  HTTP/1.1", RequestMalformed),
        ("GET / HTTP/1.1 ", RequestMalformed),
        ("GET / HTTP/1.1\t", RequestMalformed),
        ("GET /\x0b HTTP/1.1", RequestMalformed),
        ("GET /\x0c HTTP/1.1", RequestMalformed),
        ("GET /\r HTTP/1.1", RequestMalformed),
        ("GET / HTTP/1.1\r", RequestMalformed),
        ("GET /a b HTTP/1.1", RequestMalformed),
        ("GET / http/1.1", RequestMalformed),
        ("GET / HTTP/1.", RequestMalformed),
        ("GET / HTTP/11", RequestMalformed),
        ("GET / HTTP/1.10", RequestMalformed),
        ("GET / HTTP/1,1", RequestMalformed),
        ("GET / HTTP/x.1", RequestMalformed),
        ("GET / HTTPS/1.1", RequestMalformed),
        ("GET / XHTTP/1.1", RequestMalformed),
        ("GET / HTTP/1.2", VersionUnsupported),
        ("GET / HTTP/0.9", VersionUnsupported),
        ("GET / HTTP/2.0", VersionUnsupported),
        ("GET / HTTP/3.0", VersionUnsupported),
        ("PRI * HTTP/2.0", VersionUnsupported),
        ("G(T / HTTP/1.1", RequestMalformed),
        ("GET: / HTTP/1.1", RequestMalformed),
        ("G\u{e9}T / HTTP/1.1", RequestMalformed),
        ("G\0T / HTTP/1.1", RequestMalformed),
        ("\u{16}\u{3}\u{1}", RequestMalformed),
        ("GET /\u{e9} HTTP/1.1", RequestMalformed),
        ("GET /\0 HTTP/1.1", RequestMalformed),
        ("GET /\x7f HTTP/1.1", RequestMalformed),
        ("GET /?\"a\" HTTP/1.1", RequestMalformed),
        ("GET /<a> HTTP/1.1", RequestMalformed),
        ("GET /#a HTTP/1.1", RequestMalformed),
        ("GET /?a#b HTTP/1.1", RequestMalformed),
        ("GET a HTTP/1.1", RequestMalformed),
        ("GET ?a HTTP/1.1", RequestMalformed),
        ("GET * HTTP/1.1", RequestMalformed),
        ("OPTIONS ** HTTP/1.1", RequestMalformed),
        ("options * HTTP/1.1", RequestMalformed),
        ("GET api.test:443 HTTP/1.1", RequestMalformed),
        ("GET ftp://api.test/ HTTP/1.1", RequestMalformed),
        ("GET ws://api.test/ HTTP/1.1", RequestMalformed),
        ("GET http:/api.test/ HTTP/1.1", RequestMalformed),
        ("GET http:api.test HTTP/1.1", RequestMalformed),
        ("GET http://user@api.test/ HTTP/1.1", RequestMalformed),
        ("GET http://user:secret@api.test/ HTTP/1.1", RequestMalformed),
        ("GET http://@api.test/ HTTP/1.1", RequestMalformed),
        ("GET http:// HTTP/1.1", HostInvalid),
        ("GET http:///a HTTP/1.1", HostInvalid),
        ("GET http://?a HTTP/1.1", HostInvalid),
        ("GET http://api.test:/ HTTP/1.1", HostInvalid),
        ("GET http://api.test:x/ HTTP/1.1", HostInvalid),
        ("GET http://api.test\\.evil.test/ HTTP/1.1", HostInvalid),
        ("GET http://api%2etest/ HTTP/1.1", HostInvalid),
        ("GET http://evil.test/ HTTP/1.1", HostInvalid),
        ("GET http://api.test:80/ HTTP/1.1", HostInvalid),
        ("GET http://api.test./ HTTP/1.1", HostInvalid),
        ("OPTIONS http://evil.test HTTP/1.1", HostInvalid),
        ("CONNECT api.test:443 HTTP/1.1", MethodUnsupported),
        ("CONNECT / HTTP/1.1", MethodUnsupported),
        ("connect api.test:443 HTTP/1.1", MethodUnsupported),
        ("TRACE / HTTP/1.1", MethodUnsupported),
        ("Trace / HTTP/1.1", MethodUnsupported),
        (&long_method, MethodUnsupported),
        (&long, UriTooLong),
    ] {
        assert_eq!(refusal(line(text)), Some(expected), "{text:?}");
        check_invariants(line(text).as_bytes());
    }
}

#[test]
fn hostile_fields() {
    use Reason::{ExpectationFailed, HeadersTooLarge, HostInvalid, RequestFraming, RequestMalformed};
    let many = "A: b\r\n".repeat(100);
    let large = format!("A: {}\r\n", "b".repeat(16 * 1024));
    let nominations = format!("Connection: {}\r\n", ["x"; 17].join(","));
    let spread = "Connection: x, y, z\r\n".repeat(6);
    let empties = format!("Connection: {}\r\n", ",".repeat(16));
    for (text, expected) in [
        // Field lines, RFC 9112 §5.
        ("A : b\r\n", RequestMalformed),
        ("A\t: b\r\n", RequestMalformed),
        (" A: b\r\n", RequestMalformed),
        ("A: b\r\n c\r\n", RequestMalformed),
        ("A: b\r\n\tc\r\n", RequestMalformed),
        ("A: b\r\n \r\n", RequestMalformed),
        (": b\r\n", RequestMalformed),
        ("A\r\n", RequestMalformed),
        ("A b\r\n", RequestMalformed),
        ("A(b): c\r\n", RequestMalformed),
        ("A\u{e9}: b\r\n", RequestMalformed),
        ("A\0: b\r\n", RequestMalformed),
        ("A: b\0c\r\n", RequestMalformed),
        ("A: b\x01\r\n", RequestMalformed),
        ("A: \x1b[31m\r\n", RequestMalformed),
        ("A: b\x7f\r\n", RequestMalformed),
        ("A: b\x0b\r\n", RequestMalformed),
        ("A: b\n", RequestMalformed),
        ("A:\n", RequestMalformed),
        ("A: b\nC: d\r\n", RequestMalformed),
        ("A: b\rC: d\r\n", RequestMalformed),
        ("A: b\r\r\n", RequestMalformed),
        ("\n", RequestMalformed),
        ("\rA: b\r\n", RequestMalformed),
        (&many, HeadersTooLarge),
        (&large, HeadersTooLarge),
        // Host, RFC 9112 §3.2.
        ("Host: api.test\r\n", HostInvalid),
        ("host: other.test\r\n", HostInvalid),
        // Framing, RFC 9112 §6.
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", RequestFraming),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", RequestFraming),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", RequestFraming),
        ("Content-Length: 1\r\ncontent-length: 2\r\n", RequestFraming),
        ("Content-Length: 1, 1\r\n", RequestFraming),
        ("Content-Length: 1,\r\n", RequestFraming),
        ("Content-Length:\r\n", RequestFraming),
        ("Content-Length: +1\r\n", RequestFraming),
        ("Content-Length: -1\r\n", RequestFraming),
        ("Content-Length: 0x1\r\n", RequestFraming),
        ("Content-Length: 1e1\r\n", RequestFraming),
        ("Content-Length: 1.0\r\n", RequestFraming),
        ("Content-Length: 1 1\r\n", RequestFraming),
        ("Content-Length: \"1\"\r\n", RequestFraming),
        ("Content-Length: 1_0\r\n", RequestFraming),
        ("Content-Length: 18446744073709551616\r\n", RequestFraming),
        ("Content-Length: \u{661}\r\n", RequestFraming),
        ("Transfer-Encoding: gzip, chunked\r\n", RequestFraming),
        ("Transfer-Encoding: chunked, chunked\r\n", RequestFraming),
        ("Transfer-Encoding: chunked, identity\r\n", RequestFraming),
        ("Transfer-Encoding: chunked,\r\n", RequestFraming),
        ("Transfer-Encoding: ,chunked\r\n", RequestFraming),
        ("Transfer-Encoding: chunked;q=1\r\n", RequestFraming),
        ("Transfer-Encoding: \"chunked\"\r\n", RequestFraming),
        ("Transfer-Encoding: xchunked\r\n", RequestFraming),
        ("Transfer-Encoding: chunke\r\n", RequestFraming),
        ("Transfer-Encoding: identity\r\n", RequestFraming),
        ("Transfer-Encoding:\r\n", RequestFraming),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", RequestFraming),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", RequestFraming),
        ("Transfer-Encoding: \x0bchunked\r\n", RequestMalformed),
        ("Transfer-Encoding : chunked\r\n", RequestMalformed),
        ("Content-Length\x0b: 1\r\n", RequestMalformed),
        ("Transfer_Encoding: chunked\r\n", RequestMalformed),
        ("content_length: 5\r\n", RequestMalformed),
        ("X_Forwarded_For: 127.0.0.1\r\n", RequestMalformed),
        ("X-Forwarded_Proto: https\r\n", RequestMalformed),
        ("x_request_id: 1\r\n", RequestMalformed),
        // Expect, RFC 9110 §10.1.1.
        ("Expect: 200-ok\r\n", ExpectationFailed),
        ("Expect:\r\n", ExpectationFailed),
        ("Expect: 100-continue, x\r\n", ExpectationFailed),
        ("Expect: 100-continue\r\nExpect: x\r\n", ExpectationFailed),
        // Connection and Upgrade, RFC 9110 §7.6.1 and §7.8.
        ("Connection: host\r\n", RequestMalformed),
        ("Connection: close, Content-Length\r\n", RequestMalformed),
        ("Connection: transfer-encoding\r\n", RequestMalformed),
        ("Connection: Authorization\r\n", RequestMalformed),
        ("Connection: cookie\r\n", RequestMalformed),
        ("Connection: Forwarded\r\n", RequestMalformed),
        ("Connection: X-Forwarded-For\r\n", RequestMalformed),
        ("Connection: x-forwarded-anything\r\n", RequestMalformed),
        ("Connection: X-Real-IP\r\n", RequestMalformed),
        ("Connection: X-Request-Id\r\n", RequestMalformed),
        ("Connection: traceparent\r\n", RequestMalformed),
        ("Connection: x_forwarded_for\r\n", RequestMalformed),
        ("Connection: a b\r\n", RequestMalformed),
        ("Connection: \"close\"\r\n", RequestMalformed),
        ("Connection: close;x\r\n", RequestMalformed),
        ("Connection: caf\u{e9}\r\n", RequestMalformed),
        (&nominations, RequestMalformed),
        (&spread, RequestMalformed),
        (&empties, RequestMalformed),
        ("Upgrade: a\r\nUpgrade: b\r\n", RequestMalformed),
        ("Upgrade: a//b\r\n", RequestMalformed),
        ("Upgrade: a/b/c\r\n", RequestMalformed),
        ("Upgrade: caf\u{e9}\r\n", RequestMalformed),
        ("Upgrade:\r\n", RequestMalformed),
    ] {
        assert_eq!(refusal(with(text)), Some(expected), "{text:?}");
        check_invariants(with(text).as_bytes());
    }
}

#[test]
fn hostile_hosts() {
    for host in [
        "",
        " ",
        "a b",
        "a/b",
        "a@b",
        "a,b",
        "a:",
        "a:b",
        "a:99999",
        "a:80:80",
        "a..b",
        ".",
        "-.",
        "[::1",
        "::1",
        "[::g]",
        "a%00",
        "a?b",
        "a#b",
        "a\\b",
        "http://a",
        "caf\u{e9}",
        "*",
        "*.test",
        "a\tb",
    ] {
        let expected = if host == "-." { None } else { Some(Reason::HostInvalid) };
        assert_eq!(refusal(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), expected, "{host:?}");
    }
    assert_eq!(refusal("GET / HTTP/1.1\r\n\r\n"), Some(Reason::HostInvalid));
    assert_eq!(refusal("GET http://a/ HTTP/1.1\r\nAccept: a\r\n\r\n"), Some(Reason::HostInvalid));
}

#[test]
fn hostile_beginnings_and_ends() {
    for text in [
        "\n",
        "\nGET / HTTP/1.1",
        "\r\n\n",
        "\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1",
        "\rGET",
        "\0",
        "\u{16}\u{3}",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.0\n\n",
    ] {
        assert_eq!(refusal(text), Some(Reason::RequestMalformed), "{text:?}");
        check_invariants(text.as_bytes());
    }
    assert_eq!(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(Reason::RequestFraming));
}

/// The vectorised scanners of `httparse` look at 8 to 32 bytes at once: every byte, at the edges of each.
#[test]
fn no_control_character_passes_at_any_place() {
    for byte in (0..b' ').chain([0x7f]).filter(|byte| *byte != b'\t') {
        for before in [0, 1, 7, 8, 15, 16, 31, 32, 33, 63, 64] {
            for (start, end) in [
                ("GET / HTTP/1.1\r\nHost: a\r\nX: ", "y\r\n\r\n"),
                ("GET / HTTP/1.1\r\nHost: a\r\nX", ": y\r\n\r\n"),
                ("GET /", "y HTTP/1.1\r\n\r\n"),
            ] {
                let mut head = format!("{start}{}", "x".repeat(before)).into_bytes();
                head.push(byte);
                head.extend(b"x".repeat(40));
                head.extend(end.bytes());
                assert_eq!(refusal(&head), Some(Reason::RequestMalformed), "{byte:#x} after {before}");
            }
        }
    }
}
