//! `sluice run`: what it starts with, what it says, and what keeps it from starting.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::process::{Place, bootstrap};
use crate::support::gateway::{endpoint, routes};
use crate::support::{Client, H2Client, Upstream, eventually, within};

/// Free ports for everything that the built-in settings fix.
const ANYWHERE: [&str; 8] = [
    "--listen",
    "https=127.0.0.1:0",
    "--listen",
    "http=127.0.0.1:0",
    "--admin",
    "127.0.0.1:0",
    "--sandbox",
    "127.0.0.1:0",
];

const WELCOME: &str = r#"
version: 1
routes:
  - { name: welcome, match: { path: / }, auth: none, respond: { body: hello } }
"#;

fn trusting(authority: &[u8], alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

#[tokio::test]
async fn in_an_empty_folder_it_starts_with_what_is_built_in_and_its_curl_lines_work() {
    let place = Place::new();
    let gateway = place.start(&ANYWHERE);
    let said = gateway.says("/status\n").await;
    assert!(said.contains("config   config/gateway.yaml (built in; there is no such file here)"), "{said}");
    assert!(said.contains("routes   routes.yaml, 21 routes (built in; there is no such file here)"), "{said}");
    for name in ["https    https://127.0.0.1:", "http     http://127.0.0.1:", "admin    http://127.0.0.1:", "sandbox  "]
    {
        assert!(said.contains(name), "{name}: {said}");
    }
    let (authority, address, _) = curl_line(&said);
    let authority = std::fs::read(place.path(&authority)).unwrap();
    let mut client = Client::tls(address, "127.0.0.1", trusting(&authority, &[])).await.unwrap();
    assert_eq!(client.get("/").await.status, 200);
    let mut client = H2Client::tls(address, "localhost", trusting(&authority, &["h2"])).await;
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn the_line_with_a_token_opens_a_route_that_asks_for_one() {
    let place = Place::new();
    let gateway = place.start(&ANYWHERE);
    let said = gateway.says("/status\n").await;
    let line = said.lines().find(|line| line.contains("Bearer")).unwrap().trim();
    let (start, rest) = line.split_once(r#" -H "Authorization: Bearer $("#).unwrap();
    let command = rest.strip_suffix(r#")""#).unwrap();
    assert!(command.ends_with("sluice token --partner acme --scope orders:read"), "{line}");
    let token = std::process::Command::new("sh").args(["-c", command]).current_dir(place.path("")).output().unwrap();
    assert!(token.status.success() && token.stderr.is_empty(), "{token:?}");
    let (address, path) = start.strip_prefix("curl -i http://").unwrap().split_once('/').unwrap();
    let mut client = Client::connect(address.parse().unwrap()).await;
    client.get(&format!("/{path}")).await.refused(401, "CREDENTIAL_MISSING");
    let token = String::from_utf8(token.stdout).unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", token.trim());
    // The upstream of the built-in routes is at a port of its own, where there may be one or not.
    let status = client.request(&request).await.status;
    assert!([200, 502].contains(&status), "{status}");
}

/// As printed, `curl -i --cacert certs/dev-ca.pem https://127.0.0.1:1234/path`: the file, the address and the path.
fn curl_line(said: &str) -> (String, SocketAddr, String) {
    let line = said.lines().find(|line| line.contains("--cacert")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["curl", "-i", "--cacert", authority, url] = words.as_slice() else { panic!("{line}") };
    let (address, path) = url.strip_prefix("https://").unwrap().split_once('/').unwrap();
    ((*authority).to_owned(), address.parse().unwrap(), format!("/{path}"))
}

#[tokio::test]
async fn the_curl_line_asks_for_a_path_that_is_routed() {
    let upstream = Upstream::echo();
    let place = Place::new();
    let forward =
        |name: &str, keys: &str| format!("{{ name: {name}, match: {{ {keys} }}, auth: none, upstream: app }}");
    let file = routes(
        &[("app", endpoint(upstream.address()))],
        &[
            "{ name: here, match: { path: /here }, auth: none, respond: { body: hi } }".to_owned(),
            forward("host", "path: /host, hosts: [api.example.com]"),
            forward("post", "path: /post, methods: [POST]"),
            forward("item", r#"path: "/items/{id}""#),
            forward("items", "path: /items"),
        ],
    );
    place.write("routes.yaml", file);
    let gateway = place.start(&ANYWHERE);
    let (authority, address, path) = curl_line(&gateway.says("/status\n").await);
    assert_eq!(path, "/items");
    let authority = std::fs::read(place.path(&authority)).unwrap();
    let mut client = Client::tls(address, "127.0.0.1", trusting(&authority, &[])).await.unwrap();
    assert_eq!(client.get(&path).await.echo().target, "/items");
}

#[tokio::test]
async fn routes_that_appear_take_the_place_of_the_built_in_ones_and_are_not_dropped_with_their_file() {
    let place = Place::new();
    let gateway = place.start(&[&ANYWHERE[..], &["--format", "json"]].concat());
    let started = gateway.started().await;
    assert_eq!(started.0["routes"]["built_in"], true);
    assert_eq!(started.0["config"]["built_in"], true);
    place.write("routes.yaml", WELCOME);
    let address = started.listener("http");
    eventually("the new routes", async || {
        (Client::connect(address).await.get("/").await.text() == "hello").then_some(())
    })
    .await;
    std::fs::remove_file(place.path("routes.yaml")).unwrap();
    let mut admin = Client::connect(started.admin()).await;
    let answer = admin.request("POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let refused = answer.json();
    assert_eq!(refused["result"], "refused");
    let version = refused["running"].as_str().unwrap();
    assert_eq!(refused["effect"], format!("Nothing changed: version {version} goes on serving."));
    assert_eq!(Client::connect(address).await.get("/").await.text(), "hello");
}

#[tokio::test]
async fn named_routes_that_are_not_there_are_an_error() {
    let place = Place::new();
    for arguments in [&["run", "--routes", "mine.yaml"][..], &["run", "--config", "mine.yaml"]] {
        let ended = place.run(&[arguments, &ANYWHERE[..]].concat()).await.with(64);
        assert!(ended.err.contains("mine.yaml") && ended.err.contains("No such file"), "{ended:?}");
    }
    place.write("config/gateway.yaml", bootstrap(""));
    let ended = place.run(&["run"]).await.with(64);
    assert!(ended.err.contains("error: routes: cannot read routes.yaml: No such file"), "{ended:?}");
}

#[tokio::test]
async fn the_development_certificate_is_made_once_and_its_key_is_private() {
    let place = Place::new();
    let mut first = place.start(&ANYWHERE);
    first.says("development certificate made").await;
    first.says("/status\n").await;
    let files = ["dev.pem", "dev-key.pem", "dev-ca.pem", "dev-ca-key.pem"].map(|name| format!("certs/{name}"));
    let made = files.each_ref().map(|name| place.read(name));
    let modes = files.each_ref().map(|name| place.path(name).metadata().unwrap().permissions().mode() & 0o777);
    assert_eq!(modes.map(|mode| mode & 0o022), [0; 4]);
    assert_eq!([modes[1], modes[3]], [0o600; 2]);
    first.signal("INT");
    first.ended().await;
    let second = place.start(&ANYWHERE);
    assert!(!second.says("/status\n").await.contains("certificate made"));
    assert_eq!(files.each_ref().map(|name| place.read(name)), made);
}

#[tokio::test]
async fn environment_variables_move_everything() {
    let place = Place::new()
        .set("SLUICE_LISTEN", "https=127.0.0.1:0,http=127.0.0.2:0")
        .set("SLUICE_ADMIN", "127.0.0.3:0")
        .set("SLUICE_SANDBOX", "127.0.0.4:0")
        .set("SLUICE_THREADS", 1)
        .set("SLUICE_FORMAT", "json");
    let started = place.start(&[]).started().await;
    for (value, ip) in [
        (&started.0["listeners"]["https"], "127.0.0.1:"),
        (&started.0["listeners"]["http"], "127.0.0.2:"),
        (&started.0["admin"], "127.0.0.3:"),
        (&started.0["sandbox"], "127.0.0.4:"),
    ] {
        let address = value.as_str().unwrap();
        assert!(address.starts_with(ip) && !address.ends_with(":0"), "{address}");
    }
    assert_eq!(started.0["ca"], "certs/dev-ca.pem");
    let place = Place::new().set("SLUICE_ROUTES", "elsewhere.yaml").set("SLUICE_CONFIG", "mine.yaml");
    place.write("elsewhere.yaml", WELCOME);
    place.write("mine.yaml", bootstrap(""));
    let started = place.start(&["--format", "json"]).started().await;
    assert_eq!(started.0["config"], serde_json::json!({ "file": "mine.yaml", "built_in": false }));
    assert_eq!(
        (started.0["routes"]["file"].as_str(), started.0["routes"]["count"].as_u64()),
        (Some("elsewhere.yaml"), Some(1))
    );
    assert!(started.0["sandbox"].is_null());
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_setting_that_asks_for_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    for (flag, value, setting) in [
        ("--listen", format!("https={address}"), "listeners[https].address"),
        ("--listen", format!("http={address}"), "listeners[http].address"),
        ("--admin", address.clone(), "admin.address"),
        ("--sandbox", address.clone(), "sandbox.address"),
    ] {
        let others = ANYWHERE.chunks(2).filter(|pair| pair[0] != flag || flag == "--listen").flatten().copied();
        let arguments: Vec<&str> = others.chain([flag, &value]).collect();
        let ended = place.run(&arguments).await.with(64);
        assert!(ended.err.contains(&format!("error: {setting}: ")) && ended.err.contains(&address), "{ended:?}");
    }
}

#[tokio::test]
async fn mistakes_keep_it_from_starting_and_are_told_with_their_place() {
    let mistake = WELCOME.replace("auth: none", "auth: none, uptream: app");
    let place = Place::serving(&mistake);
    let ended = place.run(&["run"]).await.with(64);
    assert!(ended.err.contains("error[E0102]: unknown key `uptream`"), "{ended:?}");
    assert!(ended.err.contains("routes.yaml:4:") && !ended.err.contains("error: error"), "{ended:?}");
    let ended = place.run(&["run", "--format", "json"]).await.with(64);
    let diagnostic = &ended.json()["diagnostics"][0];
    assert_eq!((diagnostic["code"].as_str(), diagnostic["places"][0]["line"].as_u64()), (Some("E0102"), Some(4)));

    place.write("config/gateway.yaml", bootstrap("dran: { delay: 1s }\n"));
    let ended = place.run(&["run"]).await.with(64);
    assert!(ended.err.contains("config/gateway.yaml:6:1") && ended.err.contains("`drain`"), "{ended:?}");
}

#[tokio::test]
async fn certificates_of_ones_own_that_are_not_there_are_an_error_with_their_place() {
    let place = Place::serving(WELCOME);
    let tls = "tls: { certificates: [{ certificate: api.pem, key: api-key.pem }] }";
    place.write("config/gateway.yaml", bootstrap("").replace("\" }]", &format!("\", {tls} }}]")));
    for command in ["run", "check"] {
        let ended = place.run(&[command]).await.with(if command == "run" { 64 } else { 1 });
        let message = "listeners[http].tls.certificates[0].certificate: config/api.pem";
        assert!(ended.err.contains("config/gateway.yaml:3:") && ended.err.contains(message), "{ended:?}");
    }
    assert!(!place.path("config/api.pem").exists());
}

#[tokio::test]
async fn a_reload_tells_in_the_log_what_is_wrong_where_and_what_serves() {
    let place = Place::serving(WELCOME);
    let gateway = place.start(&["run"]);
    gateway.says("/status\n").await;
    place.write("routes.yaml", WELCOME.replace("auth: none, ", ""));
    let said = gateway.says("E0401").await;
    let line = said.lines().find(|line| line.contains("ERROR")).unwrap();
    assert!(line.contains("they answer 503 ROUTE_FAULTY") && line.contains(r#"closed="welcome""#), "{line}");
    assert!(said.contains("routes.yaml:4:5"), "{said}");
    place.write("routes.yaml", "routes: [\n");
    let said = gateway.says("E0101").await;
    assert!(said.contains("routes refused, nothing changed: what ran goes on"), "{said}");
}

#[tokio::test]
async fn what_dependencies_log_is_in_our_log() {
    let place = Place::new();
    let file = include_str!("../../../config/gateway.yaml").replace("level: info", "level: \"info,rustls=debug\"");
    assert!(file.contains("rustls=debug"));
    place.write("config/gateway.yaml", file.replace("format: text", "format: json"));
    place.write("routes.yaml", WELCOME);
    let gateway = place.start(&[&ANYWHERE[..], &["--format", "json"]].concat());
    let address = gateway.started().await.listener("https");
    let authority = place.read("certs/dev-ca.pem");
    drop(within("TLS", Client::tls(address, "localhost", trusting(authority.as_bytes(), &[]))).await.unwrap());
    let said = gateway.says(r#""target":"rustls::"#).await;
    assert!(said.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{said}");
}
