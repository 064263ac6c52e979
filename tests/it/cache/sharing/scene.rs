//! What the tests of sharing have in common: upstreams that say how often and for whom they were asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

pub use crate::identity::scene::{BOTH, Caller, Version, bearer, claims_with, keys_of, provider};
pub use crate::limits::scene::{File, KEYED, Partner};
use crate::support::client::Response;
use crate::support::upstream::Recorded;
use crate::support::{Client, TestGateway, Upstream, eventually};

/// Says who was told to it, and how often it was asked in all: `3 acme/ann`. `fields` are further field lines, each with its CRLF.
pub fn numbered(fields: &str) -> Upstream {
    let (fields, asked) = (fields.to_owned(), Arc::new(AtomicUsize::new(0)));
    Upstream::scripted(move |mut conn| {
        let (fields, asked) = (fields.clone(), Arc::clone(&asked));
        async move {
            while let Some(request) = conn.request().await? {
                let body = format!("{} {}", asked.fetch_add(1, Ordering::SeqCst) + 1, told(&request));
                conn.send(answer(&fields, &body)).await?;
            }
            Ok(())
        }
    })
}

/// Whom the gateway names in a request: partner and subject.
pub fn told(request: &Recorded) -> String {
    let [partner, subject] =
        ["x-sluice-partner", "x-sluice-subject"].map(|name| request.head.field(name).unwrap_or("-").to_owned());
    format!("{partner}/{subject}")
}

/// A 200 with these further field lines.
pub fn answer(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len())
}

/// A GET at `api.test` with further field lines.
pub fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{lines}\r\n")
}

/// What the cache did.
#[track_caller]
pub fn did(response: &Response) -> &str {
    response.field("x-cache").unwrap_or_else(|| panic!("no cache in {:?}: {}", response.head.fields, response.text()))
}

/// Fails unless the cache did this, and the body is that.
#[track_caller]
pub fn expect(response: &Response, outcome: &str, body: &str) {
    assert_eq!((response.status, did(response), response.text()), (200, outcome, body), "{:?}", response.head.fields);
}

/// A member of `GET /cache`.
pub async fn number(gateway: &TestGateway, name: &str) -> u64 {
    let (status, text) = gateway.admin_get("/cache").await;
    assert_eq!(status, 200, "{text}");
    let numbers: Value = serde_json::from_str(&text).unwrap();
    numbers[name].as_u64().unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Waits until a member of `GET /cache` has this value.
pub async fn number_is(gateway: &TestGateway, name: &str, value: u64) {
    eventually(&format!("{name} is {value}"), async || (number(gateway, name).await == value).then_some(())).await;
}

/// Waits until an answer is kept: its fill has come to an end behind its last byte.
pub async fn kept(gateway: &TestGateway, entries: u64) {
    number_is(gateway, "entries", entries).await;
    number_is(gateway, "in_flight", 0).await;
}

/// Purges by the admin API, and says how many answers that was.
pub async fn purge(gateway: &TestGateway, what: &str) -> u64 {
    let (status, text) = gateway.admin_send("POST", "/cache/purge", what).await;
    assert_eq!(status, 200, "{what}: {text}");
    serde_json::from_str::<Value>(&text).unwrap()["purged"].as_u64().unwrap()
}

/// So many connections, on each of which this was sent.
pub async fn asking(gateway: &TestGateway, request: &str, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = gateway.client().await;
        client.send(request).await;
        clients.push(client);
    }
    clients
}
