//! Changes through the gateway, and the tags that routes and upstreams give.

use super::scene::{
    BOTH, Caller, File, KEYED, Partner, Version, answer, asking, did, expect, get, kept, number, number_is, numbered,
};
use crate::support::client::Response;
use crate::support::gateway::{endpoint, routes};
use crate::support::{Client, Gate, TestGateway, Upstream, within};

/// Reads are kept and numbered; a change is answered with the status that it asks for in `X-Status`.
fn changing(fields: &'static str) -> Upstream {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Upstream::scripted(move |mut conn| {
        let count = std::sync::Arc::clone(&count);
        async move {
            while let Some(request) = conn.request().await? {
                if request.method == "GET" {
                    let at = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                    conn.send(answer(fields, &format!("{at}"))).await?;
                } else {
                    let status = request.head.field("x-status").unwrap_or("200");
                    conn.send(format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n")).await?;
                }
            }
            Ok(())
        }
    })
}

fn orders(upstream: &Upstream) -> String {
    let app = endpoint(upstream.address());
    routes(
        &[("app", app)],
        &[
            r#"{ name: order, match: { path: "/orders/{id}", methods: [GET] }, auth: none, upstream: app, cache: { ttl: 10m, tags: ["order:{id}", orders] } }"#,
            r#"{ name: summary, match: { path: "/summaries/{id}", methods: [GET] }, auth: none, upstream: app, cache: { ttl: 10m, tags: ["order:{id}"] } }"#,
            r#"{ name: change, match: { path: "/changes/{id}", methods: [PUT, DELETE, POST] }, auth: none, upstream: app, invalidates: ["order:{id}"] }"#,
            r#"{ name: change-all, match: { path: /changes, methods: [POST] }, auth: none, upstream: app, invalidates: orders }"#,
        ],
    )
}

async fn send(client: &mut Client, method: &str, target: &str, status: &str) -> Response {
    let length = if method == "DELETE" { "" } else { "Content-Length: 0\r\n" };
    client.request(format!("{method} {target} HTTP/1.1\r\nHost: api.test\r\nX-Status: {status}\r\n{length}\r\n")).await
}

#[tokio::test]
async fn a_change_takes_out_what_its_route_says_and_nothing_else() {
    let upstream = changing("");
    let gateway = TestGateway::start(&orders(&upstream)).await;
    let mut client = gateway.client().await;
    let all = ["/orders/1", "/orders/1?view=full", "/summaries/1", "/orders/2", "/orders/a%20b"];
    for target in all {
        client.get(target).await;
        assert_eq!(did(&client.get(target).await), "HIT", "{target}");
    }
    // What has not succeeded has changed nothing.
    for status in ["400", "404", "412", "500", "503"] {
        assert_eq!(send(&mut client, "PUT", "/changes/1", status).await.status.to_string(), status);
    }
    for target in all {
        assert_eq!(did(&client.get(target).await), "HIT", "{target}");
    }
    for (method, change, status, gone) in [
        ("PUT", "/changes/1", "200", &["/orders/1", "/orders/1?view=full", "/summaries/1"][..]),
        ("DELETE", "/changes/1", "204", &["/orders/1", "/orders/1?view=full", "/summaries/1"]),
        ("POST", "/changes/1", "303", &["/orders/1", "/orders/1?view=full", "/summaries/1"]),
        ("PUT", "/changes/a%20b", "200", &["/orders/a%20b"]),
        ("PUT", "/changes/%32", "200", &["/orders/2"]),
        ("PUT", "/changes/3", "200", &[]),
        ("POST", "/changes", "201", &["/orders/1", "/orders/1?view=full", "/orders/2", "/orders/a%20b"]),
    ] {
        let status_line = if status == "204" { "200" } else { status };
        send(&mut client, method, change, status_line).await;
        for target in all {
            let expected = if gone.contains(&target) { "MISS" } else { "HIT" };
            assert_eq!(did(&client.get(target).await), expected, "{target} after {method} {change}");
        }
    }
}

#[tokio::test]
async fn a_change_is_seen_by_every_partner() {
    let upstream = changing("");
    let [acme, globex] = ["acme", "globex"].map(Partner::new);
    let gateway = File::new(upstream.address())
        .partner("", &acme)
        .partner("", &globex)
        .route("orders", &format!("{KEYED}, cache: {{ ttl: 10m, tags: orders }}"))
        .route("changes", &format!("{KEYED}, invalidates: orders"))
        .start()
        .await;
    let mut caller = Caller::connect(&gateway, Version::One).await;
    for partner in [&acme, &globex] {
        assert_eq!(did(&partner.get(&mut caller, "/orders/1").await), "MISS");
        assert_eq!(did(&partner.get(&mut caller, "/orders/1").await), "HIT");
    }
    let change =
        format!("POST /changes/1 HTTP/1.1\r\nHost: api.test\r\nX-Api-Key: {}\r\nContent-Length: 0\r\n\r\n", acme.key);
    assert_eq!(gateway.request(&change).await.status, 200);
    for partner in [&acme, &globex] {
        assert_eq!(did(&partner.get(&mut caller, "/orders/1").await), "MISS");
    }
    // One who is not let through changes nothing.
    gateway.request(change.replace(&acme.key, "guessed")).await.refused(401, "API_KEY_UNKNOWN");
    assert_eq!(did(&acme.get(&mut caller, "/orders/1").await), "HIT");
}

#[tokio::test]
async fn a_change_by_the_same_url_is_seen_by_every_partner() {
    let upstream = changing("");
    let [acme, globex] = ["acme", "globex"].map(Partner::new);
    let gateway = File::new(upstream.address())
        .partner("", &acme)
        .partner("", &globex)
        .route("orders", &format!("{KEYED}, cache: 10m"))
        .start()
        .await;
    let mut caller = Caller::connect(&gateway, Version::Two).await;
    let all = ["/orders/1", "/orders/1?a=1", "/orders/2"];
    for target in all {
        for partner in [&acme, &globex] {
            assert_eq!(did(&partner.get(&mut caller, target).await), "MISS");
        }
    }
    let change = format!(
        "PATCH /orders/%31 HTTP/1.1\r\nHost: API.test:80\r\nX-Api-Key: {}\r\nContent-Length: 0\r\n\r\n",
        acme.key
    );
    assert_eq!(gateway.request(&change).await.status, 200);
    for (target, outcome) in all.into_iter().zip(["MISS", "MISS", "HIT"]) {
        for partner in [&acme, &globex] {
            assert_eq!(did(&partner.get(&mut caller, target).await), outcome, "{target}");
        }
    }
}

#[tokio::test]
async fn tags_of_the_upstream_are_for_the_gateway_only() {
    let fields = "Cache-Control: max-age=600\r\nCache-Tag: a, b b,, c\r\nCache-Tag: d\r\nSurrogate-Key: e  f\r\nSurrogate-Control: max-age=9\r\n";
    let upstream = numbered(fields);
    let gateway = File::new(upstream.address())
        .route("orders", "auth: none, upstream: app, cache: {}")
        .route("changes", "auth: none, upstream: app, invalidates: f")
        .start()
        .await;
    let mut asked = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for tag in ["a", "b b", "c", "d", "e", "f"] {
            asked += 1;
            for outcome in ["MISS", "HIT"] {
                let response = caller.get("/orders/1", &[]).await;
                expect(&response, outcome, &format!("{asked} -/-"));
                for name in ["cache-tag", "surrogate-key", "surrogate-control"] {
                    assert!(response.head.all(name).is_empty(), "{outcome}: {:?}", response.head.fields);
                }
            }
            assert_eq!(super::scene::purge(&gateway, &format!(r#"{{"tag": "{tag}"}}"#)).await, 1, "{tag}");
        }
        for none in ["A", "b", "a, b b", "e  f", ""] {
            assert_eq!(super::scene::purge(&gateway, &format!(r#"{{"tag": "{none}"}}"#)).await, 0, "{none}");
        }
    }
    // By a change, too.
    let mut client = gateway.client().await;
    client.get("/orders/1").await;
    assert_eq!(did(&client.get("/orders/1").await), "HIT");
    assert_eq!(send(&mut client, "PUT", "/changes/1", "200").await.status, 200);
    assert_eq!(did(&client.get("/orders/1").await), "MISS");
}

#[tokio::test]
async fn more_tags_than_can_be_purged_by_are_not_kept() {
    for (tags, is_kept) in [(64, true), (65, false)] {
        let list: Vec<String> = (0..tags).map(|at| format!("t{at}")).collect();
        let upstream = numbered(&format!("Cache-Control: max-age=600\r\nSurrogate-Key: {}\r\n", list.join(" ")));
        let gateway =
            File::new(upstream.address()).route("orders", "auth: none, upstream: app, cache: {}").start().await;
        let mut client = gateway.client().await;
        client.get("/orders/1").await;
        assert_eq!(did(&client.get("/orders/1").await), if is_kept { "HIT" } else { "MISS" });
    }
}

#[tokio::test]
async fn a_change_while_an_answer_is_on_its_way_keeps_it_out() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while let Some(request) = conn.request().await? {
                if request.method == "GET" {
                    arrived.open();
                    release.pass().await;
                }
                conn.send(answer("", &format!("for {}", request.method))).await?;
            }
            Ok(())
        }
    });
    let gateway = TestGateway::start(&orders(&upstream)).await;
    for (method, change) in [("PUT", "/changes/1"), ("POST", "/changes")] {
        let mut before = asking(&gateway, &get("/orders/1", ""), 1).await.swap_remove(0);
        within("the old question", arrived.pass()).await;
        let mut writer = gateway.client().await;
        assert_eq!(send(&mut writer, method, change, "200").await.status, 200);
        // Who has made the change sees it: it does not wait for the answer from before.
        writer.send(get("/orders/1", "")).await;
        within("a new question", arrived.pass()).await;
        (0..2).for_each(|_| release.open());
        assert_eq!((before.response().await.status, writer.response().await.status), (200, 200));
        kept(&gateway, 1).await;
        assert_eq!(did(&writer.get("/orders/1").await), "HIT", "of the new one");
        number_is(&gateway, "in_flight", 0).await;
        assert_eq!(super::scene::purge(&gateway, r#"{"all": true}"#).await, 1);
        assert_eq!(number(&gateway, "entries").await, 0);
    }
}
