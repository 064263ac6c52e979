//! Everything in which the engines may differ: the list of `docs/engines.md`, and what comparing forgives.

use super::exchange::{Exchange, Reply, Then, When};
use super::message::{self, Framing, Message, value_of};
use super::seen::{DATE, Seen};

pub struct Difference {
    pub what: &'static str,
    pub direct: &'static str,
    pub pingora: &'static str,
    pub why: &'static str,
    /// Makes what was seen equal in this one respect.
    pub forgive: fn(&Exchange, &mut Seen),
    /// Where it shows.
    pub example: fn() -> Exchange,
}

pub const DIFFERENCES: [Difference; 11] = [
    Difference {
        what: "order of fields with different names, both ways",
        direct: "as they came, ours behind them",
        pingora: "fields with one name are gathered where the first of them stood; where a field is taken out, the last one takes its place",
        why: "Pingora keeps heads in a hash map. The order of different names means nothing, and fields with one name keep theirs (RFC 9110 section 5.3).",
        forgive: |_, seen| messages(seen).for_each(|message| message.fields.sort_by_cached_key(|line| name(line))),
        example: || Exchange::new("GET / HTTP/1.0\r\nA: 1\r\nB: 1\r\nA: 2\r\n\r\n", []),
    },
    Difference {
        what: "`Date` of an answer",
        direct: "the upstream's; the gateway's own only when there is none",
        pingora: "always the gateway's own",
        why: "`Date` is when the message was originated, and only a missing one may be added (RFC 9110 section 6.6.1). Pingora always writes it.",
        forgive: |_, seen| remove(&mut seen.answers, |line| value_of(line, "date").is_some()),
        example: || {
            let answer = format!("HTTP/1.1 200 OK\r\nDate: {DATE}\r\nContent-Length: 2\r\n\r\n");
            Exchange::new("GET / HTTP/1.0\r\n\r\n", [Reply::whole(answer, "ok")])
        },
    },
    Difference {
        what: "`Connection: keep-alive` in answers to HTTP/1.1 clients",
        direct: "not sent",
        pingora: "sent when the connection goes on",
        why: "A connection of HTTP/1.1 goes on unless something else is said (RFC 9112 section 9.3). Clients of HTTP/1.0 that ask for it get it from both.",
        forgive: |_, seen| {
            let to_newer = seen.answers.iter_mut().filter(|answer| !answer.asked.http10);
            to_newer.for_each(|answer| answer.fields.retain(|line| value_of(line, "connection") != Some("keep-alive")));
        },
        example: || {
            let last = "GET /last HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
            Exchange::new(format!("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n{last}"), [])
        },
    },
    Difference {
        what: "trailers of a chunked answer to an HTTP/1.1 client, and `Trailer`",
        direct: "forwarded; a message with fields that must not be trailers is refused",
        pingora: "dropped",
        why: "They may be forwarded or dropped (RFC 9110 section 6.5.1); Pingora cannot forward them over HTTP/1.1.",
        forgive: |_, seen| {
            seen.answers.iter_mut().for_each(|answer| answer.trailers.clear());
            remove(&mut seen.answers, |line| value_of(line, "trailer").is_some());
        },
        example: || {
            let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
            let request = "GET / HTTP/1.1\r\nHost: api.test\r\nTE: trailers\r\nConnection: close, te\r\n\r\n";
            Exchange::new(request, [Reply::whole(answer, "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")])
        },
    },
    Difference {
        what: "trailers of a chunked request, and `Trailer`",
        direct: "forwarded; a message with fields that must not be trailers is refused",
        pingora: "dropped",
        why: "As for answers.",
        forgive: |_, seen| {
            seen.requests.iter_mut().for_each(|request| request.trailers.clear());
            remove(&mut seen.requests, |line| value_of(line, "trailer").is_some());
        },
        example: || {
            let head = "POST / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
            Exchange::new(format!("{head}2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"), [])
        },
    },
    Difference {
        what: "reason in the log when the upstream sends a wrong chunk and closes",
        direct: "`UPSTREAM_PROTOCOL`",
        pingora: "`UPSTREAM_RESET` when it still waited for more of the chunk's line",
        why: "Sluice looks at every byte of a chunk's line as it comes. The client gets the same: what was valid, and no end.",
        forgive: |_, seen| {
            for line in seen.log.iter_mut().filter(|line| line.contains("status=2")) {
                *line = line.replace("UPSTREAM_RESET", "UPSTREAM_PROTOCOL");
            }
        },
        example: || {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            Exchange::new("GET / HTTP/1.0\r\n\r\n", [Reply::whole(head, "2\r\nok\r\nx").then(Then::Close)])
        },
    },
    Difference {
        what: "versions when the upstream answers by HTTP/1.0: in the status line, and in our entry of `Via`",
        direct: "`HTTP/1.1`, and `1.0`",
        pingora: "`HTTP/1.0`, and `1.0`; or both `1.1` where it put the body into chunks",
        why: "A proxy sends messages in a version of its own (RFC 9110 section 6.2), and says in `Via` by which it got them (section 7.6.3). Pingora passes the upstream's on, or overwrites it.",
        forgive: |_, seen| {
            for answer in &mut seen.answers {
                answer.start = answer.start.replacen("HTTP/1.0 ", "HTTP/1.1 ", 1);
                for line in &mut answer.fields {
                    *line = line.replace("1.0 sluice", "1.1 sluice");
                }
            }
        },
        example: || {
            let answer = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n";
            Exchange::new("GET / HTTP/1.0\r\n\r\n", [Reply::whole(answer, "ok").then(Then::Close)])
        },
    },
    Difference {
        what: "`Connection` of an answer of unknown length to an HTTP/1.0 client that asked for `keep-alive`",
        direct: "`close`",
        pingora: "`keep-alive`",
        why: "The answer ends with the connection (RFC 9112 section 6.3), and only `close` says so. Pingora does not look at the length.",
        forgive: |_, seen| {
            let unended = |answer: &&mut Message| answer.asked.http10 && answer.framing == Framing::UntilClose;
            for answer in seen.answers.iter_mut().filter(unended) {
                answer.fields.retain(|line| value_of(line, "connection").is_none());
            }
        },
        example: || {
            let answer = Reply::whole("HTTP/1.1 200 OK\r\n\r\n", "to the end").then(Then::Close);
            Exchange::new("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [answer])
        },
    },
    Difference {
        what: "the log, when an answer without a body comes before the upload, and the upload stops",
        direct: "the connection is closed as after every early answer",
        pingora: "it is closed after `timeouts.idle`, with `UPSTREAM_IDLE`",
        why: "Pingora says that an answer is complete with the last piece of its body, and here there is none.",
        forgive: |exchange, seen| {
            if exchange.is_early() {
                seen.log.iter_mut().for_each(|line| *line = line.replace(r#" reason="UPSTREAM_IDLE""#, ""));
            }
        },
        example: || {
            let request = "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9\r\n\r\ncut";
            let answer = Reply::whole("HTTP/1.1 204 No Content\r\n\r\n", "");
            Exchange::new(request, [Reply { when: When::Head, ..answer }])
        },
    },
    Difference {
        what: "an idempotent request, when a kept connection breaks within the head of its answer",
        direct: "502 `UPSTREAM_RESET`",
        pingora: "sent once more on another connection",
        why: "Only before the first byte of an answer it is sure that the connection had gone stale ([retries](http.md#retries)). Pingora goes by whole heads.",
        forgive: |exchange, seen| {
            let later = exchange.upstream.iter().skip(1);
            if later.into_iter().any(|reply| !reply.head.is_empty() && !has_final_head(reply)) {
                *seen = Seen::default();
            }
        },
        example: || {
            let last = "GET /last HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
            let cut = Reply::whole("HTTP/1.1 200 OK\r\n", "").then(Then::Close);
            Exchange::new(format!("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n{last}"), [Reply::default(), cut])
        },
    },
    Difference {
        what: "answers with white space before a colon, with a folded field, or with `Content-Length` beside `Transfer-Encoding`",
        direct: "502 `UPSTREAM_PROTOCOL`",
        pingora: "mended: without the space, in one line, without the length",
        why: "RFC 9112 (sections 5.1, 5.2, 6.3) leaves the choice to a proxy. Sluice does not mend what two readers could take for two things; Pingora reads the head before it can be asked.",
        forgive: |exchange, seen| {
            if exchange.upstream.iter().any(|reply| is_mended(&reply.head)) {
                *seen = Seen::default();
            }
        },
        example: || {
            let answer = "HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 2\r\n\r\n";
            Exchange::new("GET / HTTP/1.0\r\n\r\n", [Reply::whole(answer, "ok").then(Then::Close)])
        },
    },
];

/// Makes what was seen equal in all respects that are listed.
pub fn forgive(exchange: &Exchange, seen: &mut Seen) {
    DIFFERENCES.iter().for_each(|difference| (difference.forgive)(exchange, seen));
}

fn messages(seen: &mut Seen) -> impl Iterator<Item = &mut Message> {
    seen.requests.iter_mut().chain(&mut seen.answers)
}

fn remove(messages: &mut [Message], unwanted: impl Fn(&str) -> bool) {
    messages.iter_mut().for_each(|message| message.fields.retain(|line| !unwanted(line)));
}

fn name(line: &str) -> String {
    line.split(':').next().unwrap_or_default().to_ascii_lowercase()
}

/// The table of the documentation.
pub fn table() -> String {
    let row = |one: &Difference| format!("| {} | {} | {} | {} |\n", one.what, one.direct, one.pingora, one.why);
    let head = "| what | `direct` | `pingora` | why |\n|---|---|---|---|\n";
    head.to_owned() + &DIFFERENCES.iter().map(row).collect::<String>()
}

fn has_final_head(reply: &Reply) -> bool {
    let answers = message::answers(&reply.head, &[]);
    answers.last().is_some_and(|answer| answer.head_is_whole && !answer.is_interim())
}

fn is_mended(head: &[u8]) -> bool {
    let head = head.escape_ascii().to_string();
    let has = |part: &str| head.contains(part);
    [" :", r"\t:", r"\r\n ", r"\r\n\t"].into_iter().any(has) || (has("Content-Length:") && has("Transfer-Encoding:"))
}
