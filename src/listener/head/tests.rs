use super::*;

mod hostile;
mod properties;

const LIMITS: Limits =
    Limits { head: 16 * 1024, fields: 100, target: 8 * 1024, connections: 1, requests_per_connection: 1 };

/// Reads a whole head and hands it to `check`, together with its length.
fn read<T>(head: impl AsRef<[u8]>, check: impl FnOnce(&Head<'_, '_>, usize) -> T) -> T {
    let head = head.as_ref();
    let mut room = Room::new();
    match parse(head, &mut room, &LIMITS) {
        Ok(Status::Complete(parsed, consumed)) => check(&parsed, consumed),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(head)),
    }
}

fn refusal_with(head: impl AsRef<[u8]>, limits: &Limits) -> Option<Reason> {
    let mut room = Room::new();
    match parse(head.as_ref(), &mut room, limits) {
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
        let stays = |name| head.is_for_this_hop(Known::of(name), name);
        assert!(stays("x-hop") && stays("X-OTHER") && stays("TE"));
        assert!(!stays("x-ho") && !stays("accept"));
    });
    read(with("Connection: keep-alive, TE\r\nTE: trailers\r\n"), |head, _| assert!(!head.nominates));
}

#[test]
fn one_empty_line_in_front_is_passed_over() {
    let request = format!("\r\n{}", line("GET / HTTP/1.1"));
    read(&request, |_, consumed| assert_eq!(consumed, request.len()));
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

    let boundless = Limits { fields: usize::MAX, ..LIMITS };
    assert_eq!(refusal_with(fields(MOST_FIELDS), &boundless), None);
    assert_eq!(
        refusal_with(fields(MOST_FIELDS + 1), &boundless),
        Some(Reason::HeadersTooLarge),
        "never beyond the room"
    );
}
