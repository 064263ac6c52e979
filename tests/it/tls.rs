//! TLS towards clients: which certificate, which version, and how they change.

use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};

use crate::support::client::End;
use crate::support::gateway::replace_file;
use crate::support::{Authority, Client, TestGateway, Upstream, eventually, forward_all};

fn shown(client: &Client) -> CertificateDer<'static> {
    let (_, connection) = client.stream().tls().expect("a TLS connection").get_ref();
    connection.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let first = authority.issue(&["first.test", "127.0.0.1"]);
    let exact = authority.issue(&["api.test"]);
    let wildcard = authority.issue(&["*.wild.test"]);
    let gateway = TestGateway::build()
        .tls_listener("https", &[&first, &wildcard, &exact], "", "")
        .start(&forward_all(upstream.address()))
        .await;
    for (name, expected) in
        [("first.test", &first), ("api.test", &exact), ("other.wild.test", &wildcard), ("127.0.0.1", &first)]
    {
        let mut client = Client::tls(gateway.address(), name, authority.client(&[])).await.unwrap();
        assert!(shown(&client) == expected.der(), "{name}");
        assert_eq!(client.get("/").await.echo().field("x-forwarded-proto"), Some("https"));
    }
    let line = gateway.access_log(1).await.swap_remove(0);
    assert_eq!(line["tls"], "TLSv1.3");
}

#[tokio::test]
async fn certificates_are_swapped_while_serving() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let (old, new) = (authority.issue(&["api.test"]), authority.issue(&["api.test"]));
    let gateway =
        TestGateway::build().tls_listener("https", &[&old], "", "").start(&forward_all(upstream.address())).await;
    let mut kept = Client::tls(gateway.address(), "api.test", authority.client(&[])).await.unwrap();
    assert!(shown(&kept) == old.der());
    new.write(gateway.folder(), "https-0");
    eventually("the new certificate", async || {
        let client = Client::tls(gateway.address(), "api.test", authority.client(&[])).await.unwrap();
        (shown(&client) == new.der()).then_some(())
    })
    .await;
    assert_eq!(kept.get("/").await.status, 200, "a connection keeps what it was opened with");
}

#[tokio::test]
async fn a_broken_certificate_leaves_the_old_one_in_place() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let issued = authority.issue(&["api.test"]);
    let gateway =
        TestGateway::build().tls_listener("https", &[&issued], "", "").start(&forward_all(upstream.address())).await;
    replace_file(&gateway.folder().join("https-0.crt"), "not a certificate");
    eventually("the failure is counted", async || {
        (gateway.metrics_value("sluice_certificate_reload_failures_total").await >= 1.0).then_some(())
    })
    .await;
    let client = Client::tls(gateway.address(), "api.test", authority.client(&[])).await.unwrap();
    assert!(shown(&client) == issued.der());
}

#[tokio::test]
async fn a_key_of_another_certificate_is_an_error_at_start() {
    let authority = Authority::new("known");
    let issued = authority.issue(&["api.test"]);
    let builder = TestGateway::build().tls_listener("https", &[&issued], "", "");
    builder.file("https-0.key", &authority.issue(&["api.test"]).key);
    assert!(builder.try_start(&forward_all(([127, 0, 0, 1], 1).into())).await.is_err());
}

#[tokio::test]
async fn versions_below_the_lowest_are_refused() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let issued = authority.issue(&["api.test"]);
    let gateway = TestGateway::build()
        .tls_listener("modern", &[&issued], r#"min_version: "1.3""#, "")
        .tls_listener("both", &[&issued], r#"min_version: "1.2""#, "")
        .start(&forward_all(upstream.address()))
        .await;
    let old = authority.client_with(&[], &[&rustls::version::TLS12]);
    assert!(Client::tls(gateway.listener("modern"), "api.test", Arc::clone(&old)).await.is_err());
    let mut client = Client::tls(gateway.listener("both"), "api.test", old).await.unwrap();
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(gateway.access_log(1).await[0]["tls"], "TLSv1.2");
}

#[tokio::test]
async fn plaintext_on_a_tls_listener_is_closed_and_nothing_else_happens() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let gateway = TestGateway::build()
        .tls_listener("https", &[&authority.issue(&["api.test"])], "", "")
        .start(&forward_all(upstream.address()))
        .await;
    for noise in ["GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "\x16\x03\x01\x01\x01\x01 not a hello", "\0\0\0\0\0\0"] {
        let mut client = gateway.client().await;
        client.send(noise).await;
        client.half_close().await;
        let end = client.end().await;
        assert!(!matches!(&end, End::Closed(bytes) if bytes.starts_with(b"HTTP")), "{end:?}");
    }
    let mut client = Client::tls(gateway.address(), "api.test", authority.client(&[])).await.unwrap();
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn a_tls_connection_is_closed_in_order() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let gateway = TestGateway::build()
        .tls_listener("https", &[&authority.issue(&["api.test"])], "", "")
        .set("deadlines", "{ keep_alive: 150ms }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = Client::tls(gateway.address(), "api.test", authority.client(&[])).await.unwrap();
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.end().await, End::Closed(Vec::new()), "with close_notify, so that nobody can cut it unnoticed");
}

fn resumed(client: &Client) -> bool {
    let (_, connection) = client.stream().tls().expect("a TLS connection").get_ref();
    connection.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[tokio::test]
async fn sessions_resume_on_every_thread_and_after_a_change_of_certificate() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let (old, new) = (authority.issue(&["api.test"]), authority.issue(&["api.test"]));
    let gateway = TestGateway::build()
        .set("threads", "2")
        .tls_listener("https", &[&old], "", "")
        .start(&forward_all(upstream.address()))
        .await;
    for version in [&TLS13, &TLS12] {
        let config = authority.client_with(&[], &[version]);
        // The kernel deals connections out by their ports: of so many, some come to either thread.
        for number in 0..16 {
            let mut client = Client::tls(gateway.address(), "api.test", Arc::clone(&config)).await.unwrap();
            assert_eq!(resumed(&client), number > 0, "{version:?} {number}");
            // With 1.3 the next ticket comes with the answer.
            assert_eq!(client.get("/").await.status, 200);
        }
    }

    let config = authority.client(&[]);
    let mut before = Client::tls(gateway.address(), "api.test", Arc::clone(&config)).await.unwrap();
    assert_eq!(before.get("/").await.status, 200);
    new.write(gateway.folder(), "https-0");
    eventually("the new certificate", async || {
        let client = Client::tls(gateway.address(), "api.test", authority.client(&[])).await.unwrap();
        (shown(&client) == new.der()).then_some(())
    })
    .await;
    let mut after = Client::tls(gateway.address(), "api.test", config).await.unwrap();
    assert!(resumed(&after));
    assert_eq!(after.get("/").await.status, 200);
}

#[tokio::test]
async fn a_ticket_of_another_listener_is_no_good() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let issued = authority.issue(&["api.test"]);
    let gateway = TestGateway::build()
        .tls_listener("one", &[&issued], "", "")
        .tls_listener("two", &[&issued], "", "")
        .start(&forward_all(upstream.address()))
        .await;
    let config = authority.client(&[]);
    for (listener, expected) in [("one", false), ("one", true), ("two", false), ("two", true)] {
        let mut client = Client::tls(gateway.listener(listener), "api.test", Arc::clone(&config)).await.unwrap();
        assert_eq!(resumed(&client), expected, "{listener}");
        assert_eq!(client.get("/").await.status, 200);
    }
}
