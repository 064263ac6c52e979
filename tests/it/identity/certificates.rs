//! Client certificates: whom they name, and the one host that a connection may ask for.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::Request;
use rcgen::SanType;
use rustls::ClientConfig;
use sluice::base::clock;

use super::scene::{BOTH, File, Version, claims, counted, keys_of, logged, provider, response};
use crate::support::certificates::Issued;
use crate::support::client::Response;
use crate::support::{Authority, Client, H2Client, TestGateway, Upstream, eventually};

const YEARS: Duration = Duration::from_secs(4_000_000_000);

/// Authorities of servers and of clients.
struct Trusted {
    server: Authority,
    clients: Authority,
}

impl Trusted {
    fn new() -> Self {
        Self { server: Authority::new("servers"), clients: Authority::new("clients") }
    }

    /// A gateway that is `api.test`, `other.test` and 127.0.0.1, and asks for certificates.
    async fn start(&self, file: &File, mode: &str) -> TestGateway {
        let builder = TestGateway::build();
        let ca = builder.file("clients.pem", &self.clients.bundle());
        let keys = format!(r#"client_certificates: {{ mode: {mode}, ca: "{}" }}"#, ca.display());
        let issued = self.server.issue(&["api.test", "other.test", "127.0.0.1"]);
        builder.tls_listener("https", &[&issued], &keys, "").start(&file.to_string()).await
    }

    fn client(&self, shown: Option<&Issued>, version: Version) -> Arc<ClientConfig> {
        let alpn: &[&str] = if version == Version::Two { &["h2"] } else { &[] };
        self.server.client_as(shown, alpn, rustls::ALL_VERSIONS)
    }

    fn issue(&self, subject: &str, names: Vec<SanType>) -> Issued {
        self.clients.issue_client(subject, names, YEARS)
    }
}

/// A connection that was made for a host, and may ask for another.
enum Secured {
    One(Client),
    Two(H2Client),
}

impl Secured {
    async fn connect(gateway: &TestGateway, name: &str, config: Arc<ClientConfig>, version: Version) -> Self {
        match version {
            Version::One => Self::One(Client::tls(gateway.address(), name, config).await.unwrap()),
            Version::Two => Self::Two(H2Client::tls(gateway.address(), name, config).await),
        }
    }

    async fn get(&mut self, host: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        match self {
            Self::One(client) => {
                let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                client.request(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")).await
            }
            Self::Two(client) => {
                let mut request = Request::get(format!("https://{host}{target}"));
                for (name, value) in fields {
                    request = request.header(*name, *value);
                }
                response(client.send(request.body(()).unwrap(), &[]).await)
            }
        }
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().unwrap())
}

fn fingerprint(issued: &Issued) -> String {
    digest(&SHA256, &issued.der()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(upstream: &Upstream) -> File {
    File::new(upstream.address())
        .partner("acme", "scopes: [orders:read], certificates: [{ dns: client.acme.test }]")
        .partner("globex", r#"certificates: [{ uri: "spiffe://globex.test/app" }]"#)
        .partner("initech", "certificates: [{ email: ops@initech.test }]")
        .route("orders", "certificate: true", "")
        .route("read", "certificate: true, scopes: { all_of: [orders:read] }", "")
        .route("open", "none", "")
}

#[tokio::test]
async fn a_partner_is_known_by_each_kind_of_name() {
    let (trusted, upstream) = (Trusted::new(), Upstream::echo());
    let pinned = trusted.issue("pinned", vec![dns("client.acme.test")]);
    let file =
        file(&upstream).partner("umbrella", &format!("certificates: [{{ fingerprint: {} }}]", fingerprint(&pinned)));
    let gateway = trusted.start(&file, "required").await;
    let mut seen = 0;
    for version in BOTH {
        for (issued, partner, subject) in [
            (&trusted.issue("a", vec![dns("x.test"), dns("Client.Acme.TEST")]), "acme", "CN=a"),
            (&trusted.issue("b", vec![uri("spiffe://globex.test/app")]), "globex", "CN=b"),
            (&trusted.issue("c", vec![email("ops@initech.test")]), "initech", "CN=c"),
            (&pinned, "umbrella", "CN=pinned"),
            // Fingerprint, URI, DNS, e-mail: in this order, whatever the certificate's.
            (&trusted.issue("d", vec![dns("client.acme.test"), uri("spiffe://globex.test/app")]), "globex", "CN=d"),
            (&trusted.issue("e", vec![email("ops@initech.test"), dns("client.acme.test")]), "acme", "CN=e"),
        ] {
            let config = trusted.client(Some(issued), version);
            let mut caller = Secured::connect(&gateway, "api.test", config, version).await;
            for _ in 0..2 {
                let echo = caller.get("api.test", "/orders", &[]).await.echo();
                assert_eq!(echo.field("x-sluice-partner"), Some(partner));
                assert_eq!(echo.field("x-sluice-subject"), Some(subject));
                seen += 1;
                let line = logged(&gateway, seen).await;
                assert_eq!((&line["auth"], &line["partner"]), (&"certificate".into(), &partner.into()), "{line}");
            }
            let response = caller.get("api.test", "/read", &[]).await;
            seen += 1;
            if partner == "acme" {
                assert_eq!(response.echo().field("x-sluice-scopes"), Some("orders:read"));
            } else {
                response.refused(403, "SCOPE_MISSING");
            }
        }
        for names in [vec![], vec![dns("acme.test")], vec![dns("*.acme.test")], vec![uri("spiffe://globex.test/App")]] {
            let config = trusted.client(Some(&trusted.issue("client.acme.test", names)), version);
            let mut caller = Secured::connect(&gateway, "api.test", config, version).await;
            let response = caller.get("api.test", "/orders", &[]).await;
            response.refused(403, "CERTIFICATE_UNKNOWN");
            assert_eq!(response.field("www-authenticate"), None);
            seen += 1;
            let line = logged(&gateway, seen).await;
            assert_eq!((line.get("auth"), line.get("partner")), (None, None), "{line}");
            assert_eq!(caller.get("api.test", "/open", &[]).await.status, 200);
            seen += 1;
        }
    }
    assert_eq!(counted(&gateway, "certificate", "accepted").await, 36.0);
    assert_eq!(counted(&gateway, "certificate", "refused").await, 8.0);
}

#[tokio::test]
async fn without_a_certificate_the_route_decides() {
    let (trusted, upstream) = (Trusted::new(), Upstream::echo());
    let (key, provider) = provider();
    let file = file(&upstream)
        .issuer("main", &keys_of(&provider, ""))
        .partner("umbrella", "clients: [acme-app]")
        .route("either", "any_of: [{ certificate: true }, { issuer: main }]", "");
    let gateway = trusted.start(&file, "optional").await;
    let token = super::scene::bearer(&key.sign(&claims()));
    let acme = trusted.issue("a", vec![dns("client.acme.test")]);
    for version in BOTH {
        let mut nobody = Secured::connect(&gateway, "api.test", trusted.client(None, version), version).await;
        let response = nobody.get("api.test", "/orders", &[]).await;
        response.refused(401, "CREDENTIAL_MISSING");
        assert_eq!(response.head.all("www-authenticate"), [r#"ClientCertificate realm="sluice""#]);
        assert_eq!(nobody.get("api.test", "/open", &[]).await.status, 200);
        let echo = nobody.get("api.test", "/either", &[("authorization", &token)]).await.echo();
        assert_eq!(echo.field("x-sluice-partner"), Some("umbrella"));
        // Without a certificate nothing hangs on the name of the connection.
        assert_eq!(nobody.get("other.test", "/either", &[("authorization", &token)]).await.status, 200);

        let mut known = Secured::connect(&gateway, "api.test", trusted.client(Some(&acme), version), version).await;
        let echo = known.get("api.test", "/either", &[("authorization", &token)]).await.echo();
        assert_eq!(echo.field("x-sluice-partner"), Some("acme"), "the first that came");
        let stranger = trusted.issue("s", vec![]);
        let config = trusted.client(Some(&stranger), version);
        let mut unknown = Secured::connect(&gateway, "api.test", config, version).await;
        unknown.get("api.test", "/either", &[("authorization", &token)]).await.refused(403, "CERTIFICATE_UNKNOWN");
    }
    let response = TestGateway::start(&file.to_string()).await.get("/orders").await;
    response.refused(401, "CREDENTIAL_MISSING");
}

#[tokio::test]
async fn a_connection_for_one_host_is_not_for_another() {
    let (trusted, upstream) = (Trusted::new(), Upstream::echo());
    let gateway = trusted.start(&file(&upstream), "required").await;
    let acme = trusted.issue("a", vec![dns("client.acme.test")]);
    for version in BOTH {
        let mut caller = Secured::connect(&gateway, "api.test", trusted.client(Some(&acme), version), version).await;
        assert_eq!(caller.get("api.test", "/orders", &[]).await.status, 200);
        // As browsers do with HTTP/2 when a certificate has both names (RFC 9113 section 9.1.1).
        for host in ["other.test", "api.test.evil.test", "127.0.0.1", "xapi.test"] {
            let response = caller.get(host, "/orders", &[]).await;
            response.refused(421, "MISDIRECTED");
        }
        for host in ["API.test", "api.test:8443", "api.test."] {
            assert_eq!(caller.get(host, "/orders", &[]).await.status, 200, "{host}");
        }
        assert_eq!(caller.get("other.test", "/open", &[]).await.status, 200, "where no certificate decides");
        assert_eq!(caller.get("api.test", "/orders", &[]).await.status, 200, "the connection goes on");
        let line = gateway.access_log(1).await.into_iter().find(|line| line["reason"] == "MISDIRECTED").unwrap();
        assert_eq!((line.get("partner"), line.get("auth")), (None, None), "{line}");

        // An address has no SNI.
        let mut direct = Secured::connect(&gateway, "127.0.0.1", trusted.client(Some(&acme), version), version).await;
        assert_eq!(direct.get("127.0.0.1:8443", "/orders", &[]).await.status, 200);
        direct.get("api.test", "/orders", &[]).await.refused(421, "MISDIRECTED");
    }
}

#[tokio::test]
async fn streams_for_several_hosts_at_once_are_each_told_apart() {
    let (trusted, upstream) = (Trusted::new(), Upstream::echo());
    let gateway = trusted.start(&file(&upstream), "required").await;
    let acme = trusted.issue("a", vec![dns("client.acme.test")]);
    let mut client = H2Client::tls(gateway.address(), "api.test", trusted.client(Some(&acme), Version::Two)).await;
    let mut waiting = Vec::new();
    for at in 0..20 {
        let host = if at % 2 == 0 { "api.test" } else { "other.test" };
        let request = Request::get(format!("https://{host}/orders")).body(()).unwrap();
        waiting.push((at, client.open(request, true).await.unwrap()));
    }
    for (at, (answer, _body)) in waiting {
        let answer = response(crate::support::h2_client::response_of(answer).await.unwrap());
        if at % 2 == 0 {
            assert_eq!(answer.echo().field("x-sluice-partner"), Some("acme"));
        } else {
            answer.refused(421, "MISDIRECTED");
        }
    }
    assert_eq!(upstream.requests().len(), 10);
}

#[tokio::test]
async fn a_certificate_ends_while_its_connection_is_open() {
    let (trusted, upstream) = (Trusted::new(), Upstream::echo());
    let gateway = trusted.start(&file(&upstream), "required").await;
    let ends = Duration::from_secs(clock::since_epoch().as_secs() + 4);
    let short = trusted.clients.issue_client("a", vec![dns("client.acme.test")], ends);
    let mut callers = Vec::new();
    for version in BOTH {
        let config = trusted.client(Some(&short), version);
        let mut caller = Secured::connect(&gateway, "api.test", config, version).await;
        assert_eq!(caller.get("api.test", "/orders", &[]).await.status, 200);
        callers.push(caller);
    }
    eventually("the certificate ends", async || (clock::since_epoch() > ends).then_some(())).await;
    for caller in &mut callers {
        caller.get("api.test", "/orders", &[]).await.refused(403, "CERTIFICATE_EXPIRED");
    }
}

#[tokio::test]
async fn a_certificate_that_is_taken_off_the_file_is_unknown_on_its_open_connection() {
    let (trusted, upstream) = (Trusted::new(), Upstream::echo());
    let file = file(&upstream);
    let gateway = trusted.start(&file, "required").await;
    let acme = trusted.issue("a", vec![dns("client.acme.test")]);
    let mut callers = Vec::new();
    for version in BOTH {
        let config = trusted.client(Some(&acme), version);
        let mut caller = Secured::connect(&gateway, "api.test", config, version).await;
        assert_eq!(caller.get("api.test", "/orders", &[]).await.status, 200);
        callers.push(caller);
    }
    gateway.reload_with(&file.partner("acme", "certificates: [{ dns: new.acme.test }]").to_string()).await;
    for caller in &mut callers {
        caller.get("api.test", "/orders", &[]).await.refused(403, "CERTIFICATE_UNKNOWN");
    }
}
