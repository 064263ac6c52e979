//! What is known of a caller decides what it gets: certificates, tokens in queries, credentials that are only observed or not ours, and
//! callers who may not have it any more.

use std::time::Duration;

use rcgen::SanType;
use serde_json::json;

use super::scene::{
    BOTH, Caller, File, KEYED, Partner, Version, answer, asking, bearer, claims_with, did, expect, get, keys_of,
    number, numbered, provider, told,
};
use crate::limits::scene::refused_by;
use crate::support::gateway::{endpoint, routes};
use crate::support::{Authority, Client, Gate, TestGateway, Upstream, eventually, within};

const PUBLIC: &str = "Cache-Control: public, max-age=600\r\n";

#[tokio::test]
async fn partners_with_client_certificates_have_answers_of_their_own() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let upstream = numbered("");
    let file = |per: &str| {
        format!(
            "version: 1\npartners:\n  acme: {{ certificates: [{{ dns: a.acme.test }}, {{ dns: b.acme.test }}] }}\n  \
             globex: {{ certificates: [{{ dns: a.globex.test }}] }}\nupstreams:\n  app: {}\nroutes:\n  \
             - {{ name: all, match: {{ path: \"/{{rest...}}\" }}, auth: {{ certificate: true }}, upstream: app, \
             cache: {{ ttl: 10m, per: {per} }} }}\n",
            endpoint(upstream.address())
        )
    };
    for (per, together) in [("subject", false), ("partner", true)] {
        let builder = TestGateway::build();
        let ca = builder.file("clients.pem", &clients.bundle());
        let keys = format!(r#"client_certificates: {{ mode: required, ca: "{}" }}"#, ca.display());
        let issued = servers.issue(&["api.test"]);
        let gateway = builder.tls_listener("https", &[&issued], &keys, "").start(&file(per)).await;
        let connect = async |subject: &str, name: &str| {
            let names = vec![SanType::DnsName(name.try_into().unwrap())];
            let shown = clients.issue_client(subject, names, Duration::from_secs(4_000_000_000));
            let config = servers.client_as(Some(&shown), &[], rustls::ALL_VERSIONS);
            Client::tls(gateway.address(), "api.test", config).await.unwrap()
        };
        let mut ann = connect("same", "a.acme.test").await;
        let mut bob = connect("bob", "b.acme.test").await;
        let mut eve = connect("same", "a.globex.test").await;
        let first = ann.get("/orders").await;
        assert_eq!(did(&first), "MISS");
        assert!(first.text().ends_with("acme/CN=same"), "{}", first.text());
        expect(&ann.get("/orders").await, "HIT", first.text());
        let second = bob.get("/orders").await;
        if together {
            expect(&second, "HIT", first.text());
        } else {
            assert!(did(&second) == "MISS" && second.text().ends_with("acme/CN=bob"), "{}", second.text());
        }
        let other = eve.get("/orders").await;
        assert!(did(&other) == "MISS" && other.text().ends_with("globex/CN=same"), "{}", other.text());
    }
}

#[tokio::test]
async fn callers_of_whom_nothing_tells_them_apart_have_nothing_kept() {
    let (key, provider) = provider();
    let upstream = numbered(PUBLIC);
    let file = File::new(upstream.address()).issuer("main", &keys_of(&provider, ""));
    let auth = "auth: { issuer: main, partner: optional }, upstream: app";
    let gateway = file
        .route("subject", &format!("{auth}, cache: 10m"))
        .route("partner", &format!("{auth}, cache: {{ ttl: 10m, per: partner }}"))
        .start()
        .await;
    let nameless = bearer(&key.sign(&claims_with(json!({ "sub": null, "azp": null }))));
    let unknown = bearer(&key.sign(&claims_with(json!({ "sub": null, "azp": "nobody-we-know" }))));
    let mut asked = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for target in ["/subject/1", "/partner/1"] {
            for token in [&nameless, &unknown, &nameless] {
                let response = caller.get(target, &[("authorization", token)]).await;
                asked += 1;
                expect(&response, "BYPASS", &format!("{asked} -/-"));
            }
        }
    }
    assert_eq!(number(&gateway, "entries").await, 0);
}

#[tokio::test]
async fn a_partner_that_names_no_subject_has_answers_of_its_own() {
    let (key, provider) = provider();
    let upstream = numbered(PUBLIC);
    let file = File::new(upstream.address())
        .issuer("main", &keys_of(&provider, ""))
        .partner_with("", &[&Partner::new("acme")], "clients: [acme-app]")
        .partner_with("", &[&Partner::new("globex")], "clients: [globex-app]");
    let gateway = file
        .route("told", "auth: { issuer: main }, upstream: app, cache: 10m")
        .route("passed-on", "auth: { issuer: main, keep_credential: true }, upstream: app, cache: 10m")
        .start()
        .await;
    let token = |client: &str, subject: Option<&str>, id: &str| {
        bearer(&key.sign(&claims_with(json!({ "sub": subject, "azp": client, "jti": id }))))
    };
    let mut caller = Caller::connect(&gateway, Version::One).await;
    let mut get = async |target: &str, token: &str| caller.get(target, &[("authorization", token)]).await;
    let first = get("/told/1", &token("acme-app", None, "1")).await;
    expect(&first, "MISS", "1 acme/-");
    expect(&get("/told/1", &token("acme-app", None, "2")).await, "HIT", "1 acme/-");
    expect(&get("/told/1", &token("globex-app", None, "3")).await, "MISS", "2 globex/-");
    expect(&get("/told/1", &token("acme-app", Some("ann"), "4")).await, "MISS", "3 acme/ann");
    // Who sees the credential itself may tell them apart.
    expect(&get("/passed-on/1", &token("acme-app", None, "5")).await, "BYPASS", "4 acme/-");
}

#[tokio::test]
async fn what_was_asked_with_a_foreign_credential_is_not_kept_without_permission() {
    for (fields, kept) in [
        ("", false),
        ("Cache-Control: max-age=600\r\n", false),
        ("Expires: Fri, 01 Jan 2100 00:00:00 GMT\r\nETag: \"a\"\r\n", false),
        ("Cache-Control: public, max-age=600\r\n", true),
        ("Cache-Control: s-maxage=600\r\n", true),
        ("Cache-Control: max-age=600, must-revalidate\r\n", true),
    ] {
        let upstream = numbered(fields);
        let gateway =
            File::new(upstream.address()).route("open", "auth: none, upstream: app, cache: 10m").start().await;
        for (at, version) in BOTH.into_iter().enumerate() {
            let mut caller = Caller::connect(&gateway, version).await;
            let target = format!("/open/{at}");
            let first = caller.get(&target, &[("authorization", "Basic YTpi")]).await;
            assert_eq!(did(&first), "MISS", "{fields}");
            assert!(first.field("cache-status").unwrap().contains("stored") == kept, "{:?}", first.head.fields);
            // Another one, another credential, and none.
            for others in [&[("authorization", "Basic YTpi")][..], &[("authorization", "Basic Yjpj")], &[]] {
                let response = caller.get(&target, others).await;
                if kept {
                    expect(&response, "HIT", first.text());
                } else {
                    assert!(did(&response) == "MISS" && response.text() != first.text(), "{fields} {others:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_no_part_of_the_key_and_its_answer_is_private() {
    let (key, provider) = provider();
    let upstream = numbered("Cache-Control: public, max-age=600\r\n");
    let gateway = File::new(upstream.address())
        .issuer("main", &keys_of(&provider, ""))
        .partner_with("", &[&Partner::new("acme")], "clients: [acme-app]")
        .route("orders", "auth: { issuer: main, token: { query: access_token } }, upstream: app, cache: 10m")
        .start()
        .await;
    let token = |id: &str, subject: &str| key.sign(&claims_with(json!({ "jti": id, "sub": subject })));
    let private = |response: &crate::support::client::Response| {
        let values = response.head.all("cache-control").join(",");
        values.split(',').any(|value| value.trim() == "private")
    };
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        let in_query = |token: &str| format!("/orders/{version:?}?a=1&access_token={token}");
        let first = caller.get(&in_query(&token("t-1", "ann")), &[]).await;
        assert!(did(&first) == "MISS" && private(&first), "{:?}", first.head.fields);
        // Another token of the same caller, and in another place.
        let again = caller.get(&in_query(&token("t-2", "ann")), &[]).await;
        expect(&again, "HIT", first.text());
        assert!(private(&again), "RFC 6750 section 2.3: {:?}", again.head.fields);
        let beside = caller.with_token(&format!("/orders/{version:?}?a=1"), &token("t-3", "ann")).await;
        expect(&beside, "HIT", first.text());
        assert!(!private(&beside), "its URL is no secret: {:?}", beside.head.fields);
        let other = caller.get(&in_query(&token("t-4", "bob")), &[]).await;
        assert!(did(&other) == "MISS" && other.text().ends_with("acme/bob") && private(&other), "{}", other.text());
    }
    for asked in ["http://api.test/orders/One", "http://api.test/orders/Two"] {
        let (_, found) = gateway.admin_get(&format!("/cache/look-up?url={asked}")).await;
        assert!(found.contains("?a=1") && !found.contains("access_token") && !found.contains("eyJ"), "{found}");
    }
}

#[tokio::test]
async fn who_is_only_observed_gets_what_strangers_get() {
    let (key, provider) = provider();
    let acme = Partner::new("acme");
    let upstream = numbered("Cache-Control: s-maxage=600\r\n");
    let any = "any_of: [{ issuer: main }, { api_key: {} }], mode: observe";
    let gateway = File::new(upstream.address())
        .issuer("main", &keys_of(&provider, ""))
        .partner_with("", &[&acme], "clients: [acme-app]")
        .route("orders", &format!("auth: {{ {any} }}, upstream: app, cache: 10m"))
        .start()
        .await;
    let good = bearer(&key.sign(&claims_with(json!({}))));
    let expired = bearer(&key.sign(&claims_with(json!({ "exp": 1_000_000_000 }))));
    let foreign = bearer(&crate::support::issuer::SigningKey::es256("k1").sign(&claims_with(json!({}))));
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        let target = format!("/orders/{version:?}");
        let ann = caller.get(&target, &[("authorization", &good)]).await;
        assert!(did(&ann) == "MISS" && ann.text().ends_with("acme/ann"), "{}", ann.text());
        for bad in [
            &[("authorization", &*expired)][..],
            &[("authorization", &*foreign)],
            &[("authorization", "Bearer x")],
            &[("x-api-key", "guessed")],
            &[],
        ] {
            let response = caller.get(&target, bad).await;
            assert!(response.status == 200 && response.text().ends_with(" -/-"), "{bad:?}: {}", response.text());
        }
        expect(&caller.get(&target, &[("authorization", &good)]).await, "HIT", ann.text());
        let by_key = caller.get(&target, &[acme.field()]).await;
        assert!(did(&by_key) == "MISS" && by_key.text().contains("acme/"), "{}", by_key.text());
    }
}

#[tokio::test]
async fn who_is_revoked_but_only_observed_is_not_given_what_it_had() {
    let (key, provider) = provider();
    let acme = Partner::new("acme");
    let upstream = numbered("Cache-Control: s-maxage=600\r\n");
    let route = |cache: &str| {
        format!(
            "auth: {{ any_of: [{{ issuer: main }}, {{ api_key: {{}} }}], mode: observe }}, upstream: app, cache: {cache}"
        )
    };
    let file = File::new(upstream.address())
        .issuer("main", &keys_of(&provider, ""))
        .partner_with("", &[&acme], "clients: [acme-app]")
        .route("subject", &route("10m"))
        .route("partner", &route("{ ttl: 10m, per: partner }"));
    let gateway = file.start().await;
    let ann = bearer(&key.sign(&claims_with(json!({ "jti": "t-1" }))));
    let again = bearer(&key.sign(&claims_with(json!({ "jti": "t-2" }))));
    let mut caller = Caller::connect(&gateway, Version::One).await;
    let mut before = Vec::new();
    for target in ["/subject/1", "/partner/1"] {
        let first = caller.get(target, &[("authorization", &ann)]).await;
        expect(&caller.get(target, &[("authorization", &again)]).await, "HIT", first.text());
        before.push(first.text().to_owned());
    }
    let (status, text) = gateway.admin_send("POST", "/revocations", r#"{"token_id": "t-1"}"#).await;
    assert_eq!(status, 201, "{text}");
    for (target, before) in ["/subject/1", "/partner/1"].into_iter().zip(&before) {
        // The upstream is told of nobody: what it says then is for nobody else either.
        let response = caller.get(target, &[("authorization", &ann)]).await;
        assert_eq!(response.status, 200);
        assert!(response.text().ends_with(" -/-"), "{target}: {} {:?}", response.text(), response.head.fields);
        expect(&caller.get(target, &[("authorization", &again)]).await, "HIT", before);
    }
    // The same when the partner is switched off.
    let off = file.partner_with("", &[&acme], "clients: [acme-app], enabled: false");
    gateway.reload_with(&off.to_string()).await;
    for target in ["/subject/1", "/partner/1"] {
        let response = caller.get(target, &[("authorization", &again)]).await;
        assert!(response.status == 200 && response.text().ends_with(" -/-"), "{target}: {}", response.text());
    }
}

#[tokio::test]
async fn a_credential_that_goes_on_to_the_upstream_unknown_is_not_answered_for_all() {
    let acme = Partner::new("acme");
    let upstream = Upstream::scripted(|mut conn| async move {
        while let Some(request) = conn.request().await? {
            let body = format!("for {}", request.head.field("x-api-key").unwrap_or("nobody"));
            conn.send(answer("Cache-Control: max-age=600\r\n", &body)).await?;
        }
        Ok(())
    });
    let gateway = File::new(upstream.address())
        .partner("", &acme)
        .route("orders", "auth: { api_key: {}, mode: observe, keep_credential: true }, upstream: app, cache: 10m")
        .start()
        .await;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for key in ["k-1", "k-2", "k-1"] {
            let response = caller.get("/orders/1", &[("x-api-key", key)]).await;
            assert_eq!(response.text(), format!("for {key}"), "{:?}", response.head.fields);
        }
        assert_eq!(caller.get("/orders/1", &[]).await.text(), "for nobody");
    }
}

#[tokio::test]
async fn two_routes_with_one_url_share_nothing() {
    let (one, other) = (numbered(PUBLIC), numbered(PUBLIC));
    let shared = "auth: none, cache: { shared: true, ttl: 10m }";
    let gateway = TestGateway::start(&routes(
        &[("one", endpoint(one.address())), ("next", endpoint(other.address()))],
        &[
            format!(
                r#"{{ name: beta, match: {{ path: /x, headers: {{ x-version: "2" }} }}, {shared}, upstream: next }}"#
            ),
            format!("{{ name: plain, match: {{ path: /x }}, {shared}, upstream: one }}"),
        ],
    ))
    .await;
    let mut client = gateway.client().await;
    for (lines, upstream) in [("", &one), ("X-Version: 2\r\n", &other)] {
        expect(&client.request(get("/x", lines)).await, "MISS", "1 -/-");
        expect(&client.request(get("/x", lines)).await, "HIT", "1 -/-");
        assert_eq!(upstream.requests().len(), 1);
    }
    assert_eq!(number(&gateway, "entries").await, 2);
}

#[tokio::test]
async fn partners_who_ask_at_the_same_time_are_asked_for_each_by_itself() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), release.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, release) = gates.clone();
        async move {
            while let Some(request) = conn.request().await? {
                arrived.open();
                release.pass().await;
                conn.send(answer("Cache-Control: s-maxage=600\r\n", &told(&request))).await?;
            }
            Ok(())
        }
    });
    let [acme, globex] = ["acme", "globex"].map(Partner::new);
    let gateway = File::new(upstream.address())
        .partner("", &acme)
        .partner("", &globex)
        .route("orders", &format!("{KEYED}, cache: {{ ttl: 10m, per: partner }}"))
        .start()
        .await;
    let request = |partner: &Partner| get("/orders/slow", &format!("X-Api-Key: {}\r\n", partner.key));
    let ours = asking(&gateway, &request(&acme), 3).await;
    within("acme's question", arrived.pass()).await;
    let theirs = asking(&gateway, &request(&globex), 3).await;
    within("globex's question", arrived.pass()).await;
    super::scene::number_is(&gateway, "collapsed", 4).await;
    assert_eq!(upstream.requests().len(), 2);
    (0..2).for_each(|_| release.open());
    for (clients, partner) in [(ours, "acme/"), (theirs, "globex/")] {
        for mut client in clients {
            let response = client.response().await;
            assert!(response.status == 200 && response.text().starts_with(partner), "{}", response.text());
        }
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn who_may_not_have_it_any_more_gets_nothing_from_memory() {
    let acme = Partner::new("acme");
    let (key, provider) = provider();
    let upstream = numbered(PUBLIC);
    let auth = "auth: { any_of: [{ issuer: main }, { api_key: {} }] }, upstream: app";
    let file = |more: &str| {
        File::new(upstream.address())
            .issuer("main", &keys_of(&provider, ""))
            .partner_with("", &[&acme], &format!("clients: [acme-app], {more}"))
            .route("own", &format!("{auth}, cache: 10m"))
            .route("shared", &format!("{auth}, cache: {{ ttl: 10m, shared: true }}"))
    };
    let gateway = file("").start().await;
    let token = bearer(&key.sign(&claims_with(json!({ "jti": "t-1" }))));
    let credentials = [("authorization", token.as_str()), acme.field()];
    let mut callers = [Caller::connect(&gateway, Version::One).await, Caller::connect(&gateway, Version::Two).await];
    for target in ["/own/1", "/shared/1"] {
        for field in credentials {
            callers[0].get(target, &[field]).await;
            assert_eq!(did(&callers[1].get(target, &[field]).await), "HIT");
        }
    }
    let asked = upstream.requests().len();
    gateway.reload_with(&file("enabled: false").to_string()).await;
    for caller in &mut callers {
        for target in ["/own/1", "/shared/1"] {
            for field in credentials {
                caller.get(target, &[field]).await.refused(403, "PARTNER_DISABLED");
            }
            caller.get(target, &[]).await.refused(401, "CREDENTIAL_MISSING");
        }
    }
    gateway.reload_with(&file("").to_string()).await;
    assert_eq!(did(&callers[0].get("/own/1", &[credentials[0]]).await), "HIT", "it was never taken out");
    let (status, text) = gateway.admin_send("POST", "/revocations", r#"{"token_id": "t-1"}"#).await;
    assert_eq!(status, 201, "{text}");
    for caller in &mut callers {
        for target in ["/own/1", "/shared/1"] {
            caller.get(target, &[credentials[0]]).await.refused(401, "CREDENTIAL_REVOKED");
            assert_eq!(did(&caller.get(target, &[credentials[1]]).await), "HIT", "another credential");
        }
    }
    let (status, text) = gateway.admin_send("POST", "/revocations", r#"{"partner": "acme"}"#).await;
    assert_eq!(status, 201, "{text}");
    for caller in &mut callers {
        for target in ["/own/1", "/shared/1"] {
            caller.get(target, &[credentials[1]]).await.refused(401, "CREDENTIAL_REVOKED");
        }
    }
    assert_eq!(upstream.requests().len(), asked);
}

#[tokio::test]
async fn limits_are_charged_for_what_comes_from_memory() {
    let acme = Partner::new("acme");
    for version in BOTH {
        let upstream = numbered(PUBLIC);
        let gateway = File::new(upstream.address())
            .plan("tin", "rate_limit: 3/h")
            .partner("tin", &acme)
            .route("orders", &format!("{KEYED}, cache: 10m"))
            .start()
            .await;
        let mut caller = Caller::connect(&gateway, version).await;
        for (outcome, left) in [("MISS", 2), ("HIT", 1), ("HIT", 0)] {
            let response = acme.get(&mut caller, "/orders/1").await;
            assert_eq!(did(&response), outcome);
            assert_eq!(
                crate::limits::scene::left(&response, "tin.rate_limit"),
                left,
                "its own numbers, not stored ones"
            );
        }
        refused_by(&acme.get(&mut caller, "/orders/1").await, "RATE_LIMITED", "tin.rate_limit");
    }
}

#[tokio::test]
async fn rights_are_asked_for_before_memory() {
    let (key, provider) = provider();
    let upstream = numbered(PUBLIC);
    let auth = "auth: { issuer: main, scopes: { all_of: [orders:read] } }, upstream: app";
    let gateway = File::new(upstream.address())
        .issuer("main", &keys_of(&provider, ""))
        .partner_with("", &[&Partner::new("acme")], "clients: [acme-app]")
        .route("subject", &format!("{auth}, cache: 10m"))
        .route("partner", &format!("{auth}, cache: {{ ttl: 10m, per: partner }}"))
        .route("shared", &format!("{auth}, cache: {{ ttl: 10m, shared: true }}"))
        .start()
        .await;
    let may = bearer(&key.sign(&claims_with(json!({}))));
    let lacks = bearer(&key.sign(&claims_with(json!({ "scope": "orders:write" }))));
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for route in ["subject", "partner", "shared"] {
            let target = format!("/{route}/{version:?}");
            assert_eq!(did(&caller.get(&target, &[("authorization", &may)]).await), "MISS");
            caller.get(&target, &[("authorization", &lacks)]).await.refused(403, "SCOPE_MISSING");
            assert_eq!(did(&caller.get(&target, &[("authorization", &may)]).await), "HIT");
        }
    }
    assert_eq!(upstream.requests().len(), 6);
}

#[tokio::test]
async fn who_was_let_in_gets_what_it_waits_for_and_who_comes_later_nothing() {
    let (arrived, release) = (Gate::closed(), Gate::closed());
    let upstream = Upstream::held(&arrived, &release);
    let acme = Partner::new("acme");
    let file = |more: &str| {
        File::new(upstream.address()).partner_with("", &[&acme], more).route("orders", &format!("{KEYED}, cache: 10m"))
    };
    let gateway = file("").start().await;
    let request = get("/orders/1", &format!("X-Api-Key: {}\r\n", acme.key));
    let mut first = asking(&gateway, &request, 1).await.swap_remove(0);
    within("a question", arrived.pass()).await;
    gateway.reload_with(&file("enabled: false").to_string()).await;
    let mut second = gateway.client().await;
    second.request(&request).await.refused(403, "PARTNER_DISABLED");
    release.open();
    assert_eq!(first.response().await.text(), "in the end");
    eventually("no flight", async || (number(&gateway, "in_flight").await == 0).then_some(())).await;
}
