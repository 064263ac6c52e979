//! One exchange of every kind, small enough to be cut at each byte.

use super::exchange::{Exchange, Reply, Then, When};

const LAST: &str = "GET /z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn with_last(client: &str) -> Exchange {
    Exchange::new(format!("{client}{LAST}"), [])
}

/// What a client may say, in front of an upstream that answers.
pub fn requests() -> Vec<Exchange> {
    vec![
        with_last("GET /a HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.1\r\nHost: a\r\n\r\n"),
        with_last("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        with_last(
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\nX-T: 1\r\n\r\n",
        ),
        with_last("PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
        with_last("\r\nGET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        Exchange::new("GET /a?b HTTP/1.0\r\nX-A:\t1\r\n\r\n", []),
        with_last("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhex\r\n"),
        with_last("GET /a HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n"),
    ]
}

/// What an upstream may say to one GET, and what that does to the next.
pub fn answers() -> Vec<Exchange> {
    let client = "GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab";
    let replies = vec![
        Reply::whole("HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\n", "hello"),
        Reply::whole(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "2;x\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n",
        ),
        Reply::whole("HTTP/1.1 200 OK\r\n\r\n", "to the end").then(Then::Close),
        Reply::whole("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", "ok").then(Then::Close),
        Reply::whole("HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", ""),
        Reply::whole("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", ""),
        Reply::whole("HTTP/1.1 103 E\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok"),
        Reply::whole("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "cut").then(Then::Close),
        Reply::whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "9\r\ncut").then(Then::Close),
        Reply::whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\nok\r\nx").then(Then::Close),
        Reply::whole("HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 0\r\n\r\n", "").then(Then::Close),
        Reply { when: When::Head, ..Reply::whole("HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\n", "no") },
    ];
    replies.into_iter().map(|reply| Exchange::new(client, [reply])).collect()
}
