//! Tokens of browsers that open a WebSocket: in `Sec-WebSocket-Protocol`, the only field that a page can set.

use super::scene::{File, claims, logged, provider, start};
use crate::support::issuer::SigningKey;
use crate::support::wire::Head;
use crate::support::{Client, TestGateway, Upstream};

/// Agrees, to this protocol if it is one, and then says everything back.
fn echoing(chooses: &'static str) -> Upstream {
    Upstream::scripted(move |mut conn| async move {
        conn.request().await?;
        let chosen = if chooses.is_empty() { String::new() } else { format!("Sec-WebSocket-Protocol: {chooses}\r\n") };
        conn.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{chosen}\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        ))
        .await?;
        while let Ok(byte) = conn.wire.exactly(1).await {
            conn.send(byte).await?;
        }
        Ok(())
    })
}

async fn open(gateway: &TestGateway, target: &str, fields: &str) -> (Client, u16, Head) {
    let mut client = gateway.client().await;
    client
        .send(format!(
            "GET {target} HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
        ))
        .await;
    let (status, head) = client.response_head().await;
    (client, status, head)
}

async fn behind(upstream: &Upstream) -> (TestGateway, SigningKey) {
    let (key, provider) = provider();
    let auth = "issuer: main, token: { websocket_protocol: true, query: access_token }";
    let file = File::usual(upstream, &provider).route("ws", auth, "");
    let gateway = start(&file).await;
    (gateway, key)
}

async fn talks(client: &mut Client) {
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
}

#[tokio::test]
async fn a_token_among_the_protocols_lets_in_and_bearer_is_agreed_to() {
    let upstream = echoing("");
    let (gateway, key) = behind(&upstream).await;
    let token = key.sign(&claims());
    for (offered, seen) in [
        (format!("Sec-WebSocket-Protocol: bearer, {token}\r\n"), None),
        (format!("Sec-WebSocket-Protocol: chat, bearer, {token}, v2.chat\r\n"), Some("chat, v2.chat")),
        (format!("Sec-WebSocket-Protocol: Bearer\r\nSec-WebSocket-Protocol: {token}\r\n"), None),
        (format!("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: bearer,{token}\r\n"), Some("chat")),
    ] {
        let (mut client, status, head) = open(&gateway, "/ws", &offered).await;
        assert_eq!((status, head.all("sec-websocket-protocol")), (101, vec!["bearer"]), "{offered}");
        talks(&mut client).await;
        let request = upstream.requests().pop().unwrap();
        assert_eq!(request.head.field("sec-websocket-protocol"), seen);
        assert_eq!(request.head.field("x-sluice-subject"), Some("ann"));
        assert!(request.head.fields.iter().all(|(_, value)| !value.contains(&token)));
    }
    let line = logged(&gateway, 4).await;
    assert_eq!((&line["status"], &line["partner"], &line["auth"]), (&101.into(), &"acme".into(), &"jwt".into()));
}

#[tokio::test]
async fn the_choice_of_the_upstream_stays_its_own() {
    let upstream = echoing("chat");
    let (gateway, key) = behind(&upstream).await;
    let token = key.sign(&claims());
    let fields = format!("Sec-WebSocket-Protocol: bearer, {token}, chat\r\n");
    let (mut client, status, head) = open(&gateway, "/ws", &fields).await;
    assert_eq!((status, head.all("sec-websocket-protocol")), (101, vec!["chat"]));
    talks(&mut client).await;
}

#[tokio::test]
async fn who_offers_no_bearer_is_answered_none() {
    let upstream = echoing("");
    let (gateway, key) = behind(&upstream).await;
    let token = key.sign(&claims());
    for fields in ["Sec-WebSocket-Protocol: chat\r\n", ""] {
        let (mut client, status, head) = open(&gateway, &format!("/ws?access_token={token}&a=1"), fields).await;
        assert_eq!((status, head.field("sec-websocket-protocol")), (101, None));
        talks(&mut client).await;
    }
    assert_eq!(upstream.requests()[0].target, "/ws?a=1");
    assert_eq!(upstream.requests()[0].head.field("sec-websocket-protocol"), Some("chat"));
}

#[tokio::test]
async fn an_upgrade_is_refused_like_anything_else() {
    let upstream = Upstream::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let (gateway, key) = behind(&upstream).await;
    let token = key.sign(&claims());
    for (fields, refused) in [
        (String::new(), (401, "CREDENTIAL_MISSING")),
        ("Sec-WebSocket-Protocol: bearer\r\n".to_owned(), (401, "CREDENTIAL_MISSING")),
        (format!("Sec-WebSocket-Protocol: {token}\r\n"), (401, "CREDENTIAL_MISSING")),
        ("Sec-WebSocket-Protocol: bearer, x\r\n".to_owned(), (401, "JWT_MALFORMED")),
        (format!("Sec-WebSocket-Protocol: bearer, {token}, bearer, {token}\r\n"), (400, "CREDENTIAL_REPEATED")),
        (
            format!("Sec-WebSocket-Protocol: bearer, {token}\r\nAuthorization: Bearer {token}\r\n"),
            (400, "CREDENTIAL_REPEATED"),
        ),
    ] {
        let mut client = gateway.client().await;
        let response = client
            .request(format!(
                "GET /ws HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
            ))
            .await;
        response.refused(refused.0, refused.1);
    }
    assert!(upstream.requests().is_empty());
    let fields = format!("Sec-WebSocket-Protocol: bearer, {token}\r\n");
    let (_, status, head) = open(&gateway, "/ws", &fields).await;
    assert_eq!((status, head.field("sec-websocket-protocol")), (403, None), "what is no upgrade agrees to nothing");
}
