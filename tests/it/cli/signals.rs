//! SIGTERM drains, SIGINT ends, SIGHUP reads again.

use std::fs;
use std::process::Command;

use super::process::{Place, bootstrap};
use crate::support::gateway::forward_all;
use crate::support::{Client, Gate, Upstream, eventually, within};

#[tokio::test]
async fn sigterm_lets_what_is_in_flight_finish_and_ends_with_zero() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let place = Place::serving(&forward_all(upstream.address()));
    let mut gateway = place.start(&["run", "--format", "json"]);
    let started = gateway.started().await;
    let mut client = Client::connect(started.listener("http")).await;
    client.send("GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the request arrives", arrived.pass()).await;
    gateway.signal("TERM");
    eventually("new connections are refused", async || {
        tokio::net::TcpStream::connect(started.listener("http")).await.err()
    })
    .await;
    release.open();
    let response = client.response().await;
    assert_eq!((response.text(), response.field("connection")), ("in the end", Some("close")));
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(gateway.err().contains("draining") && gateway.err().contains("stopped"), "{}", gateway.err());
    assert!(gateway.out().lines().last().unwrap().contains(r#""path":"/slow""#), "{}", gateway.out());
}

#[tokio::test]
async fn sigint_ends_at_once() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let place = Place::serving(&forward_all(upstream.address()));
    // Far longer than any step of a test may take.
    place.write("config/gateway.yaml", bootstrap("").replace("delay: 0s, timeout: 8s", "delay: 1h, timeout: 1h"));
    let mut gateway = place.start(&["run", "--format", "json"]);
    let mut client = Client::connect(gateway.started().await.listener("http")).await;
    client.send("GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the request arrives", arrived.pass()).await;
    gateway.signal("TERM");
    gateway.says("draining").await;
    gateway.signal("INT");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_routes_file_that_hangs_holds_up_neither_requests_nor_signals() {
    let upstream = Upstream::echo();
    let place = Place::serving(&forward_all(upstream.address()));
    place.write("config/gateway.yaml", bootstrap("reload: { watch: false }\n"));
    let mut gateway = place.start(&["run", "--format", "json"]);
    let mut client = Client::connect(gateway.started().await.listener("http")).await;
    assert_eq!(client.get("/").await.status, 200);
    // A pipe that nobody writes to: opening it never ends.
    fs::remove_file(place.path("routes.yaml")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("routes.yaml")).status().unwrap().success());
    gateway.signal("HUP");
    assert_eq!(client.get("/").await.status, 200);
    gateway.signal("INT");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sighup_reads_the_routes_and_opens_the_access_log_again() {
    let upstream = Upstream::echo();
    let place = Place::serving(&forward_all(upstream.address()));
    let more = "reload: { watch: false }\naccess_log: { target: ./access.log }\n";
    place.write("config/gateway.yaml", bootstrap(more));
    let gateway = place.start(&["run", "--format", "json"]);
    let address = gateway.started().await.listener("http");
    let (log, old) = (place.path("config/access.log"), place.path("config/access.log.1"));
    let lines = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default();
    assert_eq!(Client::connect(address).await.get("/before").await.status, 200);
    eventually("the first line", async || lines(&log).contains("/before").then_some(())).await;
    fs::rename(&log, &old).unwrap();

    gateway.signal("HUP");
    gateway.says("routes unchanged").await;
    eventually("the log is opened again", async || log.exists().then_some(())).await;
    assert_eq!(Client::connect(address).await.get("/after").await.status, 200);
    eventually("the next line", async || lines(&log).contains("/after").then_some(())).await;
    assert!(!lines(&old).contains("/after"));

    place.write(
        "routes.yaml",
        "version: 1\nroutes: [{ name: new, match: { path: / }, auth: none, respond: { body: new } }]\n",
    );
    gateway.signal("HUP");
    eventually("the new routes", async || {
        (Client::connect(address).await.get("/").await.text() == "new").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_sandbox_serves_alone_until_it_is_asked_to_end() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let mut sandbox = place.start(&["sandbox", "--address", "127.0.0.1:0", "--format", "json"]);
        let address = super::process::address(&sandbox.first_line().await["sandbox"]);
        let response = Client::connect(address).await.get("/api/orders?limit=1").await;
        assert_eq!((response.status, response.json()["items"].as_array().unwrap().len()), (200, 1));
        // Through a gateway, too.
        let place = Place::serving(&forward_all(address));
        let gateway = place.start(&["--format", "json"]);
        let address = gateway.started().await.listener("http");
        assert_eq!(Client::connect(address).await.get("/api/orders").await.status, 200);
        sandbox.signal(signal);
        assert_eq!(sandbox.ended().await.code(), Some(0));
        Client::connect(address).await.get("/api/orders").await.refused(502, "UPSTREAM_CONNECT");
    }
}
