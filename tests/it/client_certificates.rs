//! Certificates of clients: who comes in, who does not and is told why, and what a change of the authorities ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use sluice::base::clock;

use crate::cli::process::{Place, bootstrap};
use crate::support::certificates::Issued;
use crate::support::client::Response;
use crate::support::gateway::replace_file;
use crate::support::{Authority, Client, H2Client, TestGateway, Upstream, eventually, forward_all};

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A gateway whose listener `https` asks for certificates of `clients`.
struct Asking {
    gateway: TestGateway,
    /// Signed the gateway's own certificate.
    server: Authority,
    clients: Authority,
    upstream: Upstream,
}

impl Asking {
    async fn start(mode: &str) -> Self {
        let upstream = Upstream::echo();
        let (server, clients) = (Authority::new("servers"), Authority::new("clients"));
        let builder = TestGateway::build();
        let ca = builder.file("clients.pem", &clients.bundle());
        let keys = format!(r#"client_certificates: {{ mode: {mode}, ca: "{}" }}"#, ca.display());
        let issued = server.issue(&["api.test"]);
        let gateway =
            builder.tls_listener("https", &[&issued], &keys, "").start(&forward_all(upstream.address())).await;
        Self { gateway, server, clients, upstream }
    }

    fn client(&self, shown: Option<&Issued>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        self.server.client_as(shown, &[], &[version])
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    fn trust(&self, authorities: &[&Authority]) {
        let bundle: String = authorities.iter().map(|authority| authority.bundle()).collect();
        replace_file(&self.gateway.folder().join("clients.pem"), &bundle);
    }
}

/// A request on a connection of its own, and whether its session was resumed.
async fn ask(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<(Response, bool)> {
    let mut client = Client::tls(address, "api.test", Arc::clone(config)).await?;
    let sent = client.try_send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    let (_, connection) = client.stream().tls().unwrap().get_ref();
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    match client.try_response().await {
        Ok(response) => Ok((response, resumed)),
        Err(error) => Err(sent.err().filter(|_| error.kind() != io::ErrorKind::InvalidData).unwrap_or(error)),
    }
}

/// What the gateway says to a client that it does not let in.
async fn alert(address: SocketAddr, config: &Arc<ClientConfig>) -> String {
    ask(address, config).await.expect_err("a refusal").to_string()
}

#[tokio::test]
async fn a_certificate_that_is_required_and_good_lets_in() {
    let asking = Asking::start("required").await;
    let acme = asking.clients.issue(&["acme.test"]);
    for version in BOTH {
        let config = asking.client(Some(&acme), version);
        for resumed in [false, true, true] {
            let (response, was) = ask(asking.address(), &config).await.unwrap();
            assert_eq!((response.status, was), (200, resumed), "{version:?}");
        }
    }
    let line = asking.gateway.access_log(1).await.swap_remove(0);
    assert_eq!(line["tls"], "TLSv1.2");
}

#[tokio::test]
async fn who_has_none_or_a_bad_one_is_told_why_and_counted() {
    let asking = Asking::start("required").await;
    let stranger = Authority::new("strangers").issue(&["acme.test"]);
    let expired = asking.clients.issue_until("acme.test", clock::since_epoch() - Duration::from_secs(60));
    let mut failed = 0.0;
    for version in BOTH {
        for (shown, told) in
            [(None, "CertificateRequired"), (Some(&stranger), "UnknownCA"), (Some(&expired), "CertificateExpired")]
        {
            let error = alert(asking.address(), &asking.client(shown, version)).await;
            assert!(error.contains(told), "{version:?}: {error}");
            failed += 1.0;
            asking.gateway.metric_reaches(r#"sluice_tls_handshakes_total{result="failed"}"#, failed).await;
        }
    }
    assert_eq!(asking.gateway.metrics_value("sluice_requests_total").await, 0.0);
    asking.gateway.metric_reaches("sluice_connections_open", 0.0).await;
}

/// With TLS 1.3 a client learns of its refusal after it has begun to send. A reset would take the alert from it.
#[tokio::test]
async fn who_sends_much_is_told_as_well() {
    let asking = Asking::start("required").await;
    let mut client = Client::tls(asking.address(), "api.test", asking.client(None, &TLS13)).await.unwrap();
    // The gateway may have closed its side already.
    let _told_below = client.try_send("x".repeat(60_000)).await;
    let error = client.try_response().await.expect_err("a refusal").to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing_but_not_bad() {
    let asking = Asking::start("optional").await;
    let (acme, stranger) = (asking.clients.issue(&["acme.test"]), Authority::new("strangers").issue(&["acme.test"]));
    for version in BOTH {
        for shown in [None, Some(&acme)] {
            let config = asking.client(shown, version);
            for resumed in [false, true] {
                let (response, was) = ask(asking.address(), &config).await.unwrap();
                assert_eq!((response.status, was), (200, resumed), "{version:?}");
            }
        }
        let error = alert(asking.address(), &asking.client(Some(&stranger), version)).await;
        assert!(error.contains("UnknownCA"), "{error}");
    }
}

#[tokio::test]
async fn http2_is_the_same() {
    let asking = Asking::start("required").await;
    let acme = asking.clients.issue(&["acme.test"]);
    let config = asking.server.client_as(Some(&acme), &["h2"], &[&TLS13]);
    let mut client = H2Client::tls(asking.address(), "api.test", Arc::clone(&config)).await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.get("/").await.status, 200);
    let mut again = H2Client::tls(asking.address(), "api.test", config).await;
    assert_eq!(again.get("/").await.status, 200);

    let nobody = asking.server.client_as(None, &["h2"], &[&TLS13]);
    let mut client = H2Client::tls(asking.address(), "api.test", nobody).await;
    let ended = client.ended().await.expect_err("a refusal").to_string();
    assert!(ended.contains("CertificateRequired"), "{ended}");
}

#[tokio::test]
async fn a_change_of_the_authorities_counts_for_the_next_handshake_and_ends_sessions() {
    let asking = Asking::start("required").await;
    let (address, new) = (asking.address(), Authority::new("new"));
    let (acme, globex) = (asking.clients.issue(&["acme.test"]), new.issue(&["globex.test"]));
    let resuming = BOTH.map(|version| asking.client(Some(&acme), version));
    for config in &resuming {
        for resumed in [false, true] {
            assert_eq!(ask(address, config).await.unwrap().1, resumed);
        }
    }
    let mut open = Client::tls(address, "api.test", Arc::clone(&resuming[1])).await.unwrap();
    assert_eq!(open.get("/").await.status, 200);

    // Whoever is new comes in, and nobody with a ticket from before: everybody shows a good certificate again.
    asking.trust(&[&asking.clients, &new]);
    let second = asking.client(Some(&globex), &TLS13);
    eventually("the new authority", async || ask(address, &second).await.ok()).await;
    for config in &resuming {
        assert!(!ask(address, config).await.unwrap().1);
        assert!(ask(address, config).await.unwrap().1, "the next one is good again");
    }

    asking.trust(&[&new]);
    eventually("the old authority is gone", async || ask(address, &resuming[1]).await.err()).await;
    for config in &resuming {
        let error = alert(address, config).await;
        assert!(error.contains("UnknownCA"), "{error}");
    }
    assert_eq!(ask(address, &second).await.unwrap().0.status, 200);
    assert_eq!(open.get("/").await.status, 200, "a connection keeps what it was opened with");
}

#[tokio::test]
async fn a_broken_bundle_leaves_the_old_one_in_place() {
    let asking = Asking::start("required").await;
    let acme = asking.client(Some(&asking.clients.issue(&["acme.test"])), &TLS13);
    assert_eq!(ask(asking.address(), &acme).await.unwrap().0.status, 200);
    replace_file(&asking.gateway.folder().join("clients.pem"), "nothing of use");
    eventually("the failure is counted", async || {
        (asking.gateway.metrics_value("sluice_certificate_reload_failures_total").await >= 1.0).then_some(())
    })
    .await;
    assert!(ask(asking.address(), &acme).await.unwrap().1, "not even a session is lost");
    let nobody = asking.client(None, &TLS13);
    assert!(alert(asking.address(), &nobody).await.contains("CertificateRequired"));
}

#[tokio::test]
async fn a_session_does_not_outlive_its_certificate() {
    let asking = Asking::start("required").await;
    let ends = Duration::from_secs(clock::since_epoch().as_secs() + 3);
    let short = asking.clients.issue_until("acme.test", ends);
    let resuming = BOTH.map(|version| asking.client(Some(&short), version));
    for config in &resuming {
        for resumed in [false, true] {
            assert_eq!(ask(asking.address(), config).await.unwrap().1, resumed);
        }
    }
    eventually("the certificate ends", async || (clock::since_epoch() > ends).then_some(())).await;
    for config in &resuming {
        ask(asking.address(), config).await.expect_err("its ticket is good, its certificate is not");
    }
}

#[tokio::test]
async fn a_bundle_that_cannot_be_used_is_an_error_at_start() {
    let server = Authority::new("servers");
    let issued = server.issue(&["api.test"]);
    for (content, told) in [("nothing", "NoAuthorities"), (&*issued.certificate, "NoAuthority {")] {
        let builder = TestGateway::build();
        let ca = builder.file("clients.pem", content);
        let keys = format!(r#"client_certificates: {{ ca: "{}" }}"#, ca.display());
        let builder = builder.tls_listener("https", &[&issued], &keys, "");
        let error = builder.try_start(&forward_all(([127, 0, 0, 1], 1).into())).await.err().unwrap();
        assert!(error.contains(told) && error.contains("client_certificates.ca"), "{error}");
    }
}

#[tokio::test]
async fn the_log_says_who_was_refused_and_why() {
    let place = Place::new();
    let (server, clients) = (Authority::new("servers"), Authority::new("clients"));
    server.issue(&["api.test"]).write(&place.path(""), "api");
    place.write("clients.pem", clients.bundle());
    place.write("routes.yaml", forward_all(([127, 0, 0, 1], 1).into()));
    let listener = "listeners: [{ name: http, address: \"127.0.0.1:0\", tls: { certificates: [{ certificate: ../api.crt, \
                    key: ../api.key }], client_certificates: { mode: required, ca: ../clients.pem } } }]";
    let plain = "listeners: [{ name: http, address: \"127.0.0.1:0\" }]";
    let settings = bootstrap("");
    assert!(settings.contains(plain));
    place.write("config/gateway.yaml", settings.replace(plain, listener));
    let process = place.start(&["run", "--format", "json"]);
    let address = process.started().await.listener("http");
    let error = alert(address, &server.client_as(None, &[], &[&TLS13])).await;
    assert!(error.contains("CertificateRequired"), "{error}");
    let line = eventually("the log", async || {
        process.err().lines().find(|line| line.contains("client certificate refused")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("127.0.0.1:") && line.contains("peer sent no certificates"), "{line}");
}

/// What tells a certificate to be somebody's.
fn fingerprint(issued: &Issued) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &issued.der());
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn by_certificate(upstream: SocketAddr, fingerprint: &str) -> String {
    format!(
        "version: 1\n\
         partners:\n\
         \x20 acme: {{ certificates: [{{ dns: Batch.Acme.test }}, {{ uri: \"spiffe://acme.test/batch\" }}] }}\n\
         \x20 globex: {{ certificates: [{{ fingerprint: \"{fingerprint}\" }}] }}\n\
         upstreams:\n\
         \x20 app: {{ endpoints: [\"{upstream}\"] }}\n\
         routes:\n\
         \x20 - {{ name: open, match: {{ path: /open }}, auth: none, upstream: app }}\n\
         \x20 - {{ name: all, match: {{ path: \"/{{rest...}}\" }}, auth: {{ certificate: true }}, upstream: app }}\n"
    )
}

#[tokio::test]
async fn a_certificate_tells_the_partner_also_when_the_session_resumes() {
    let asking = Asking::start("optional").await;
    let [acme, globex, nobody] =
        ["batch.acme.test", "any.globex.test", "acme.test"].map(|name| asking.clients.issue(&[name]));
    asking.gateway.reload_with(&by_certificate(asking.upstream.address(), &fingerprint(&globex))).await;
    for version in BOTH {
        for (shown, partner) in [(&acme, "acme"), (&globex, "globex")] {
            let config = asking.client(Some(shown), version);
            for resumed in [false, true] {
                let (response, was) = ask(asking.address(), &config).await.unwrap();
                assert_eq!(was, resumed);
                assert_eq!(response.echo().field("x-sluice-partner"), Some(partner), "{version:?}");
            }
        }
        let unknown = asking.client(Some(&nobody), version);
        ask(asking.address(), &unknown).await.unwrap().0.refused(403, "CERTIFICATE_UNKNOWN");
        let none = asking.client(None, version);
        let missing = ask(asking.address(), &none).await.unwrap().0;
        missing.refused(401, "CREDENTIAL_MISSING");
        assert_eq!(missing.field("www-authenticate"), Some("ClientCertificate realm=\"sluice\""));
    }
}

/// A certificate that was shown for one name says nothing about another.
#[tokio::test]
async fn where_a_certificate_decides_host_and_server_name_agree() {
    let asking = Asking::start("optional").await;
    let acme = asking.clients.issue(&["batch.acme.test"]);
    asking.gateway.reload_with(&by_certificate(asking.upstream.address(), &"00".repeat(32))).await;
    let config = asking.server.client_as(Some(&acme), &["h2"], &[&TLS13]);
    let mut client = H2Client::tls(asking.address(), "api.test", config).await;
    let get = |url: &str| http::Request::get(url).body(()).unwrap();
    assert_eq!(client.send(get("https://api.test/"), &[]).await.status, 200);
    client.send(get("https://other.test/"), &[]).await.refused(421, "MISDIRECTED");
    assert_eq!(client.send(get("https://other.test/open"), &[]).await.status, 200, "nobody is told by it there");

    let mut client = Client::tls(asking.address(), "api.test", asking.client(Some(&acme), &TLS12)).await.unwrap();
    let get = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(client.request(get("API.test:443")).await.status, 200);
    client.request(get("other.test")).await.refused(421, "MISDIRECTED");
}
