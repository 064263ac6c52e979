//! What an operator purges: at once, for everybody, and also what is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::scene::{
    Caller, File, KEYED, Partner, Version, answer, asking, did, expect, get, kept, number, number_is, numbered, purge,
};
use crate::cli::process::{Place, Process};
use crate::support::{Client, Gate, TestGateway, Upstream, within};

/// Numbers its answers, each with a tag and an `ETag` that still holds whenever it is asked for.
fn validating() -> Upstream {
    let count = Arc::new(AtomicUsize::new(0));
    Upstream::scripted(move |mut conn| {
        let count = Arc::clone(&count);
        async move {
            while let Some(request) = conn.request().await? {
                let fields = "ETag: \"same\"\r\nCache-Control: s-maxage=600\r\nCache-Tag: tagged\r\n";
                if request.head.field("if-none-match") == Some("\"same\"") {
                    conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")).await?;
                } else {
                    let at = count.fetch_add(1, Ordering::SeqCst) + 1;
                    conn.send(answer(fields, &at.to_string())).await?;
                }
            }
            Ok(())
        }
    })
}

struct World {
    gateway: TestGateway,
    upstream: Upstream,
    partners: [Partner; 2],
}

impl World {
    async fn start() -> Self {
        let upstream = validating();
        let partners = ["acme", "globex"].map(Partner::new);
        let cache = format!("{KEYED}, cache: {{ ttl: 10m, tags: all-routes }}");
        let gateway = File::new(upstream.address())
            .partner("", &partners[0])
            .partner("", &partners[1])
            .route("orders", &cache)
            .route("prices", &cache)
            .start()
            .await;
        Self { gateway, upstream, partners }
    }

    /// What each partner has for each of these, in order: partner by partner.
    async fn outcomes(&self, caller: &mut Caller) -> Vec<String> {
        let mut found = Vec::new();
        for partner in &self.partners {
            for target in TARGETS {
                let response = partner.get(caller, target).await;
                assert_eq!(response.status, 200, "{}", response.text());
                found.push(did(&response).to_owned());
            }
        }
        found
    }
}

const TARGETS: [&str; 4] = ["/orders/1", "/orders/1?a=1&b=2", "/orders/%7Eu", "/prices/1"];

/// What is purged, and of which [`TARGETS`] of which partners: `+` is gone.
const PURGES: [(&str, &str); 17] = [
    (r#""all": true"#, "++++ ++++"),
    (r#""route": "orders""#, "+++- +++-"),
    (r#""route": "prices""#, "---+ ---+"),
    (r#""route": "order""#, "---- ----"),
    (r#""partner": "acme""#, "++++ ----"),
    (r#""partner": "acm""#, "---- ----"),
    (r#""tag": "tagged""#, "++++ ++++"),
    (r#""tag": "all-routes""#, "++++ ++++"),
    (r#""tag": "all""#, "---- ----"),
    (r#""url": "http://api.test/orders/1""#, "++-- ++--"),
    // For a route that sorts, it is the same.
    (r#""url": "HTTP://API.TEST:80/orders/./1?b=2&a=1""#, "-+-- -+--"),
    (r#""url": "http://api.test/orders/1?a=1""#, "---- ----"),
    (r#""url": "http://api.test/orders/./1?a=1&b=2""#, "-+-- -+--"),
    (r#""url": "http://api.test/orders/1?""#, "---- ----"),
    (r#""url": "http://api.test/orders/~u""#, "--+- --+-"),
    (r#""url": "https://api.test/orders/1""#, "---- ----"),
    (r#""url": "http://api.test:8080/orders/1""#, "---- ----"),
];

#[tokio::test]
async fn a_purge_takes_out_what_it_names_and_nothing_else() {
    let world = World::start().await;
    let mut caller = Caller::connect(&world.gateway, Version::One).await;
    world.outcomes(&mut caller).await;
    kept(&world.gateway, 8).await;
    for (what, gone) in PURGES {
        let gone: Vec<bool> = gone.chars().filter(|mark| *mark != ' ').map(|mark| mark == '+').collect();
        let count = gone.iter().filter(|gone| **gone).count() as u64;
        assert_eq!(world.outcomes(&mut caller).await, vec!["HIT"; 8]);
        assert_eq!(purge(&world.gateway, &format!("{{{what}}}")).await, count, "{what}");
        assert_eq!(number(&world.gateway, "entries").await, 8 - count);
        let expected: Vec<&str> = gone.iter().map(|gone| if *gone { "MISS" } else { "HIT" }).collect();
        assert_eq!(world.outcomes(&mut caller).await, expected, "{what}");
        kept(&world.gateway, 8).await;

        assert_eq!(purge(&world.gateway, &format!("{{{what}, \"soft\": true}}")).await, count, "{what}");
        assert_eq!(number(&world.gateway, "entries").await, 8, "all are still there");
        let expected: Vec<&str> = gone.iter().map(|gone| if *gone { "REVALIDATED" } else { "HIT" }).collect();
        assert_eq!(world.outcomes(&mut caller).await, expected, "softly {what}");
        assert_eq!(world.outcomes(&mut caller).await, vec!["HIT"; 8], "it holds again: {what}");
    }
    assert!(world.upstream.requests().len() > 16);
}

/// What keeps an answer out that was on its way.
const COVERING: [&str; 7] = [
    r#"{"all": true}"#,
    r#"{"route": "orders"}"#,
    r#"{"partner": "acme"}"#,
    r#"{"tag": "of-route"}"#,
    r#"{"tag": "of-upstream"}"#,
    r#"{"url": "http://api.test/orders/1"}"#,
    r#"{"tag": "of-upstream", "soft": true}"#,
];

/// Sends head and half of a body, and the rest when the test allows it; with `late`, the head comes then, too.
fn halves(arrived: &Gate, release: &Gate, late: bool) -> Upstream {
    let gates = (arrived.clone(), release.clone());
    Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while conn.request().await?.is_some() {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: s-maxage=600\r\nCache-Tag: of-upstream\r\n\r\nfirst";
                if !late {
                    conn.send(head).await?;
                }
                arrived.open();
                release.pass().await;
                if late {
                    conn.send(head).await?;
                }
                conn.send("-last").await?;
            }
            Ok(())
        }
    })
}

#[tokio::test]
async fn what_is_on_its_way_while_it_is_purged_is_not_kept_and_not_joined() {
    for late in [false, true] {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let upstream = halves(&arrived, &release, late);
        let acme = Partner::new("acme");
        let gateway = File::new(upstream.address())
            .partner("", &acme)
            .route("orders", &format!("{KEYED}, cache: {{ ttl: 10m, tags: of-route }}"))
            .start()
            .await;
        let request = get("/orders/1", &format!("X-Api-Key: {}\r\n", acme.key));
        for what in COVERING {
            let mut before = asking(&gateway, &request, 2).await;
            within("the old question", arrived.pass()).await;
            number_is(&gateway, "in_flight", 1).await;
            for client in &mut before {
                if !late {
                    client.response_head().await;
                }
            }
            purge(&gateway, what).await;
            let mut after = asking(&gateway, &request, 1).await.swap_remove(0);
            within("a new question", arrived.pass()).await;
            // The old one first.
            release.open();
            release.open();
            for client in &mut before {
                if late {
                    assert_eq!(client.response().await.text(), "first-last");
                } else {
                    assert_eq!(client.exactly(10).await, b"first-last");
                }
            }
            assert_eq!(after.response().await.text(), "first-last");
            kept(&gateway, 1).await;
            assert_eq!(did(&after.request(&request).await), "HIT", "{what}");
            purge(&gateway, r#"{"all": true}"#).await;

            // And when nobody has asked since.
            let mut before = asking(&gateway, &request, 1).await.swap_remove(0);
            within("the old question", arrived.pass()).await;
            purge(&gateway, what).await;
            release.open();
            assert_eq!(before.response().await.text(), "first-last");
            number_is(&gateway, "in_flight", 0).await;
            assert_eq!(number(&gateway, "entries").await, 0, "{what}");
        }
        assert_eq!(upstream.requests().len(), COVERING.len() * 3);
    }
}

#[tokio::test]
async fn what_is_on_its_way_stays_when_something_else_is_purged() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = halves(&arrived, &release, false);
    let acme = Partner::new("acme");
    let gateway = File::new(upstream.address())
        .partner("", &acme)
        .route("orders", &format!("{KEYED}, cache: {{ ttl: 10m, tags: of-route }}"))
        .start()
        .await;
    let request = get("/orders/1", &format!("X-Api-Key: {}\r\n", acme.key));
    let mut client = asking(&gateway, &request, 1).await.swap_remove(0);
    within("the question", arrived.pass()).await;
    for what in [
        r#"{"route": "prices"}"#,
        r#"{"partner": "globex"}"#,
        r#"{"tag": "of"}"#,
        r#"{"url": "http://api.test/orders/11"}"#,
        r#"{"url": "http://api.test/orders"}"#,
        r#"{"url": "http://api.test/orders/1?a=1"}"#,
    ] {
        assert_eq!(purge(&gateway, what).await, 0);
    }
    release.open();
    assert_eq!(client.response().await.text(), "first-last");
    kept(&gateway, 1).await;
    assert_eq!(did(&client.request(&request).await), "HIT");
}

#[tokio::test]
async fn a_purge_while_an_answer_is_confirmed_keeps_it_out() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while let Some(request) = conn.request().await? {
                let fields = "ETag: \"a\"\r\nCache-Control: max-age=600\r\nCache-Tag: t\r\n";
                if request.head.field("if-none-match").is_some() {
                    arrived.open();
                    release.pass().await;
                    conn.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")).await?;
                } else {
                    conn.send(answer(fields, "whole")).await?;
                }
            }
            Ok(())
        }
    });
    for what in [r#"{"all": true}"#, r#"{"tag": "t"}"#, r#"{"route": "orders"}"#] {
        let gateway =
            File::new(upstream.address()).route("orders", "auth: none, upstream: app, cache: {}").start().await;
        let mut client = gateway.client().await;
        expect(&client.get("/orders/1").await, "MISS", "whole");
        kept(&gateway, 1).await;
        client.send(get("/orders/1", "Cache-Control: no-cache\r\n")).await;
        within("a validation", arrived.pass()).await;
        assert_eq!(purge(&gateway, what).await, 1);
        release.open();
        assert_eq!(client.response().await.text(), "whole");
        number_is(&gateway, "in_flight", 0).await;
        assert_eq!(number(&gateway, "entries").await, 0, "{what}");
        assert_eq!(did(&client.get("/orders/1").await), "MISS");
    }
}

/// The program with a route to this upstream, its listener, and its admin API.
async fn program(upstream: &Upstream) -> (Place, Process, Client, String) {
    let place = Place::serving(&format!(
        "version: 1\nupstreams:\n  app: {{ endpoints: [\"{}\"] }}\nroutes:\n  - {{ name: orders, match: {{ path: \"/{{rest...}}\" }}, \
         auth: none, upstream: app, cache: {{ tags: \"at:{{rest...}}\" }} }}\n",
        upstream.address()
    ));
    let gateway = place.start(&["run", "--format", "json"]);
    let started = gateway.started().await;
    let (admin, client) = (started.admin().to_string(), Client::connect(started.listener("http")).await);
    (place, gateway, client, admin)
}

#[tokio::test]
async fn the_command_shows_and_purges_what_a_running_gateway_has() {
    let upstream = numbered("Cache-Control: max-age=600\r\nETag: \"a\"\r\n");
    let (_serving, gateway, mut client, admin) = program(&upstream).await;
    let place = Place::new();
    let cache =
        async |arguments: &[&str]| place.run(&[&["cache"], arguments, &["--admin", &admin]].concat()).await.with(0);
    for target in ["/orders/1", "/orders/1?a=1&token=x", "/orders/2"] {
        client.get(target).await;
        assert_eq!(did(&client.get(target).await), "HIT");
    }
    let stats = cache(&["stats", "--format", "json"]).await.json();
    assert_eq!((&stats["entries"], &stats["in_flight"]), (&3.into(), &0.into()));
    let bytes = stats["bytes"].as_u64().unwrap();
    assert!(bytes > 0 && bytes <= stats["budget"].as_u64().unwrap());
    let found = cache(&["look-up", "http://api.test/orders/1", "--format", "json"]).await.json();
    assert_eq!(found["count"], 2, "{found}");
    let found = cache(&["look-up", "http://api.test/orders/1?a=1&token=x"]).await.out;
    assert!(
        found.contains("http://api.test/orders/1?a=1&token=x") && found.contains("tags \"at:orders/1\""),
        "{found}"
    );

    let purged = cache(&["purge", "--url", "http://api.test/orders/1?a=1&token=x"]).await;
    assert_eq!((&*purged.out, &*purged.err), ("purged 1 answer\n", ""));
    gateway.says("action=\"purge\" what=url http://api.test/orders/1 soft=false purged=1").await;
    assert!(!gateway.err().contains("token=x"), "no query in the log: {}", gateway.err());
    assert_eq!(did(&client.get("/orders/1?a=1&token=x").await), "MISS");
    assert_eq!(did(&client.get("/orders/1").await), "HIT");
    assert_eq!(cache(&["purge", "--tag", "at:orders/1"]).await.out, "purged 2 answers\n");
    gateway.says("what=tag \"at:orders/1\" soft=false purged=2").await;
    assert_eq!(did(&client.get("/orders/1").await), "MISS");
    assert_eq!(cache(&["purge", "--route", "orders", "--soft"]).await.out, "purged 2 answers\n");
    gateway.says("what=route \"orders\" soft=true purged=2").await;
    assert_eq!(did(&client.get("/orders/2").await), "EXPIRED", "the upstream had another one");
    assert_eq!(cache(&["purge", "--all"]).await.out, "purged 2 answers\n");
    assert_eq!(did(&client.get("/orders/2").await), "MISS");
}
