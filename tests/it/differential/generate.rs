//! Exchanges of every kind that clients and upstreams come up with: mostly sound, some odd, some malformed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::exchange::{Cuts, Exchange, Reply, Then, When};
use super::seen::DATE;
use super::tokens;

/// A few requests on one connection, and as many replies or fewer.
pub fn exchange() -> impl Strategy<Value = Exchange> {
    let requests = prop_oneof![9 => vec(request(), 1..4), 1 => soup().prop_map(|soup| vec![soup])];
    let replies = vec(prop_oneof![9 => sound_reply(), 3 => broken_reply()], 0..4);
    (requests, replies, cuts()).prop_map(|(requests, upstream, cuts)| {
        let client = [&requests.concat()[..], tokens::LAST].concat();
        Exchange { client, upstream, cuts }
    })
}

fn cuts() -> impl Strategy<Value = Cuts> {
    let places = || prop_oneof![3 => Just(Vec::new()), 2 => vec(1..400_usize, 1..4), 1 => Just((1..400).collect())];
    (places(), places()).prop_map(|(client, upstream)| Cuts { client, upstream })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![
        30 => select(&["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"][..]),
        1 => select(&["PURGE", "get", "G@T", "CONNECT", "TRACE", ""][..]),
    ];
    let target = prop_oneof![
        30 => select(&["/a", "/a?b=%20c&d", "//a/./b/../c", "/%41%7e", "http://api.test/x", "/"][..]),
        1 => select(&["*", "/a b", "/../a", "/%zz", "/%2F", "a", "http://other.test/", "/a#b", "/\u{e9}"][..]),
    ];
    let version = prop_oneof![
        30 => Just("HTTP/1.1"),
        5 => Just("HTTP/1.0"),
        1 => select(&["HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", ""][..]),
    ];
    let host =
        prop_oneof![30 => Just("Host: api.test\r\n"), 1 => select(&["", "Host: a b\r\n", "host:api.test:80\r\n"][..])];
    let fields = vec(prop_oneof![60 => select(ODD_FIELDS), 1 => select(WRONG_FIELDS)], 0..5);
    (method, target, version, host, fields, body()).prop_map(|(method, target, version, host, fields, body)| {
        let mut bytes = format!("{method} {target} {version}\r\n{host}").into_bytes();
        fields.iter().for_each(|field| bytes.extend_from_slice(field));
        bytes.extend_from_slice(&body);
        bytes
    })
}

const ODD_FIELDS: &[&[u8]] = &[
    b"X-A: 1\r\n",
    b"x-a:2\r\n",
    b"X-A: \t 3 \t\r\n",
    b"X-Empty:\r\n",
    b"X-Obs: \xe9\xff\r\n",
    b"!#$%&'*+-.^_`|~9: token\r\n",
    b"Cookie: a=1\r\n",
    b"Cookie: b=2\r\n",
    b"Connection: x-a\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"Proxy-Connection: keep-alive\r\n",
    b"TE: trailers\r\n",
    b"Trailer: X-Sum\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"Via: 1.0 fred\r\n",
    b"Forwarded: for=192.0.2.1\r\n",
    b"X-Forwarded-For: 192.0.2.1\r\n",
    b"X-Request-Id: mine\r\n",
    b"User-Agent: t/1\r\n",
    b"Accept: text/plain\r\n",
    b"Accept-Encoding: gzip, br\r\n",
    b"Range: bytes=0-1\r\n",
    b"If-None-Match: \"1\"\r\n",
    b"Max-Forwards: 0\r\n",
    b"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n",
];

const WRONG_FIELDS: &[&[u8]] = &[
    b"Host: other.test\r\n",
    b"X-Space : 1\r\n",
    b"X-Fold: 1\r\n 2\r\n",
    b"No colon\r\n",
    b": no name\r\n",
    b"X-Nul: \0\r\n",
    b"X-Cr: a\rb\r\n",
    b"X-Lf: a\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content_Length: 3\r\n",
    b"Connection: host\r\n",
    b"Expect: more\r\n",
];

/// The end of the head, and the body.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let length = |length: usize, body: &[u8]| [format!("Content-Length: {length}\r\n\r\n").as_bytes(), body].concat();
    prop_oneof![
        8 => Just(b"\r\n".to_vec()),
        4 => content().prop_map(move |content| length(content.len(), &content)),
        4 => chunked().prop_map(|chunks| [b"Transfer-Encoding: chunked\r\n\r\n", &chunks[..]].concat()),
        1 => select(WRONG_BODIES).prop_map(<[u8]>::to_vec),
    ]
}

const WRONG_BODIES: &[&[u8]] = &[
    b"Content-Length: 1000\r\n\r\ntoo little",
    b"Content-Length: 60000\r\n\r\ntoo much is announced",
    b"Content-Length: -1\r\n\r\n",
    b"Content-Length: 1, 1\r\n\r\na",
    b"Content-Length: 18446744073709551616\r\n\r\n",
    b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"Transfer-Encoding: identity\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n1;a=\0\r\na\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nHost: a\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nfff0\r\ntoo much",
];

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..40),
        // Beyond one buffer, and beyond two.
        1 => select(&[4_096_usize, 16_383, 16_384, 16_385, 40_000][..]).prop_map(|length| vec![b'x'; length]),
    ]
}

fn chunked() -> impl Strategy<Value = Vec<u8>> {
    let extension = prop_oneof![4 => Just(""), 1 => select(&[";a", ";a=b", " ; a = \"b;c\"", "\t;x"][..])];
    let zeros = prop_oneof![4 => Just(""), 1 => Just("000")];
    let chunk =
        (zeros, content(), extension).prop_filter_map("the last chunk comes last", |(zeros, content, extension)| {
            let size = format!("{zeros}{:X}{extension}\r\n", content.len());
            (!content.is_empty()).then(|| [size.as_bytes(), &content, b"\r\n"].concat())
        });
    let end = prop_oneof![4 => Just("0\r\n\r\n"), 1 => select(&["0;x\r\n\r\n", "000\r\nX-Sum: 1\r\nX-b:\r\n\r\n"][..])];
    (vec(chunk, 0..4), end).prop_map(|(chunks, end)| [&chunks.concat()[..], end.as_bytes()].concat())
}

/// Pieces of requests in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        select(tokens::REQUEST).prop_map(<[u8]>::to_vec),
        select(ODD_FIELDS).prop_map(<[u8]>::to_vec),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(token, 1..20).prop_map(|tokens| tokens.concat())
}

fn sound_reply() -> impl Strategy<Value = Reply> {
    let status = select(
        &[
            "200 OK",
            "200 ",
            "200 Fine, thanks",
            "201 Created",
            "204 No Content",
            "304 Not Modified",
            "404 Not Found",
            "503 Busy",
            "599 x",
        ][..],
    );
    let version = prop_oneof![6 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0")];
    let interim = prop_oneof![
        6 => Just(""),
        1 => select(&["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nX: 1\r\n\r\n"][..]),
    ];
    let when = prop_oneof![5 => Just(When::Whole), 1 => Just(When::Head)];
    (interim, version, status, vec(select(REPLY_FIELDS), 0..5), framed(), when).prop_map(
        |(interim, version, status, fields, (framing, body, then), when)| {
            let bodiless = ["204", "304"].iter().any(|code| status.starts_with(code));
            let (framing, body, then) =
                if bodiless { (String::new(), Vec::new(), Then::Keep) } else { (framing, body, then) };
            let ends = fields.iter().any(|field| field.starts_with("Connection: close"));
            // HTTP/1.0 knows neither chunks nor, unasked, a second request on a connection.
            let old = version == "HTTP/1.0" && !framing.starts_with("Transfer");
            let version = if old { version } else { "HTTP/1.1" };
            let head = format!("{interim}{version} {status}\r\n{}{framing}\r\n", fields.concat()).into_bytes();
            let then = if ends || old { Then::Close } else { then };
            Reply { head, body, beyond: Vec::new(), when, then }
        },
    )
}

const REPLY_FIELDS: &[&str] = &[
    "Content-Type: text/plain\r\n",
    "X-A: 1\r\n",
    "x-a:2\r\n",
    "X-Empty:\r\n",
    "Set-Cookie: a=1\r\n",
    "Set-Cookie: b=2\r\n",
    "Connection: close\r\n",
    "Connection: X-A\r\n",
    "Keep-Alive: timeout=5\r\n",
    "Proxy-Authenticate: Basic\r\n",
    "Upgrade: h2c\r\n",
    "Trailer: X-Sum\r\n",
    "Server: s\r\n",
    "Via: 1.1 back\r\n",
    "Vary: Accept\r\n",
    "ETag: \"1\"\r\n",
    "Location: /b\r\n",
    "Retry-After: 1\r\n",
    "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n",
];

/// Field, body and what follows of a reply whose end is clear.
fn framed() -> impl Strategy<Value = (String, Vec<u8>, Then)> {
    prop_oneof![
        4 => content().prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body, Then::Keep)),
        3 => chunked().prop_map(|body| ("Transfer-Encoding: chunked\r\n".to_owned(), body, Then::Keep)),
        2 => content().prop_map(|body| (String::new(), body, Then::Close)),
    ]
}

fn broken_reply() -> impl Strategy<Value = Reply> {
    let head = |head: &str| head.replace("DATE", DATE).into_bytes();
    let ends = || prop_oneof![4 => Just(Then::Close), 2 => Just(Then::Reset), 1 => Just(Then::Stall)];
    prop_oneof![
        2 => (select(CUT), ends()).prop_map(move |(bytes, then)| malformed(head(bytes)).then(then)),
        // Who takes it for an answer must find the end at once, or the next request would meet it by chance.
        2 => select(ODD).prop_map(move |bytes| malformed(bytes.into()).then(Then::Close)),
        1 => vec(select(tokens::ANSWER), 1..10).prop_map(|tokens| malformed(tokens.concat()).then(Then::Close)),
        1 => select(&["x", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "\r\n"][..])
            .prop_map(|beyond| Reply { beyond: beyond.into(), ..Reply::default() }),
    ]
}

/// A reply of these bytes, of which HEAD gets no body.
fn malformed(mut bytes: Vec<u8>) -> Reply {
    let end = bytes.windows(4).rposition(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let body = bytes.split_off(end);
    Reply::whole(bytes, body)
}

/// Answers that are never complete.
const CUT: &[&str] = &[
    "",
    "HTTP/1.1 200 OK\r\nDate: DATE\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld",
];

/// Answers that are malformed, or may be taken for it.
const ODD: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-Space : 1\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nX-Fold: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "HTTP/1.1 200 OK\r\nNo colon\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nX-Nul: \0\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nX-Cr: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "nonsense\r\n\r\n",
];
