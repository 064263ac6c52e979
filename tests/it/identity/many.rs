//! 10,000 partners and 100,000 tokens, and the memory that they take: that of a gateway in a process of its own.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::json;

use super::scene::claims_with;
use crate::cli::process::{Place, Process, bootstrap};
use crate::support::Client;
use crate::support::issuer::SigningKey;

const PARTNERS: usize = 10_000;
const TOKENS: usize = 100_000;
const SECRET: &str = "a secret of thirty-two bytes ...";

/// Requests that are written at once.
const BATCH: usize = 100;

const MIB: f64 = 1024.0 * 1024.0;

/// What the process may grow by beside what it keeps: buffers, and room that an allocator has not given back.
const SLACK: f64 = 24.0 * MIB;

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
    let mut client = Client::connect(address).await;
    for (at, batch) in tokens.chunks(BATCH).enumerate() {
        // A connection has an end after so many requests.
        if at % 50 == 49 {
            client = Client::connect(address).await;
        }
        let mut requests = String::new();
        for token in batch {
            write!(requests, "GET /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
        }
        let (send, read) = (requests, batch.len());
        client.send(send).await;
        for _ in 0..read {
            let response = client.response().await;
            assert_eq!(response.status, 200, "{}", response.text());
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

async fn known(admin: SocketAddr) -> f64 {
    metric(admin, r#"sluice_credentials_total{method="jwt",result="cached"}"#).await
}

async fn started(token_cache: &str) -> (Place, Process, SocketAddr, SocketAddr) {
    let place = Place::serving(&routes());
    let settings = format!("credentials: {{ token_cache: {token_cache} }}\naccess_log: {{ target: \"off\" }}");
    place.write("config/gateway.yaml", bootstrap(&settings));
    place.write("secret", SECRET);
    let process = place.start(&["run", "--format", "json"]);
    let addresses = process.started().await;
    let (http, admin) = (addresses.listener("http"), addresses.admin());
    (place, process, http, admin)
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
    for (budget, all_are_kept) in [(8.0, false), (96.0, true)] {
        let (_place, process, http, admin) = started(&format!("{budget}MiB")).await;
        pass(http, &tokens[..BATCH]).await;
        let before = resident(admin).await;
        pass(http, &tokens[BATCH..]).await;
        let first = resident(admin).await - before;
        let known_before = known(admin).await;
        pass(http, &tokens).await;
        let second = resident(admin).await - before;
        let known = known(admin).await - known_before;
        eprintln!(
            "token cache {budget} MiB, {PARTNERS} partners in {:.1} MiB; {TOKENS} tokens: {:.1} MiB, again: {:.1} MiB, {known} known",
            before / MIB,
            first / MIB,
            second / MIB,
        );
        for grown in [first, second] {
            assert!(grown <= budget * MIB + SLACK, "{:.1} MiB of {budget}", grown / MIB);
        }
        assert!(second - first <= SLACK / 2.0, "the second time adds nothing: {:.1} MiB", (second - first) / MIB);
        assert_eq!(known == TOKENS as f64, all_are_kept, "{known}");
        drop(process);
    }
}
