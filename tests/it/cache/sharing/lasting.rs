//! What stays over a reload, and what the memory may take.

use super::scene::{
    Caller, File, KEYED, Partner, Version, answer, asking, did, get, kept, number, number_is, numbered,
};
use crate::support::{Gate, TestGateway, Upstream, forward_with, within};

const FRESH: &str = "Cache-Control: public, max-age=600\r\n";

#[tokio::test]
async fn answers_outlive_reloads_that_leave_their_route_alone() {
    let upstream = numbered("");
    let [acme, globex] = ["acme", "globex"].map(Partner::new);
    let file = || File::new(upstream.address()).partner("", &acme).route("orders", &format!("{KEYED}, cache: 10m"));
    let gateway = file().start().await;
    let mut client = gateway.client().await;
    let request = get("/orders/1", &format!("X-Api-Key: {}\r\n", acme.key));
    let first = client.request(&request).await;
    assert_eq!(did(&first), "MISS");
    kept(&gateway, 1).await;
    for (what, after) in [
        ("nothing", file().to_string()),
        ("another partner", file().partner("", &globex).to_string()),
        ("a plan", file().plan("tin", "rate_limit: 1000/h").partner("tin", &acme).to_string()),
        ("another route before it", file().without_route("orders").route("first", KEYED).route("orders", &format!("{KEYED}, cache: 10m")).to_string()),
        ("how long, and how much", file().route("orders", &format!("{KEYED}, cache: {{ ttl: 1m, stale_if_error: 5m, max_object: 2MiB, tags: a }}")).to_string()),
        ("limits and answers' fields", file().route("orders", &format!("{KEYED}, cache: 10m, rate_limit: {{ per: partner, rate: 1000/h }}, response_headers: {{ set: {{ x-set: now }} }}")).to_string()),
    ] {
        gateway.reload_with(&after).await;
        let response = client.request(&request).await;
        assert_eq!((did(&response), response.text()), ("HIT", first.text()), "{what}");
        if what.ends_with("fields") {
            assert_eq!(response.field("x-set"), Some("now"), "edits are those of now");
        }
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn what_a_reload_makes_another_question_is_asked_anew() {
    let (old, new) = (numbered(FRESH), numbered(FRESH));
    let acme = Partner::new("acme");
    let file =
        || File::new(old.address()).upstream("next", new.address()).partner_with("", &[&acme], "scopes: [orders:read]");
    let route = |upstream: &str, auth: &str, more: &str| {
        format!("auth: {auth}, upstream: {upstream}, cache: {{ ttl: 10m, shared: true }}, {more}")
    };
    let before = file().route("orders", &route("app", "{ api_key: {} }", ""));
    let scoped = "{ api_key: {}, scopes: { all_of: [orders:read] } }";
    for (what, after) in [
        ("upstream", file().route("orders", &route("next", "{ api_key: {} }", "")).to_string()),
        ("auth", file().route("orders", &route("app", scoped, "")).to_string()),
        (
            "request fields",
            file()
                .route("orders", &route("app", "{ api_key: {} }", "request_headers: { set: { x-a: b } }"))
                .to_string(),
        ),
        (
            "path",
            file().route("orders", &route("app", "{ api_key: {} }", "rewrite: { strip_prefix: /orders }")).to_string(),
        ),
        ("sharing", before.to_string().replace("shared: true", "per: partner")),
        ("identity", format!("{before}identity: {{ headers: {{ subject: Remote-User }} }}\n")),
    ] {
        let gateway = before.start().await;
        let mut caller = Caller::connect(&gateway, Version::One).await;
        let first = acme.get(&mut caller, "/orders/1").await;
        assert_eq!((first.status, did(&first)), (200, "MISS"), "{}", first.text());
        kept(&gateway, 1).await;
        gateway.reload_with(&after).await;
        let response = acme.get(&mut caller, "/orders/1").await;
        assert_eq!((response.status, did(&response)), (200, "MISS"), "{what}: {}", response.text());
        assert_eq!(did(&acme.get(&mut caller, "/orders/1").await), "HIT", "{what}");
    }
}

#[tokio::test]
async fn a_reload_does_not_disturb_what_is_on_its_way() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while conn.request().await?.is_some() {
                arrived.open();
                release.pass().await;
                conn.send(answer("", "whole")).await?;
            }
            Ok(())
        }
    });
    let routes = forward_with(upstream.address(), "", "cache: 10m");
    let gateway = TestGateway::start(&routes).await;
    let mut clients = asking(&gateway, &get("/x", ""), 1).await;
    within("the question", arrived.pass()).await;
    gateway.reload_with(&routes).await;
    clients.extend(asking(&gateway, &get("/x", ""), 2).await);
    number_is(&gateway, "collapsed", 2).await;
    release.open();
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "whole");
    }
    kept(&gateway, 1).await;
    assert_eq!(did(&gateway.get("/x").await), "HIT");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn made_up_urls_fill_the_budget_and_no_more() {
    let (upstream, body) = (Upstream::answering(answer("Cache-Control: max-age=600\r\n", &"x".repeat(4_000))), 4_000);
    let gateway = TestGateway::build()
        .set("cache", "{ memory: 1MiB }")
        .start(&forward_with(upstream.address(), "", "cache: {}"))
        .await;
    assert_eq!(number(&gateway, "budget").await, 1 << 20);
    let mut client = gateway.client().await;
    let popular = async |client: &mut crate::support::Client| did(&client.get("/popular").await).to_owned();
    for _ in 0..20 {
        popular(&mut client).await;
    }
    for round in 0..20 {
        for at in 0..100 {
            let response = client.get(&format!("/{round}/{at}/{}", "long".repeat(at % 7))).await;
            assert_eq!((response.status, response.body.bytes.len()), (200, body));
        }
        popular(&mut client).await;
        let bytes = number(&gateway, "bytes").await;
        assert!(bytes <= 1 << 20, "{bytes} in round {round}");
    }
    assert!(number(&gateway, "evicted").await > 1_000);
    assert!(number(&gateway, "entries").await > 50, "it is used");
    assert_eq!(popular(&mut client).await, "HIT", "what is asked for all the time stays");
    number_is(&gateway, "in_flight", 0).await;
}

#[tokio::test]
async fn answers_larger_than_the_memory_pass_and_are_not_kept() {
    let body = "y".repeat(3 << 20);
    let upstream = Upstream::answering(answer("Cache-Control: max-age=600\r\n", &body));
    let gateway = TestGateway::build()
        .set("cache", "{ memory: 1MiB }")
        .start(&forward_with(upstream.address(), "", "cache: { max_object: 8MiB }"))
        .await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let response = client.get("/x").await;
        assert!(did(&response) == "MISS" && response.text() == body);
        number_is(&gateway, "in_flight", 0).await;
        assert!(number(&gateway, "bytes").await <= 1 << 20);
    }
}
