//! New routes take over without a request noticing; a mistake closes one route or nothing, and is told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::gateway::{NONE, endpoint, routes};
use crate::support::{Gate, TestGateway, Upstream, eventually, forward_all, ok, within};

/// One route `/` that answers with this word.
fn saying(word: &str) -> String {
    routes(
        &NONE,
        &[format!("{{ name: word, match: {{ path: / }}, auth: none, respond: {{ status: 200, body: {word} }} }}")],
    )
}

/// Not a routes file at all, with a word to find again.
const HOPELESS: &str = "version: 1\nnonsense_key: [\n";

/// What `/status` says about a file that was refused since the last one that was not.
async fn refused(gateway: &TestGateway) -> serde_json::Value {
    let (_, status) = gateway.admin_get("/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["routes"]["refused"].clone()
}

async fn says(gateway: &TestGateway, word: &str) {
    eventually(word, async || (gateway.get("/").await.text() == word).then_some(())).await;
}

#[tokio::test]
async fn a_request_to_reload_is_answered_when_the_new_routes_serve() {
    let gateway = TestGateway::start(&saying("one")).await;
    for word in ["two", "three", "four"] {
        gateway.reload_with(&saying(word)).await;
        assert_eq!(gateway.get("/").await.text(), word);
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_is_noticed() {
    let gateway = TestGateway::build().set("reload", "{ watch: true }").start(&saying("one")).await;
    for word in ["two", "three"] {
        gateway.write_routes(&saying(word));
        says(&gateway, word).await;
    }
}

#[tokio::test]
async fn a_file_that_is_rewritten_in_place_is_noticed() {
    let gateway = TestGateway::build().set("reload", "{ watch: true }").start(&saying("one")).await;
    for word in ["two", "three"] {
        std::fs::write(gateway.routes_file(), saying(word)).unwrap();
        says(&gateway, word).await;
    }
}

#[tokio::test]
async fn a_link_that_is_swapped_is_noticed() {
    // As Kubernetes mounts a ConfigMap: the file is a link into a folder that is a link.
    let builder = TestGateway::build().set("reload", "{ watch: true }").set("routes", "mounted/routes.yaml");
    let folder = builder.folder().to_owned();
    let mount = |version: &str| {
        let data = folder.join("mounted").join(version);
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("routes.yaml"), saying(version)).unwrap();
        let draft = folder.join("mounted/..data_tmp");
        std::os::unix::fs::symlink(version, &draft).unwrap();
        std::fs::rename(&draft, folder.join("mounted/..data")).unwrap();
    };
    mount("one");
    std::os::unix::fs::symlink("..data/routes.yaml", folder.join("mounted/routes.yaml")).unwrap();
    let gateway = builder.start(&saying("unused")).await;
    assert_eq!(gateway.get("/").await.text(), "one");
    for word in ["two", "three"] {
        mount(word);
        says(&gateway, word).await;
    }
}

#[tokio::test]
async fn a_file_is_not_watched_when_watching_is_off() {
    let gateway = TestGateway::start(&saying("one")).await;
    gateway.write_routes(&saying("two"));
    assert_eq!(gateway.get("/").await.text(), "one");
    assert_eq!(gateway.reload().await.0, 200);
    assert_eq!(gateway.get("/").await.text(), "two");
}

#[tokio::test]
async fn a_request_in_flight_finishes_on_the_routes_that_it_began_with() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone());
    let old = Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            conn.request().await?;
            arrived.open();
            release.pass().await;
            conn.send(ok("old")).await?;
            conn.stall().await
        }
    });
    let new = Upstream::answering(ok("new"));
    let keys = |colour: &str| format!("response_headers: {{ set: {{ x-routes: {colour} }} }}");
    let gateway = TestGateway::start(&crate::support::forward_with(old.address(), "", &keys("old"))).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    within("the request arrives", arrived.pass()).await;
    gateway.reload_with(&crate::support::forward_with(new.address(), "", &keys("new"))).await;
    let other = gateway.get("/").await;
    assert_eq!((other.text(), other.field("x-routes")), ("new", Some("new")));
    release.open();
    let response = client.response().await;
    assert_eq!((response.text(), response.field("x-routes")), ("old", Some("old")));
    let next = client.get("/").await;
    assert_eq!((next.text(), next.field("x-routes")), ("new", Some("new")), "the same connection, the new routes");
}

#[tokio::test]
async fn two_hundred_reloads_under_load_lose_no_request() {
    let upstream = Upstream::answering(ok("served"));
    let gateway = TestGateway::build().set("threads", "2").start(&forward_all(upstream.address())).await;
    let (reloaded, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = async || {
        let mut client = gateway.client().await;
        while !reloaded.load(Ordering::Relaxed) {
            let response = client.get("/").await;
            assert_eq!((response.status, response.text()), (200, "served"));
            served.fetch_add(1, Ordering::Relaxed);
        }
    };
    let reloads = async {
        for round in 0..200 {
            let keys = format!("response_headers: {{ set: {{ x-round: r{round} }} }}");
            gateway.reload_with(&crate::support::forward_with(upstream.address(), "", &keys)).await;
        }
        reloaded.store(true, Ordering::Relaxed);
    };
    tokio::join!(reloads, client(), client(), client(), client());
    assert!(served.load(Ordering::Relaxed) >= 200, "{served:?}");
    assert_eq!(gateway.get("/").await.field("x-round"), Some("r199"));
    assert_eq!(upstream.connections().max(10), 10, "pools outlive a reload");
}

/// A sound route `/`, another one, and one whose upstream does not exist.
fn with_a_fault(word: &str) -> String {
    let respond = |name: &str, path: &str| {
        format!("{{ name: {name}, match: {{ path: {path} }}, auth: none, respond: {{ status: 200, body: {word} }} }}")
    };
    let faulty = "{ name: faulty, match: { path: /faulty }, auth: none, upstream: missing }";
    routes(&NONE, &[respond("first", "/"), faulty.to_owned(), respond("last", "/last")])
}

#[tokio::test]
async fn one_faulty_route_is_closed_and_the_others_go_live() {
    let gateway = TestGateway::start(&saying("one")).await;
    gateway.write_routes(&with_a_fault("two"));
    gateway.reload().await;
    assert_eq!(gateway.get("/").await.text(), "two");
    assert_eq!(gateway.get("/last").await.text(), "two");
    gateway.get("/faulty").await.refused(503, "ROUTE_FAULTY");
    let (_, status) = gateway.admin_get("/status").await;
    assert!(status.contains("missing"), "with the reason: {status}");
    assert_eq!(gateway.metrics_value("sluice_routes_faulty").await, 1.0);
    gateway.reload_with(&saying("three")).await;
    gateway.get("/faulty").await.refused(404, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn a_faulty_route_is_an_error_at_start() {
    let Err(complaint) = TestGateway::build().try_start(&with_a_fault("one")).await else { panic!("it started") };
    assert!(complaint.contains("missing"), "{complaint}");
}

#[tokio::test]
async fn strict_mode_refuses_the_whole_file_for_one_fault() {
    let gateway = TestGateway::build().set("reload", "{ mode: strict, watch: false }").start(&saying("one")).await;
    gateway.write_routes(&with_a_fault("two"));
    let (status, body) = gateway.reload().await;
    assert!((400..600).contains(&status), "{status} {body}");
    assert!(body.contains("missing"), "{body}");
    assert_eq!(gateway.get("/").await.text(), "one");
    gateway.get("/last").await.refused(404, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn a_hopeless_file_keeps_what_runs_and_says_so() {
    let gateway = TestGateway::start(&saying("one")).await;
    gateway.write_routes(HOPELESS);
    let (status, body) = gateway.reload().await;
    assert!((400..600).contains(&status), "{status} {body}");
    assert_eq!(gateway.get("/").await.text(), "one");
    let told = refused(&gateway).await;
    assert!(told.to_string().contains("routes.yaml"), "{told}");
    assert_eq!(gateway.metrics_value("sluice_reload_last_successful").await, 0.0);
    assert_eq!(gateway.admin_get("/ready").await.0, 200, "it serves as before");
    gateway.reload_with(&saying("two")).await;
    assert_eq!(gateway.get("/").await.text(), "two");
    assert!(refused(&gateway).await.is_null(), "the complaint is gone");
    assert_eq!(gateway.metrics_value("sluice_reload_last_successful").await, 1.0);
}

#[tokio::test]
async fn a_hopeless_file_that_is_noticed_keeps_what_runs() {
    let gateway = TestGateway::build().set("reload", "{ watch: true }").start(&saying("one")).await;
    gateway.write_routes(HOPELESS);
    eventually("the complaint", async || (!refused(&gateway).await.is_null()).then_some(())).await;
    assert_eq!(gateway.get("/").await.text(), "one");
    gateway.write_routes(&saying("two"));
    says(&gateway, "two").await;
}

#[tokio::test]
async fn a_file_that_is_gone_keeps_what_runs() {
    let gateway = TestGateway::start(&saying("one")).await;
    std::fs::remove_file(gateway.routes_file()).unwrap();
    let (status, body) = gateway.reload().await;
    assert!((400..600).contains(&status), "{status} {body}");
    assert_eq!(gateway.get("/").await.text(), "one");
}

#[tokio::test]
async fn connections_to_an_upstream_outlive_a_reload() {
    let upstream = Upstream::echo();
    let file = |name: &str| {
        let route = format!(r#"{{ name: {name}, match: {{ path: "/{{rest...}}" }}, auth: none, upstream: app }}"#);
        routes(&[("app", endpoint(upstream.address()))], &[route])
    };
    let gateway = TestGateway::start(&file("before")).await;
    assert_eq!(gateway.get("/").await.echo().connection, 0);
    gateway.reload_with(&file("after")).await;
    assert_eq!(gateway.get("/").await.echo().connection, 0);
}
