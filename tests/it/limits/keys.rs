//! Who shares a limit with whom, for each `per` and their combinations.

use std::collections::HashMap;

use serde_json::json;

use super::scene::{BOTH, Caller, File, OPEN, Partner, Version, left, refusals, refused_by, statuses};
use crate::identity::scene::{bearer, claims_with, keys_of, provider};
use crate::support::TestGateway;
use crate::support::client::Response;

/// Somebody who calls: a name in [`World::credentials`] or none, an address, and fields.
#[derive(Clone, Copy, Debug)]
struct Who {
    credential: &'static str,
    from: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

const fn who(credential: &'static str, from: &'static str) -> Who {
    Who { credential, from, fields: &[] }
}

const fn sending(credential: &'static str, fields: &'static [(&'static str, &'static str)]) -> Who {
    Who { credential, from: NEAR, fields }
}

const NEAR: &str = "203.0.113.1";
const FAR: &str = "198.51.100.9";

const TOGETHER: bool = true;
const APART: bool = false;

/// With `acme-1` and `acme-2` one partner has made two calls; `ann` and `bob` are known and no partners; `-` has no credential.
const CASES: &[(&str, Who, Who, bool)] = &[
    ("partner", who("acme-1", NEAR), who("acme-2", FAR), TOGETHER),
    ("partner", who("acme-1", NEAR), who("globex", NEAR), APART),
    ("partner", who("ann", NEAR), who("ann", FAR), TOGETHER),
    ("partner", who("ann", NEAR), who("bob", NEAR), APART),
    ("partner", who("ann", NEAR), who("acme-1", NEAR), APART),
    ("partner", who("ann", NEAR), who("-", NEAR), APART),
    ("partner", who("-", NEAR), who("-", NEAR), TOGETHER),
    ("partner", who("-", NEAR), who("-", FAR), APART),
    // A subject that is called as a partner is none.
    ("partner", who("acme-1", NEAR), who("subject-acme", NEAR), APART),
    ("plan", who("acme-1", NEAR), who("globex", FAR), TOGETHER),
    ("plan", who("acme-1", NEAR), who("initech", NEAR), APART),
    ("plan", who("acme-1", NEAR), who("ann", NEAR), APART),
    ("plan", who("ann", NEAR), who("-", FAR), TOGETHER),
    ("plan", who("hooli", NEAR), who("-", FAR), TOGETHER),
    ("subject", who("acme-1", NEAR), who("acme-1", FAR), TOGETHER),
    ("subject", who("acme-1", NEAR), who("acme-2", NEAR), APART),
    ("subject", who("ann", NEAR), who("ann", FAR), TOGETHER),
    ("subject", who("ann", NEAR), who("bob", NEAR), APART),
    ("subject", who("ann", NEAR), who("-", NEAR), APART),
    ("subject", who("-", NEAR), who("-", NEAR), TOGETHER),
    ("subject", who("-", NEAR), who("-", FAR), APART),
    ("address", who("acme-1", NEAR), who("globex", NEAR), TOGETHER),
    ("address", who("acme-1", NEAR), who("-", NEAR), TOGETHER),
    ("address", who("acme-1", NEAR), who("acme-1", FAR), APART),
    ("address", who("-", "203.0.113.1"), who("-", "::ffff:203.0.113.1"), TOGETHER),
    ("address", who("-", "203.0.113.1"), who("-", "203.0.113.0"), APART),
    ("address", who("-", "2001:db8:1:2::1"), who("-", "2001:db8:1:2:ffff:ffff:ffff:ffff"), TOGETHER),
    ("address", who("-", "2001:db8:1:2::1"), who("-", "2001:db8:1:3::1"), APART),
    ("address", who("-", "2001:db8:1:2::1"), who("-", "2001:db8:1:1:ffff:ffff:ffff:ffff"), APART),
    ("{header: X-Tenant}", sending("acme-1", &[("x-tenant", "a")]), sending("-", &[("X-TENANT", "a")]), TOGETHER),
    ("{header: X-Tenant}", sending("-", &[("x-tenant", "a")]), sending("-", &[("x-tenant", "A")]), APART),
    ("{header: X-Tenant}", sending("-", &[("x-tenant", "a")]), sending("-", &[]), APART),
    ("{header: X-Tenant}", sending("-", &[("x-tenant", "")]), sending("-", &[]), APART),
    ("{header: X-Tenant}", sending("acme-1", &[]), who("-", FAR), TOGETHER),
    (
        "{header: X-Tenant}",
        sending("-", &[("x-tenant", "a")]),
        sending("-", &[("x-tenant", "a"), ("x-tenant", "b")]),
        TOGETHER,
    ),
    ("{header: X-Tenant}", sending("-", &[("x-tenant", "a")]), sending("-", &[("x-other", "a")]), APART),
    ("route", who("acme-1", NEAR), who("-", FAR), TOGETHER),
    ("route", who("acme-1", NEAR), who("initech", FAR), TOGETHER),
    ("[route, partner]", who("acme-1", NEAR), who("acme-2", FAR), TOGETHER),
    ("[route, partner]", who("acme-1", NEAR), who("globex", NEAR), APART),
    (
        "[partner, {header: X-Tenant}]",
        sending("acme-1", &[("x-tenant", "a")]),
        sending("acme-2", &[("x-tenant", "a")]),
        TOGETHER,
    ),
    (
        "[partner, {header: X-Tenant}]",
        sending("acme-1", &[("x-tenant", "a")]),
        sending("acme-1", &[("x-tenant", "b")]),
        APART,
    ),
    (
        "[partner, {header: X-Tenant}]",
        sending("acme-1", &[("x-tenant", "a")]),
        sending("globex", &[("x-tenant", "a")]),
        APART,
    ),
    ("[partner, address]", who("acme-1", NEAR), who("acme-2", NEAR), TOGETHER),
    ("[partner, address]", who("acme-1", NEAR), who("acme-1", FAR), APART),
    ("[address, route]", who("-", NEAR), who("acme-1", NEAR), TOGETHER),
    ("[address, route]", who("-", NEAR), who("-", FAR), APART),
    ("[plan, subject]", who("acme-1", NEAR), who("acme-2", NEAR), APART),
    (
        "[plan, {header: X-Tenant}]",
        sending("acme-1", &[("x-tenant", "a")]),
        sending("globex", &[("x-tenant", "a")]),
        TOGETHER,
    ),
    // What runs into each other is told apart all the same.
    ("[{header: A}, {header: B}]", sending("-", &[("a", "xy")]), sending("-", &[("b", "xy")]), APART),
    (
        "[{header: A}, {header: B}]",
        sending("-", &[("a", "x"), ("b", "y")]),
        sending("-", &[("a", "y"), ("b", "x")]),
        APART,
    ),
    (
        "[{header: A}, {header: B}]",
        sending("-", &[("a", "x"), ("b", "yz")]),
        sending("-", &[("a", "xy"), ("b", "z")]),
        APART,
    ),
    (
        "[{header: A}, {header: B}]",
        sending("-", &[("b", "y"), ("a", "x")]),
        sending("-", &[("a", "x"), ("b", "y")]),
        TOGETHER,
    ),
];

struct World {
    gateway: TestGateway,
    /// Field and value of each credential.
    credentials: HashMap<&'static str, (&'static str, String)>,
    _provider: crate::support::issuer::IdentityProvider,
}

impl World {
    /// Each case has a route with a limit of one, of this kind.
    async fn start(limit: &str) -> Self {
        let (signing, provider) = provider();
        let [acme, second, globex, initech, hooli] = ["acme", "acme", "globex", "initech", "hooli"].map(Partner::new);
        let mut file = File::without_upstream()
            .issuer("main", &keys_of(&provider, ""))
            .plan("gold", "rate_limit: 1000000/h")
            .plan("tin", "rate_limit: 1000000/h")
            .partner_with("gold", &[&acme, &second], "")
            .partner("gold", &globex)
            .partner("tin", &initech)
            .partner("", &hooli);
        // Callers without a credential pass, and are nobody.
        let auth = "auth: { any_of: [{ issuer: main }, { api_key: {} }], partner: optional, mode: observe }";
        for (at, (per, ..)) in CASES.iter().enumerate() {
            let limit = limit.replace("PER", per);
            file = file.route(&format!("case-{at}"), &format!("{auth}, respond: {{ body: good }}, {limit}"));
        }
        let gateway = file.start_behind_proxy().await;
        let token = |subject: &str| {
            ("authorization", bearer(&signing.sign(&claims_with(json!({ "sub": subject, "azp": null })))))
        };
        let key = |partner: &Partner| ("x-api-key", partner.key.clone());
        let credentials = HashMap::from([
            ("acme-1", key(&acme)),
            ("acme-2", key(&second)),
            ("globex", key(&globex)),
            ("initech", key(&initech)),
            ("hooli", key(&hooli)),
            ("ann", token("ann")),
            ("bob", token("bob")),
            ("subject-acme", token("acme")),
        ]);
        Self { gateway, credentials, _provider: provider }
    }

    async fn call(&self, caller: &mut Caller, target: &str, who: Who) -> Response {
        let mut fields = vec![("x-forwarded-for", who.from)];
        fields.extend(self.credentials.get(who.credential).map(|(name, value)| (*name, value.as_str())));
        fields.extend(who.fields);
        caller.get(target, &fields).await
    }
}

async fn every_case_holds_for(limit: &str, reason: &str) {
    let world = World::start(limit).await;
    let [mut first, mut second] =
        [Caller::connect(&world.gateway, Version::One).await, Caller::connect(&world.gateway, Version::Two).await];
    for (at, (per, one, other, together)) in CASES.iter().enumerate() {
        let target = format!("/case-{at}/");
        let case = format!("per: {per}, {one:?} and {other:?}");
        let response = world.call(&mut first, &target, *one).await;
        assert_eq!(response.status, 200, "nobody else was here: {case}: {}", response.text());
        let response = world.call(&mut second, &target, *other).await;
        assert_eq!(response.status, if *together { 429 } else { 200 }, "{case}: {}", response.text());
        if *together {
            response.refused(429, reason);
        }
        // And each by itself has had its one.
        for who in [one, other] {
            world.call(&mut second, &target, *who).await.refused(429, reason);
        }
    }
}

#[tokio::test]
async fn rates_tell_callers_apart_by_their_keys() {
    every_case_holds_for("rate_limit: { per: PER, rate: 1/h }", "RATE_LIMITED").await;
}

#[tokio::test]
async fn quotas_tell_callers_apart_by_the_same_keys() {
    every_case_holds_for("quota: { per: PER, limit: 1/month }", "QUOTA_EXCEEDED").await;
}

#[tokio::test]
async fn strangers_are_limited_by_address_before_credentials_are_looked_at() {
    let acme = Partner::new("acme");
    let auth = "auth: { api_key: {} }, respond: { body: good }";
    let file = File::without_upstream()
        .partner("", &acme)
        .route("orders", &format!("{auth}, rate_limit: {{ per: address, rate: 3/h, name: guesses }}"))
        .route("tenant", &format!("{auth}, rate_limit: {{ per: [route, {{header: X-Tenant}}], rate: 3/h }}"));
    for version in BOTH {
        let gateway = file.start_behind_proxy().await;
        let mut caller = Caller::connect(&gateway, version).await;
        let guess = [("x-forwarded-for", NEAR), ("x-api-key", "guessed")];
        for still in [2, 1] {
            let response = caller.get("/orders/", &guess).await;
            response.refused(401, "API_KEY_UNKNOWN");
            assert_eq!(left(&response, "guesses"), still, "a refused credential counts");
        }
        caller.get("/orders/", &guess[..1]).await.refused(401, "CREDENTIAL_MISSING");
        let refused_before = crate::identity::scene::counted(&gateway, "api_key", "refused").await;
        for fields in [&guess[..], &guess[..1], &[guess[0], acme.field()]] {
            let response = caller.get("/orders/", fields).await;
            refused_by(&response, "RATE_LIMITED", "guesses");
            assert_eq!(response.json().get("partner"), None, "nobody has looked who it is");
        }
        assert_eq!(crate::identity::scene::counted(&gateway, "api_key", "refused").await, refused_before);
        assert_eq!(caller.get("/orders/", &[("x-forwarded-for", FAR), acme.field()]).await.status, 200);
        assert_eq!(refusals(&gateway, "guesses").await, 3.0);
        assert_eq!(statuses(&mut caller, "/tenant/", &[("x-tenant", "a")], 4).await, [401, 401, 401, 429]);
    }
}

#[tokio::test]
async fn strangers_cannot_use_up_what_belongs_to_callers() {
    let acme = Partner::new("acme");
    let auth = "auth: { api_key: {} }, respond: { body: good }";
    let limits = [
        "rate_limit: { per: route, rate: 2/h }",
        "rate_limit: { per: partner, rate: 2/h }",
        "rate_limit: { per: [partner, address], rate: 2/h }",
        "rate_limit: { per: plan, rate: 2/h }",
        "rate_limit: { per: subject, rate: 2/h }",
        "quota: { per: route, limit: 2/month }",
        "quota: { per: [route, plan], limit: 2/month }",
    ];
    let mut file = File::without_upstream().partner("", &acme);
    for (at, limit) in limits.iter().enumerate() {
        file = file.route(&format!("case-{at}"), &format!("{auth}, {limit}"));
    }
    let gateway = file.start().await;
    for (at, limit) in limits.iter().enumerate() {
        let target = format!("/case-{at}/");
        for version in BOTH {
            let mut caller = Caller::connect(&gateway, version).await;
            for fields in [&[][..], &[("x-api-key", "guessed")]] {
                assert_eq!(statuses(&mut caller, &target, fields, 5).await, [401; 5], "{limit}");
            }
        }
        let mut caller = Caller::connect(&gateway, Version::One).await;
        assert_eq!(acme.gets(&mut caller, &target, 3).await, [200, 200, 429], "{limit}");
        // Who is no one is still told that, and not that the route is busy.
        assert_eq!(caller.get(&target, &[]).await.status, 401, "{limit}");
    }
}

#[tokio::test]
async fn without_a_trusted_proxy_nobody_chooses_an_address() {
    let file = File::without_upstream().route("orders", &format!("{OPEN}, rate_limit: {{ per: address, rate: 2/h }}"));
    let gateway = file.start().await;
    let mut passed = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for from in [NEAR, FAR, "2001:db8::1"] {
            let fields = [("x-forwarded-for", from), ("x-real-ip", from), ("forwarded", "for=192.0.2.60")];
            passed += usize::from(caller.get("/orders/", &fields).await.status == 200);
        }
    }
    assert_eq!(passed, 2);
}
