use proptest::prelude::*;

use super::*;

const LIMITS: Limits =
    Limits { head: 16 * 1024, fields: 100, target: 8 * 1024, connections: 1, requests_per_connection: 1 };

/// Reads a whole head and hands it to `check`, together with its length.
fn read<T>(head: impl AsRef<[u8]>, check: impl FnOnce(&Head<'_, '_>, usize) -> T) -> T {
    let head = head.as_ref();
    let mut fields = [const { MaybeUninit::uninit() }; 100];
    match parse(head, &mut fields, &LIMITS) {
        Ok(Status::Complete(parsed, consumed)) => check(&parsed, consumed),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(head)),
    }
}

fn refusal_with(head: impl AsRef<[u8]>, limits: &Limits) -> Option<Reason> {
    let mut fields = [const { MaybeUninit::uninit() }; 100];
    match parse(head.as_ref(), &mut fields, limits) {
        Ok(_) => None,
        Err(rejection) => Some(rejection.reason),
    }
}

fn refusal(head: impl AsRef<[u8]>) -> Option<Reason> {
    refusal_with(head, &LIMITS)
}

/// A valid request with these further fields, each ending in CRLF.
fn with(fields: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n")
}

fn line(line: &str) -> String {
    format!("{line}\r\nHost: api.test\r\n\r\n")
}

#[test]
fn reads_an_ordinary_request() {
    let request = "GET /a/b?c=d&e HTTP/1.1\r\nHost: API.test:8080\r\nAccept: \t*/* \t\r\nX-Empty:\r\nX-Latin: caf\u{e9}\r\n\r\nnext";
    read(request, |head, consumed| {
        assert_eq!(consumed, request.len() - 4);
        assert_eq!((head.method, head.version, head.host), ("GET", Version::Http11, "API.test:8080"));
        assert_eq!(head.target, Target::Origin { path: "/a/b", query: Some("c=d&e") });
        assert_eq!(
            (head.framing, head.keep_alive, head.expect_continue, head.upgrade),
            (Framing::None, true, false, None)
        );
        let fields: Vec<_> = head.fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(
            fields,
            [
                ("Host", &b"API.test:8080"[..]),
                ("Accept", b"*/*"),
                ("X-Empty", b""),
                ("X-Latin", "caf\u{e9}".as_bytes())
            ]
        );
    });
}

#[test]
fn every_form_of_a_target() {
    let target = |request: &str| {
        read(request, |head, _| (head.target.path().to_owned(), head.target.query().map(str::to_owned)))
    };
    let found = |path: &str, query: Option<&str>| (path.to_owned(), query.map(str::to_owned));
    assert_eq!(target(&line("GET /?? HTTP/1.1")), found("/", Some("?")));
    assert_eq!(target(&line("GET /a? HTTP/1.1")), found("/a", Some("")));
    assert_eq!(target(&line("GET //a:b@c HTTP/1.1")), found("//a:b@c", None));
    assert_eq!(target(&line("GET /?f[a]={b|c}^`\\ HTTP/1.1")), found("/", Some("f[a]={b|c}^`\\")));
    assert_eq!(target(&line("GET http://api.test/a?b HTTP/1.1")), found("/a", Some("b")));
    assert_eq!(target(&line("GET HTTPS://API.Test HTTP/1.1")), found("/", None));
    assert_eq!(target(&line("GET http://api.test?b HTTP/1.1")), found("/", Some("b")));
    assert_eq!(target(&line("OPTIONS * HTTP/1.1")), found("*", None));
    assert_eq!(target(&line("OPTIONS http://api.test HTTP/1.1")), found("*", None));
    assert_eq!(target(&line("OPTIONS http://api.test/ HTTP/1.1")), found("/", None));
    read("GET https://old.test:81/a HTTP/1.0\r\n\r\n", |head, _| {
        assert_eq!(head.host, "old.test:81");
        assert_eq!(head.target, Target::Absolute { https: true, authority: "old.test:81", path: "/a", query: None });
    });
}

#[test]
fn framing_and_persistence() {
    let framing = |fields: &str| read(with(fields), |head, _| head.framing);
    assert_eq!(framing(""), Framing::None);
    assert_eq!(framing("Content-Length: 0\r\n"), Framing::Length(0));
    assert_eq!(framing("content-LENGTH:  0042 \r\n"), Framing::Length(42));
    assert_eq!(framing("Content-Length: 18446744073709551615\r\n"), Framing::Length(u64::MAX));
    assert_eq!(framing("Transfer-Encoding: chunked\r\n"), Framing::Chunked);
    assert_eq!(framing("transfer-encoding:\tChunKED\t\r\n"), Framing::Chunked);

    let keeps = |version: &str, fields: &str| {
        read(format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"), |head, _| head.keep_alive)
    };
    assert!(keeps("1.1", "") && keeps("1.1", "Connection: keep-alive\r\n") && keeps("1.1", "Connection:\r\n"));
    assert!(!keeps("1.1", "Connection: Close\r\n") && !keeps("1.1", "Connection: x\r\nConnection: y , close\r\n"));
    assert!(!keeps("1.1", "Connection: close, keep-alive\r\n"));
    assert!(!keeps("1.0", "") && !keeps("1.0", "Connection: close\r\n") && keeps("1.0", "Connection: ,Keep-Alive\r\n"));
}

#[test]
fn http_1_0_may_lack_a_host() {
    read("GET / HTTP/1.0\r\n\r\n", |head, _| assert_eq!((head.host, head.version), ("", Version::Http10)));
    assert_eq!(refusal("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), Some(Reason::HostInvalid));
    assert_eq!(refusal("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), Some(Reason::HostInvalid));
}

#[test]
fn an_expectation_counts_only_with_a_body_and_http_1_1() {
    let expects = |fields: &str| read(with(fields), |head, _| head.expect_continue);
    assert!(expects("Expect: 100-Continue\r\nContent-Length: 1\r\n"));
    assert!(expects("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"));
    assert!(!expects("Expect: 100-continue\r\n") && !expects("Expect: 100-continue\r\nContent-Length: 0\r\n"));
    read("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", |head, _| {
        assert!(!head.expect_continue);
    });
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    let upgrade = |version: &str, fields: &str| {
        read(format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"), |head, _| head.upgrade.map(str::to_owned))
    };
    let both = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(upgrade("1.1", both).as_deref(), Some("websocket"));
    assert_eq!(upgrade("1.1", "Upgrade: foo/2 , bar\r\nConnection: upgrade\r\n").as_deref(), Some("foo/2 , bar"));
    assert_eq!(upgrade("1.1", "Upgrade: websocket\r\n"), None);
    assert_eq!(upgrade("1.1", "Connection: upgrade\r\n"), None);
    assert_eq!(upgrade("1.0", both), None);
}

#[test]
fn fields_of_this_hop_are_known() {
    for name in [
        "Connection",
        "KEEP-ALIVE",
        "te",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Connection",
        "proxy-authorization",
        "Proxy-Authenticate",
        "HTTP2-Settings",
    ] {
        assert!(is_hop_by_hop(name), "{name}");
    }
    for name in ["", "Host", "Content-Length", "Trailer", "X-Upgrade", "tee", "Cookie", "Accept"] {
        assert!(!is_hop_by_hop(name), "{name}");
    }
    read(with("Connection: X-Hop,, close\r\nConnection:x-other\r\n"), |head, _| {
        assert!(head.is_for_this_hop("x-hop") && head.is_for_this_hop("X-OTHER") && head.is_for_this_hop("TE"));
        assert!(!head.is_for_this_hop("x-ho") && !head.is_for_this_hop("accept"));
    });
    read(with("Connection: keep-alive, TE\r\nTE: trailers\r\n"), |head, _| assert!(!head.nominates));
}

#[test]
fn one_empty_line_in_front_is_passed_over() {
    let request = format!("\r\n{}", line("GET / HTTP/1.1"));
    read(&request, |_, consumed| assert_eq!(consumed, request.len()));
}

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

#[test]
fn limits_hold_exactly_and_as_early_as_possible() {
    let limits = Limits { head: 100, fields: 3, target: 20, ..LIMITS };
    let reason = |text: &str| refusal_with(text, &limits);

    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "t".repeat(length - 1));
    assert_eq!(reason(&target(20)), None);
    assert_eq!(reason(&target(21)), Some(Reason::UriTooLong));
    assert_eq!(reason(&target(21)[..24]), None);
    assert_eq!(reason(&target(21)[..25]), Some(Reason::UriTooLong), "before the line has ended");

    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "b: c\r\n".repeat(count - 1));
    assert_eq!(reason(&fields(3)), None);
    assert_eq!(reason(&fields(4)), Some(Reason::HeadersTooLarge));

    let head = |length: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - 32));
    assert_eq!(head(100).len(), 100);
    assert_eq!(reason(&head(100)), None);
    assert_eq!(reason(&format!("\r\n{}", head(100))), None, "an empty line in front does not count");
    assert_eq!(reason(&head(101)), Some(Reason::HeadersTooLarge));
    assert_eq!(reason(&head(200)[..99]), None);
    assert_eq!(reason(&head(200)[..100]), Some(Reason::HeadersTooLarge), "before the head has ended");

    let narrow = Limits { head: 30, ..limits };
    assert_eq!(
        refusal_with(&target(20)[..30], &narrow),
        Some(Reason::UriTooLong),
        "a request line that fills the head"
    );

    let mut few = [const { MaybeUninit::uninit() }; 1];
    let rejection = parse(fields(2).as_bytes(), &mut few, &LIMITS).unwrap_err();
    assert_eq!(rejection.reason, Reason::HeadersTooLarge, "never more than the room given");
}

/// Heads put together from good and bad pieces, so that most get past the first line.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "(GET|POST|OPTIONS) /[a-z?/%&=]{0,90} HTTP/1\\.[01]\r\n",
        1 => "(GET|OPTIONS|TRACE|connect|G@T) (\\*|https?://[ab@.:1]{0,5}[/?]?[a-z]{0,3}|a:1|/#) HTTP/[12]\\.[012]\r?\n",
        1 => "[A-Z]{1,40}[ \t]{1,2}[!-~]{1,20}[ ]{1,2}[HTP/12.]{0,9}\r\n",
    ];
    let field = prop_oneof![
        3 => "(Host|host): (a|b|a:1)\r\n",
        3 => "X-[A-Za-z_]{0,9}:[ \t]?[ -~\t]{0,40}\r\n",
        1 => "(Content-Length|Transfer-Encoding|Content_Length): ?(0|5|05|5,5|chunked|gzip)\r\n",
        1 => "(Connection|Upgrade|Expect): ?(close|x|host|upgrade|100-continue|,|a/b)\r\n",
        1 => "[ -~\r\n\t]{0,12}\r?\n?",
    ];
    (
        prop_oneof![6 => Just(""), 1 => Just("\r\n"), 1 => Just("\n")],
        line,
        proptest::collection::vec(field, 0..14),
        "\r?\n?[ -~\r\n]{0,8}",
    )
        .prop_map(|(start, line, fields, end)| format!("{start}{line}{}{end}", fields.concat()).into_bytes())
}

fn write(head: &Head<'_, '_>) -> Vec<u8> {
    let scheme = match head.target {
        Target::Absolute { https: true, .. } => "https://",
        _ if head.target.authority().is_some() => "http://",
        _ => "",
    };
    let path = if matches!(head.target, Target::Asterisk { authority: Some(_) }) { "" } else { head.target.path() };
    let query = head.target.query().map_or_else(String::new, |query| format!("?{query}"));
    let version = if head.version == Version::Http11 { "1.1" } else { "1.0" };
    let authority = head.target.authority().unwrap_or_default();
    let mut bytes = format!("{} {scheme}{authority}{path}{query} HTTP/{version}\r\n", head.method).into_bytes();
    for field in head.fields {
        bytes.extend([field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_gives_the_same_result(bytes in nearly_a_head()) {
        check_invariants(&bytes);
    }

    #[test]
    fn any_bytes_keep_the_guarantees(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_invariants(&bytes);
        check_invariants(&[b"GET / HTTP/1.1\r\nHost: a\r\n", &bytes[..]].concat());
    }

    #[test]
    fn what_was_read_and_written_reads_the_same(bytes in nearly_a_head()) {
        let mut fields = [const { MaybeUninit::uninit() }; 100];
        if let Ok(Status::Complete(head, _)) = parse(&bytes, &mut fields, &LIMITS) {
            let written = write(&head);
            let mut fields = [const { MaybeUninit::uninit() }; 100];
            prop_assert_eq!(parse(&written, &mut fields, &LIMITS), Ok(Status::Complete(head, written.len())));
        }
    }
}
