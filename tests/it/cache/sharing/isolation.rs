//! Who shares an answer with whom: every caller with every other one, for each way that a route may share.

use serde_json::json;

use super::scene::{
    BOTH, Caller, File, Partner, Version, bearer, claims_with, did, expect, keys_of, numbered, provider,
};
use crate::support::TestGateway;
use crate::support::client::Response;
use crate::support::issuer::{IdentityProvider, SigningKey};

/// Known by any means, also as nobody.
const ANY: &str =
    "auth: { any_of: [{ issuer: [main, other] }, { api_key: {} }], partner: optional, mode: observe }, upstream: app";

const OTHER_ISSUER: &str = "https://other.test/";

/// Somebody who calls.
struct Known {
    name: String,
    /// Field and value.
    credential: Option<(&'static str, String)>,
    /// As the upstream is told.
    partner: Option<&'static str>,
    /// Whose answers it has when it has its own.
    own: Option<String>,
}

impl Known {
    async fn get(&self, caller: &mut Caller, target: &str) -> Response {
        let fields: Vec<_> = self.credential.iter().map(|(name, value)| (*name, value.as_str())).collect();
        caller.get(target, &fields).await
    }

    /// Callers of whom this says the same share an answer; `None` shares with nobody.
    fn group(&self, mode: &str) -> Option<String> {
        let own = || self.own.as_ref().map(|own| format!("{:?} {own}", self.partner));
        match mode {
            "shared: true" => Some(String::new()),
            "per: partner" => self.partner.map(str::to_owned).or_else(own),
            _ => own(),
        }
    }
}

struct World {
    gateway: TestGateway,
    everybody: Vec<Known>,
    _upstream: crate::support::Upstream,
    _providers: [IdentityProvider; 2],
}

const MODES: [&str; 3] = ["per: subject", "per: partner", "shared: true"];

impl World {
    async fn start(subjects: &[String]) -> Self {
        let (main_key, main) = provider();
        let other_key = SigningKey::es256("k1");
        let other = IdentityProvider::start(&[&other_key]);
        let upstream = numbered("Cache-Control: s-maxage=600\r\n");
        let [acme, second, globex] = ["acme", "acme", "globex"].map(Partner::new);
        let other_keys = format!(r#"issuer: "{OTHER_ISSUER}", audiences: [api], jwks: {{ url: "{}" }}"#, other.url());
        let mut file = File::new(upstream.address())
            .issuer("main", &keys_of(&main, ""))
            .issuer("other", &other_keys)
            .partner_with("", &[&acme, &second], "clients: [acme-app]")
            .partner_with("", &[&globex], "clients: [globex-app]");
        for (at, mode) in MODES.iter().enumerate() {
            file = file.route(&format!("mode-{at}"), &format!("{ANY}, cache: {{ ttl: 10m, {mode} }}"));
        }
        let gateway = file.start().await;

        let mut everybody =
            vec![Known { name: "nobody".into(), credential: None, partner: None, own: Some("-".into()) }];
        for (name, partner, of) in
            [("acme-1", &acme, "acme"), ("acme-2", &second, "acme"), ("globex", &globex, "globex")]
        {
            everybody.push(Known {
                name: name.to_owned(),
                credential: Some(("x-api-key", partner.key.clone())),
                partner: Some(of),
                own: Some(format!("key {name}")),
            });
        }
        // A subject that is called as a key is none.
        let key_id = acme.key.split('_').nth(1).unwrap_or(&acme.key).to_owned();
        for subject in subjects.iter().chain([&key_id]) {
            for (issuer, key, iss) in
                [("main", &main_key, crate::identity::scene::ISSUER), ("other", &other_key, OTHER_ISSUER)]
            {
                for (client, partner) in
                    [(Some("acme-app"), Some("acme")), (Some("globex-app"), Some("globex")), (None, None)]
                {
                    let claims = claims_with(json!({ "iss": iss, "sub": subject, "azp": client, "scope": null }));
                    everybody.push(Known {
                        name: format!("{subject:.20?} of {issuer} for {partner:?}"),
                        credential: Some(("authorization", bearer(&key.sign(&claims)))),
                        partner,
                        own: Some(format!("{subject} {issuer}")),
                    });
                }
            }
        }
        Self { gateway, everybody, _upstream: upstream, _providers: [main, other] }
    }

    /// Each pair has URLs of its own: the one asks, then the other, then both again.
    async fn every_pair(&self, version: Version) {
        let mut caller = Caller::connect(&self.gateway, version).await;
        for (mode_at, mode) in MODES.iter().enumerate() {
            for (at, one) in self.everybody.iter().enumerate() {
                for (other_at, other) in self.everybody.iter().enumerate() {
                    let target = format!("/mode-{mode_at}/{version:?}/{at}/{other_at}");
                    let case = format!("{mode}: {}, then {}", one.name, other.name);
                    let first = one.get(&mut caller, &target).await;
                    assert_eq!((first.status, did(&first)), (200, "MISS"), "{case}: {}", first.text());
                    let second = other.get(&mut caller, &target).await;
                    assert_eq!(second.status, 200, "{case}: {}", second.text());
                    if one.group(mode).is_some() && one.group(mode) == other.group(mode) {
                        assert_eq!((did(&second), second.text()), ("HIT", first.text()), "{case}");
                        continue;
                    }
                    assert_eq!(did(&second), "MISS", "{case}");
                    assert_ne!(second.text(), first.text(), "{case}");
                    for (who, before) in [(one, &first), (other, &second)] {
                        expect(&who.get(&mut caller, &target).await, "HIT", before.text());
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn everybody_has_the_answers_that_the_route_says_and_nobody_those_of_another() {
    let world = World::start(&["ann".to_owned(), "acme".to_owned()]).await;
    for version in BOTH {
        world.every_pair(version).await;
    }
}

#[tokio::test]
async fn names_that_run_into_each_other_are_told_apart() {
    // What a key could be put together wrongly of: separators, lengths, the names of others, almost the same letters.
    let names = [
        "",
        "ann\u{0}",
        "ann\u{0}acme",
        "ann/acme",
        "ann acme",
        "ann,main",
        "ann\u{1}\u{0}\u{0}\u{0}x",
        "\u{e9}ve",
        "e\u{301}ve",
        "Ann",
        "ann\r\nx-sluice-partner: globex",
    ];
    let (key, provider) = provider();
    let upstream = numbered("Cache-Control: s-maxage=600\r\n");
    let gateway = File::new(upstream.address())
        .issuer("main", &keys_of(&provider, ""))
        .partner_with("", &[&Partner::new("acme")], "clients: [acme-app]")
        .partner_with("", &[&Partner::new("globex")], "clients: [globex-app]")
        .route("orders", "auth: { issuer: main, partner: optional }, upstream: app, cache: 10m")
        .start()
        .await;
    let mut caller = Caller::connect(&gateway, Version::One).await;
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.extend(["x".repeat(255), "x".repeat(256), "x".repeat(257)]);
    let mut answers = Vec::new();
    for subject in &names {
        for client in ["acme-app", "globex-app", "nobody"] {
            let token = bearer(&key.sign(&claims_with(json!({ "sub": subject, "azp": client }))));
            let fields = [("authorization", token.as_str())];
            let first = caller.get("/orders/1", &fields).await;
            if first.status != 200 {
                // What cannot be told to an upstream is not known at all, and gets nothing from memory.
                assert!((400..=500).contains(&first.status), "{subject:?} {}", first.text());
                assert_eq!(caller.get("/orders/1", &fields).await.status, first.status);
                continue;
            }
            assert_eq!(did(&first), "MISS", "{subject:?} of {client}");
            expect(&caller.get("/orders/1", &fields).await, "HIT", first.text());
            answers.push(first.text().to_owned());
        }
    }
    assert!(answers.len() >= 12, "{answers:?}");
    let asked = answers.len();
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), asked, "nobody got what another one has");
}

#[tokio::test]
async fn chosen_fields_that_run_into_each_other_are_told_apart() {
    let upstream = numbered("Cache-Control: s-maxage=600\r\n");
    let gateway = File::new(upstream.address())
        .route("orders", "auth: none, upstream: app, cache: { headers: [X-A, X-B] }")
        .start()
        .await;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        let target = format!("/orders/{version:?}");
        let requests: [&[(&str, &str)]; 8] = [
            &[],
            &[("x-a", "")],
            &[("x-b", "")],
            &[("x-a", "xy")],
            &[("x-b", "xy")],
            &[("x-a", "x"), ("x-b", "y")],
            &[("x-a", "x, y")],
            &[("x-a", "x"), ("x-b", "y, z")],
        ];
        let mut answers = Vec::new();
        for fields in requests {
            let first = caller.get(&target, fields).await;
            assert_eq!(did(&first), "MISS", "{fields:?}");
            answers.push(first.text().to_owned());
        }
        for (fields, before) in requests.iter().zip(&answers) {
            expect(&caller.get(&target, fields).await, "HIT", before);
        }
        // Of one name, in one order: the same list (RFC 9110 section 5.3).
        expect(&caller.get(&target, &[("x-a", "x"), ("x-a", "y")]).await, "HIT", &answers[6]);
    }
}

#[tokio::test]
async fn who_may_more_may_be_told_more() {
    // Upstreams are told the scopes, so that what they say to one who has others is not the same.
    for (identity, told) in [("", true), ("identity: { headers: { scopes: off } }", false)] {
        for (mode, together) in [("per: subject", !told), ("per: partner", !told), ("shared: true", true)] {
            let (key, provider) = provider();
            let upstream = numbered("");
            let file = File::new(upstream.address())
                .issuer("main", &keys_of(&provider, ""))
                .partner_with("", &[&Partner::new("acme")], "clients: [acme-app]")
                .route("orders", &format!("auth: {{ issuer: main }}, upstream: app, cache: {{ ttl: 10m, {mode} }}"));
            let gateway = crate::limits::scene::build().start(&format!("{file}{identity}\n")).await;
            for version in BOTH {
                let mut caller = Caller::connect(&gateway, version).await;
                let target = format!("/orders/{version:?}");
                let mut get = async |scope: serde_json::Value| {
                    let token = key.sign(&claims_with(json!({ "scope": scope })));
                    caller.with_token(&target, &token).await
                };
                let first = get(json!("a b")).await;
                assert_eq!(did(&first), "MISS");
                expect(&get(json!("b a")).await, "HIT", first.text());
                for other in [json!("a"), json!("a b c"), json!("ab"), json!(null)] {
                    let response = get(other).await;
                    assert_eq!(did(&response) == "HIT", together, "{mode}, told: {told}: {}", response.text());
                    assert_eq!(response.text() == first.text(), together);
                }
            }
        }
    }
}
