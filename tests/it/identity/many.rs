//! 10,000 partners and 100,000 tokens, and the memory that they take: that of a gateway in a process of its own.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::scene::claims_with;
use crate::cli::process::{Place, bootstrap};
use crate::support::issuer::SigningKey;
use crate::support::{Client, within};

const PARTNERS: usize = 10_000;
const TOKENS: usize = 100_000;
const SECRET: &str = "a secret of thirty-two bytes ...";

/// Requests that are written at once.
const BATCH: usize = 50;

/// How an answer that lets in ends.
const BODY: &[u8] = b"\r\n\r\ngood";

const MIB: f64 = 1024.0 * 1024.0;

/// Of the gateway: far less than what 100,000 tokens would take.
const TOKEN_CACHE: &str = "8MiB";

/// What the process may grow by: the budget, and as much again for buffers and for room that an allocator keeps.
const ROOM: f64 = 16.0 * MIB;

fn routes() -> String {
    let mut file = "version: 1\n\
        issuers: { main: { issuer: \"https://id.test/\", audiences: [api], secret: \"file:secret\" } }\n\
        plans: { standard: { rate_limit: 1000/s, quota: 1000000/month, concurrency: 50 } }\npartners:\n"
        .to_owned();
    for at in 0..PARTNERS {
        writeln!(file, "  partner-{at}: {{ plan: standard, clients: [client-{at}] }}").unwrap();
    }
    file + "routes:\n  - { name: orders, match: { path: /orders }, respond: { body: good }, \
            auth: { issuer: main, scopes: { all_of: [orders:read] } } }\n"
}

/// Sends each token once and fails unless each is let in.
async fn pass(address: SocketAddr, tokens: &[String]) {
    // A connection has an end after so many requests.
    for of_connection in tokens.chunks(5_000) {
        let mut stream = within("connect", TcpStream::connect(address)).await.unwrap();
        for batch in of_connection.chunks(BATCH) {
            let mut requests = String::new();
            for token in batch {
                write!(requests, "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
            }
            within("write", stream.write_all(requests.as_bytes())).await.unwrap();
            let mut answers = Vec::with_capacity(64 * 1024);
            while answers.windows(BODY.len()).filter(|bytes| *bytes == BODY).count() < batch.len() {
                let read = within("answers", stream.read_buf(&mut answers)).await.unwrap();
                assert!(read > 0, "{}", String::from_utf8_lossy(&answers));
            }
        }
    }
}

async fn metric(admin: SocketAddr, sample: &str) -> f64 {
    let text = Client::connect(admin).await.request("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let line = text.text().lines().find(|line| line.starts_with(sample)).unwrap_or_else(|| panic!("no {sample}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn resident(admin: SocketAddr) -> f64 {
    metric(admin, "process_resident_memory_bytes").await
}

fn tokens() -> Vec<String> {
    let key = SigningKey::hs256(SECRET.as_bytes());
    let token = |at: usize| {
        let client = format!("client-{}", at % PARTNERS);
        let (subject, id) = (format!("user-{at}"), format!("0198c0de-{at:012}"));
        key.sign(&claims_with(json!({ "azp": client, "sub": subject, "jti": id })))
    };
    (0..TOKENS).map(token).collect()
}

#[tokio::test]
async fn memory_stays_within_its_budget_however_many_tokens_come() {
    let tokens = tokens();
    let place = Place::serving(&routes());
    let settings = format!("credentials: {{ token_cache: {TOKEN_CACHE} }}\naccess_log: {{ target: \"off\" }}");
    place.write("config/gateway.yaml", bootstrap(&settings));
    place.write("secret", SECRET);
    let process = place.start(&["run", "--format", "json"]);
    let addresses = process.started().await;
    let (http, admin) = (addresses.listener("http"), addresses.admin());
    pass(http, &tokens[..BATCH]).await;
    let before = resident(admin).await;
    let mut known = Vec::new();
    for round in ["first", "second"] {
        pass(http, &tokens).await;
        let grown = resident(admin).await - before;
        assert!(grown <= ROOM, "{:.1} MiB more than {:.1} in the {round} round", grown / MIB, before / MIB);
        known.push(metric(admin, r#"sluice_credentials_total{method="jwt",result="cached"}"#).await);
    }
    let again = known[1] - known[0];
    assert!((1.0..TOKENS as f64).contains(&again), "some are known and most were let go: {again}");
    let verified = metric(admin, r#"sluice_credentials_total{method="jwt",result="accepted"}"#).await;
    assert_eq!(verified + known[1], (2 * TOKENS + BATCH) as f64, "every one was good");
}
