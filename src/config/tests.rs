use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderName;
use proptest::prelude::*;

use super::checked::anomaly::{Action, AnomalySettings};
use super::checked::cache::{Bypass, BypassOn, CacheScope, QueryRule, Ttl, TtlMode};
use super::checked::identity::{
    Algorithm, Auth, CertificateName, ClaimCondition, KeySource, Method, TokenPlaces, TokenTypes,
};
use super::checked::limits::{LimitFields, LimitKey};
use super::checked::{AccessLogTarget, Engine, HostRewrite, Rewrite, RouteTarget, TemplatePart, UpstreamProtocol};
use super::report::Code;
use super::*;
use crate::base::reason::Reason;
use crate::route::ValueMatch;

const FULL: &str = include_str!("../../tests/fixtures/valid/routes-full.yaml");
const IDENTITY: &str = include_str!("../../tests/fixtures/valid/routes-identity.yaml");
const CACHE: &str = include_str!("../../tests/fixtures/valid/routes-cache.yaml");
const ANOMALY: &str = include_str!("../../tests/fixtures/valid/routes-anomaly.yaml");
const SECRETS: &str = include_str!("../../tests/fixtures/invalid/secret.yaml");
const GATEWAY: &str = include_str!("../../tests/fixtures/valid/gateway-full.yaml");

fn routes(text: &str) -> Routes {
    let RoutesReading { routes, report } = read_routes(text, "routes.yaml");
    routes.unwrap_or_else(|| panic!("{report}"))
}

#[test]
fn everything_written_arrives() {
    let routes = routes(FULL);
    assert_eq!(routes.version.len(), 12);
    assert_eq!(routes.upstreams["orders"].endpoints[2].host.as_ref(), "fd00::1");
    assert_eq!(routes.upstreams["billing"].protocol, UpstreamProtocol::Auto);
    assert_eq!(routes.upstreams["billing"].tls.as_ref().unwrap().server_name.as_ref(), "billing.internal");
    let [read, billing, _, old, hello, _] = &routes.routes[..] else { panic!("six routes") };
    assert_eq!(read.matches.methods, [http::Method::GET, http::Method::HEAD]);
    assert_eq!(read.matches.headers[0].value, ValueMatch::Exact("2".into()));
    assert_eq!(read.matches.query[1].value, ValueMatch::Present);
    let action = read.action.as_ref().unwrap();
    assert!(matches!(action.auth, Auth::None));
    assert_eq!((action.engine, action.max_body), (Engine::Pingora, Some(1 << 20)));
    assert!(
        matches!(&action.target, RouteTarget::Forward { rewrite: Some(Rewrite::StripPrefix(prefix)), .. } if &**prefix == "/api")
    );
    assert!(
        matches!(&action.target, RouteTarget::Forward { host: HostRewrite::Set(host), .. } if host == "orders.internal:8080")
    );
    assert_eq!(action.places["rewrite"].line, 33);
    let action = billing.action.as_ref().unwrap();
    assert_eq!(action.max_body, None);
    let RouteTarget::Redirect { status, location } = &old.action.as_ref().unwrap().target else { panic!("a redirect") };
    assert_eq!((status.as_u16(), &location.0[2]), (308, &TemplatePart::Query));
    let RouteTarget::Respond { body, .. } = &hello.action.as_ref().unwrap().target else { panic!("an answer") };
    assert_eq!(&**body, b"{\"hello\": true}");
}

#[test]
fn what_is_not_written_comes_from_the_merge_then_the_defaults_then_the_constants() {
    let routes = routes(FULL);
    let timeouts = &routes.routes[0].action.as_ref().unwrap().timeouts;
    assert_eq!(timeouts.connect, Duration::from_secs(2));
    assert_eq!(timeouts.first_byte, Duration::from_secs(120));
    assert_eq!(timeouts.total, Some(Duration::from_secs(300)));
    let timeouts = &routes.routes[1].action.as_ref().unwrap().timeouts;
    assert_eq!((timeouts.connect, timeouts.idle), (Duration::from_millis(500), Duration::from_secs(60)));
    let timeouts = &routes.routes[2].action.as_ref().unwrap().timeouts;
    assert_eq!((timeouts.first_byte, timeouts.total), (Duration::from_secs(15), None));
}

#[test]
fn a_route_without_an_engine_has_that_of_the_defaults() {
    let engines = |defaults: &str| {
        let text = format!(
            "{defaults}{}",
            two_routes("{name: two, match: {path: /two}, auth: none, upstream: a, engine: direct}")
        );
        let routes = routes(&text);
        [0, 1].map(|index| routes.routes[index].action.as_ref().unwrap().engine)
    };
    assert_eq!(engines(""), [Engine::Auto, Engine::Direct]);
    assert_eq!(engines("defaults: {engine: pingora}\n"), [Engine::Pingora, Engine::Direct]);
}

#[test]
fn everything_of_a_bootstrap_arrives() {
    let bootstrap = read_bootstrap(GATEWAY, "/srv/gateway/gateway.yaml").unwrap();
    assert_eq!((bootstrap.threads, bootstrap.admin), (2, None));
    assert_eq!(bootstrap.routes, Path::new("/etc/sluice/routes.yaml"));
    let tls = bootstrap.listeners[0].tls.as_ref().unwrap();
    assert!(tls.tls13_only && !tls.http2);
    assert_eq!(tls.certificates[1].certificate, Path::new("/srv/gateway/certs/b.pem"));
    assert_eq!(bootstrap.listeners[0].proxy_protocol.as_ref().unwrap().len(), 2);
    assert_eq!(bootstrap.access_log.target, AccessLogTarget::File("/srv/gateway/logs/access.log".into()));
    assert_eq!(bootstrap.limits.head, 16 << 10);
    let asked = tls.client_certificates.as_ref().unwrap();
    assert_eq!((asked.required, asked.ca.as_path()), (false, Path::new("/srv/gateway/certs/clients.pem")));
    assert_eq!(bootstrap.store.as_deref(), Some(Path::new("/srv/data/sluice.db")));
    assert_eq!(bootstrap.credentials.token_cache, 1 << 20);
    assert_eq!(bootstrap.cache.memory, 64 << 20);
    assert_eq!(bootstrap.anomaly.folder.as_deref(), Some(Path::new("/srv/data/models")));
    assert_eq!(bootstrap.anomaly.callers, 5_000);
    assert_eq!(bootstrap.credentials.revocations.as_deref(), Some(Path::new("/srv/gateway/revoked.yaml")));
}

#[test]
fn everything_about_callers_arrives() {
    let routes = routes(IDENTITY);
    let main = &routes.issuers["main"];
    assert_eq!(main.issuer.as_deref(), Some("https://id.example.com/"));
    assert_eq!(main.audiences, [Arc::from("sluice"), Arc::from("orders")]);
    assert_eq!(main.algorithms, [Algorithm::Rs256, Algorithm::Es256]);
    assert_eq!(main.types, TokenTypes { named: vec!["at+jwt".into()], untyped: true });
    assert_eq!(*main.claims.scopes.0, ["realm/access".into(), "roles".into()]);
    assert_eq!((main.leeway, main.requires_expiry), (Duration::from_secs(10), true));
    assert_eq!(main.max_lifetime, Some(Duration::from_secs(86_400)));
    let KeySource::Url(jwks) = &main.keys else { panic!("a URL") };
    assert_eq!((jwks.url.host(), jwks.ca.as_deref()), (Some("id.example.com"), Some(Path::new("certs/idp.pem"))));
    assert_eq!((jwks.refresh, jwks.cool_down), (Duration::from_secs(600), Duration::from_secs(30)));
    let files = &routes.issuers["files"];
    let KeySource::Pem(keys) = &files.keys else { panic!("files") };
    assert_eq!((keys[0].id.as_deref(), keys[1].file.as_path()), (Some("k1"), Path::new("/etc/keys/other.pem")));
    assert!(files.audiences.is_empty() && !files.requires_expiry);
    assert_eq!(["acme", "beta", "gamma"].map(|partner| files.speaks_for(partner)), [true, false, true]);
    assert!(main.speaks_for("acme") && main.speaks_for("who is not there"));
    assert_eq!(files.algorithms, [Algorithm::Rs256, Algorithm::EdDsa]);
    let set = &routes.issuers["set"];
    assert_eq!(set.algorithms.len(), Algorithm::ALL.len() - 1);
    assert!(!set.algorithms.contains(&Algorithm::Hs256));
    assert_eq!(set.types, TokenTypes { named: vec!["at+jwt".into(), "jwt".into()], untyped: true });
    let legacy = &routes.issuers["legacy"];
    let KeySource::Secret(secret) = &legacy.keys else { panic!("a secret") };
    assert_eq!(secret.reveal(), b"a secret of a fixture, which has more than thirty-two bytes");
    assert_eq!((&*legacy.algorithms, &legacy.issuer), (&[Algorithm::Hs256][..], &None));
    assert_eq!((&*legacy.claims.partner.0, &*legacy.claims.scopes.0), (&["azp".into()][..], &["scopes".into()][..]));

    let acme = &routes.partners["acme"];
    assert_eq!(acme.clients, [Arc::from("acme-backend"), Arc::from("acme-app")]);
    assert_eq!(acme.api_keys[0].sha256[..3], [0, 0x11, 0x22]);
    assert_eq!(acme.api_keys[0].expires, Some(Duration::from_secs(1_798_761_600)));
    assert_eq!(acme.api_keys[1].expires, Some(Duration::from_secs(1_798_761_600 - 7_200)));
    assert_eq!(acme.api_keys[1].scopes.as_deref(), Some(&[Arc::from("orders:write")][..]));
    assert_eq!(acme.certificates[0], CertificateName::Dns("client.acme.example".into()));
    assert_eq!(acme.certificates[1], CertificateName::Uri("spiffe://acme.example/Client".into()));
    assert_eq!(acme.certificates[3], CertificateName::Fingerprint(acme.api_keys[0].sha256));
    assert!(!routes.partners["beta"].enabled);
    assert_eq!(routes.partners["gamma"].clients, [Arc::from("gamma")]);

    let identity = &routes.identity;
    assert_eq!(identity.partner.as_ref().map(HeaderName::as_str), Some("x-caller"));
    assert_eq!(identity.subject.as_ref().map(HeaderName::as_str), Some("x-sluice-subject"));
    assert_eq!(identity.scopes, None);
    let token = identity.token.as_ref().unwrap();
    assert_eq!((token.header.as_str(), &*token.issuer), ("x-sluice-identity", "sluice"));
    assert_eq!((token.algorithm, token.lifetime), (Algorithm::EdDsa, Duration::from_secs(30)));
}

#[test]
fn what_routes_ask_of_callers_arrives() {
    let routes = routes(IDENTITY);
    let [orders, any, key, open] = &routes.routes[..] else { panic!("four routes") };
    let action = orders.action.as_ref().unwrap();
    let Auth::Required(access) = &action.auth else { panic!("callers are known") };
    let [Method::Token { issuers, from }] = &access.methods[..] else { panic!("a token") };
    assert_eq!(issuers[..], [Arc::from("main"), Arc::from("legacy")]);
    let places = TokenPlaces {
        authorization: true,
        query: Some("access_token".into()),
        cookie: Some("session".into()),
        websocket_protocol: true,
    };
    assert_eq!(*from, places);
    assert_eq!((access.scopes.all_of.len(), access.scopes.any_of.len()), (1, 2));
    let ClaimCondition::Matches(email) = &access.claims[2].condition else { panic!("a pattern") };
    assert!(email.is_match(b"a@acme.example") && !email.is_match(b"a@acme.example.org"));
    assert!(!email.is_match(b"a@acme.example\n"));
    assert!(matches!(&access.claims[3].condition, ClaimCondition::Equals(number) if *number == -3));
    assert_eq!(*access.claims[3].claim.0, ["realm".into(), "level".into()]);
    assert!(!access.requires_partner && access.observe && access.keep_credential);
    assert_eq!((access.partners.allow.len(), access.partners.deny.len()), (2, 1));
    let addresses = action.addresses.as_ref().unwrap();
    assert_eq!(addresses.lists.deny[0].to_string(), "10.0.0.0/16");
    assert!(addresses.observe);

    let Auth::Required(access) = &any.action.as_ref().unwrap().auth else { panic!("callers are known") };
    let [Method::Token { from, .. }, Method::ApiKey(places), Method::Certificate] = &access.methods[..] else {
        panic!("{access:?}")
    };
    assert!(!from.authorization && places.header.is_none());
    assert!(access.requires_partner && !access.observe && !access.keep_credential);
    let Auth::Required(access) = &key.action.as_ref().unwrap().auth else { panic!("callers are known") };
    assert!(matches!(&access.methods[..], [Method::ApiKey(places)] if places.header.as_ref().unwrap() == "x-api-key"));
    let action = open.action.as_ref().unwrap();
    assert_eq!((action.limits.rates[0].burst.get(), action.limit_fields), (1, LimitFields::Both));

    let [refused, passes] = &orders.tests[..] else { panic!("two tests") };
    assert_eq!(
        (&*refused.url, refused.repeat, refused.expected.reason),
        ("/api/orders?x=1", 3, Some(Reason::ScopeMissing))
    );
    let caller = refused.caller.as_ref().unwrap();
    assert_eq!(serde_json::to_string(&caller.claims).unwrap(), r#"{"tenant":"x","level":{"n":[1,null]}}"#);
    assert_eq!((&*passes.name, passes.client), ("POST https://api.example.com/api/orders", None));
}

#[test]
fn limits_arrive_with_names_of_their_own() {
    let routes = routes(IDENTITY);
    let all = |limits: &checked::limits::Limits| {
        let rates =
            limits.rates.iter().map(|rate| format!("{} {} {} {}", rate.name, rate.permits, rate.burst, rate.observe));
        let quotas = limits.quotas.iter().map(|quota| format!("{} {} {:?}", quota.name, quota.limit, quota.period));
        let flights = limits.concurrencies.iter().map(|flight| format!("{} {}", flight.name, flight.limit));
        rates.chain(quotas).chain(flights).collect::<Vec<_>>()
    };
    assert_eq!(
        all(&routes.plans["standard"].limits),
        ["standard.rate_limit 100 200 false", "standard.quota 1000000 Month", "standard.concurrency 50"]
    );
    assert_eq!(
        all(&routes.plans["silver"].limits),
        [
            "silver.rate_limit 10 10 false",
            "silver.rate_limit.2 300 300 true",
            "silver-hour 5000 100 false",
            "silver.quota 1000 Hour",
            "silver-week 10000 Week",
            "silver-flight 5"
        ]
    );
    assert!(routes.plans["silver"].limits.rates.iter().all(|rate| rate.per == [LimitKey::Partner]));
    let action = routes.routes[0].action.as_ref().unwrap();
    assert_eq!(
        all(&action.limits),
        [
            "orders.rate_limit 50 100 false",
            "devices 100 100 true",
            "orders.quota 1000 Day",
            "orders.concurrency 10",
            "orders.concurrency.2 100"
        ]
    );
    let device = LimitKey::Header(HeaderName::from_static("x-device"));
    assert_eq!(action.limits.rates[1].per, [LimitKey::Address, device]);
    assert_eq!((action.cost.get(), action.limit_fields), (5, LimitFields::Off));
}

#[test]
fn everything_about_kept_answers_arrives() {
    let routes = routes(CACHE);
    let action = |name: &str| routes.routes.iter().find(|route| &*route.name == name).unwrap().action.as_ref().unwrap();
    let seconds = Duration::from_secs;
    let status = |code| http::StatusCode::from_u16(code).unwrap();
    let cache = action("everything").cache.as_ref().unwrap();
    let by_status = vec![(status(404), seconds(5)), (status(301), seconds(3_600)), (status(503), seconds(0))];
    assert_eq!(cache.ttl, Ttl { default: Some(seconds(60)), by_status, mode: TtlMode::Override });
    assert_eq!((cache.key.per, cache.head, cache.max_object), (CacheScope::Partner, false, 64 << 10));
    assert_eq!(cache.key.headers, ["accept-language", "x-currency"]);
    assert_eq!(cache.key.query, QueryRule::Ignore(vec!["utm_*".into(), "gclid".into()]));
    assert!(cache.key.sort_query);
    let bypass = [
        Bypass { of: BypassOn::Header(HeaderName::from_static("x-no-cache")), value: None },
        Bypass { of: BypassOn::Cookie("session".into()), value: None },
        Bypass { of: BypassOn::Query("preview".into()), value: Some("1".into()) },
    ];
    assert_eq!(cache.bypass, bypass);
    let id = [TemplatePart::Text("order:".into()), TemplatePart::Param("id".into())];
    assert_eq!((cache.tags.len(), &cache.tags[0].0[..]), (3, &id[..]));
    assert_eq!((cache.stale_while_revalidate, cache.stale_if_error), (seconds(10), seconds(600)));
    assert_eq!(cache.refresh_ahead, 25);

    let cache = action("merged").cache.as_ref().unwrap();
    assert_eq!((cache.key.per, cache.refresh_ahead), (CacheScope::Everyone, 0));
    assert_eq!(cache.key.query, QueryRule::Only(vec!["page".into(), "filter.*".into()]));
    assert_eq!((cache.bypass.len(), cache.tags.len()), (1, 1));
    assert_eq!(action("change").invalidates[0].0[..], id);
    assert_eq!(action("merged").invalidates, cache.tags);
    assert!(action("change").cache.is_none() && action("not-kept").cache.is_none());
}

#[test]
fn a_cache_without_settings_obeys_the_upstream() {
    let routes = routes(CACHE);
    let cache = |name: &str| {
        let route = routes.routes.iter().find(|route| &*route.name == name).unwrap();
        route.action.as_ref().unwrap().cache.as_ref().unwrap()
    };
    let [obey, short] = [cache("obey"), cache("ttl")];
    assert_eq!(obey.ttl, Ttl::default());
    assert_eq!(short.ttl, Ttl { default: Some(Duration::from_secs(60)), ..Ttl::default() });
    for cache in [obey, short] {
        assert_eq!((cache.key.per, cache.head, cache.max_object), (CacheScope::Subject, true, 1 << 20));
        assert_eq!((&cache.key.query, cache.key.sort_query), (&QueryRule::Ignore(Vec::new()), false));
        assert!(cache.key.headers.is_empty() && cache.bypass.is_empty() && cache.tags.is_empty());
        assert_eq!((cache.stale_while_revalidate, cache.stale_if_error), (Duration::ZERO, Duration::ZERO));
        assert_eq!(cache.refresh_ahead, 10);
    }
}

#[test]
fn memory_of_a_cache_is_a_size_or_off() {
    let memory = |cache: &str| {
        let text = format!("version: 1\nlisteners: [{{name: http, address: \"127.0.0.1:80\"}}]\n{cache}");
        read_bootstrap(&text, "gateway.yaml").map(|bootstrap| bootstrap.cache.memory).ok()
    };
    for (written, bytes) in [("", 128 << 20), ("{}", 128 << 20), ("{memory: off}", 0), ("{memory: 0B}", 0)] {
        let cache = if written.is_empty() { String::new() } else { format!("cache: {written}\n") };
        assert_eq!(memory(&cache), Some(bytes), "{written}");
    }
    assert_eq!(memory("cache: {memory: 1MiB}\n"), Some(1 << 20));
    for wrong in ["1", "1023KiB", "65GiB", "on", "-1MiB"] {
        assert_eq!(memory(&format!("cache: {{memory: {wrong}}}\n")), None, "{wrong}");
    }
}

/// The names of the routes that are closed.
fn closed(text: &str) -> Vec<String> {
    let reading = read_routes(text, "routes.yaml");
    let routes = reading.routes.unwrap_or_else(|| panic!("{}", reading.report));
    routes.routes.iter().filter(|route| route.action.is_err()).map(|route| route.name.to_string()).collect()
}

#[test]
fn a_mistake_of_an_issuer_closes_the_routes_that_use_it() {
    assert_eq!(closed(IDENTITY), [""; 0]);
    assert_eq!(closed(&IDENTITY.replace("[RS256, ES256]", "[none]")), ["orders"]);
    assert_eq!(closed(&IDENTITY.replace("{file: keys/jwks.json}", "{}")), ["any"]);
    assert_eq!(closed(&IDENTITY.replace("file:tests/fixtures/valid/secret.txt", "hunter2")), ["orders"]);
    assert_eq!(closed(&IDENTITY.replace("  main:\n", "  \"ma in\":\n")), ["orders"]);
}

#[test]
fn a_mistake_of_a_plan_or_a_partner_closes_every_route_that_knows_callers() {
    for (sound, mistake) in [
        ("plan: standard", "plan: standrad"),
        ("plan: standard", "plan: 7"),
        ("gamma: {}", "gamma:"),
        ("gamma: {}", "gamma: {clients: [acme-app]}"),
        ("enabled: false", "enabled: no"),
        ("enabled: false", "enabeld: false"),
        ("id: 7f3m", "id: 7f3k"),
        ("rate_limit: 100/s", "rate_limit: 100"),
        ("burst: 200", "burst: 0"),
        ("name: silver-hour", "name: silver-week"),
        ("1000000/month", "1000000/year"),
        ("  standard: {rate_limit: 100/s, burst: 200, quota: 1000000/month, concurrency: 50}", "  standard:"),
    ] {
        assert!(IDENTITY.contains(sound), "{sound}");
        let text = IDENTITY.replacen(sound, mistake, 1);
        assert_eq!(closed(&text), ["orders", "any", "key"], "{mistake}");
        let routes = routes(&text);
        let on_no_plan = |partner: &checked::identity::Partner| {
            partner.plan.as_ref().is_some_and(|plan| !routes.plans.contains_key(plan))
        };
        assert!(!routes.partners.values().any(on_no_plan), "{mistake}");
    }
}

#[test]
fn a_mistake_about_all_callers_refuses_the_file() {
    for (sound, mistake) in [
        ("X-Caller", "Cookie"),
        ("key: keys/gateway.pem, ", ""),
        ("plans:", "plns:"),
        ("rate_limit_fields: both", "rate_limit_fields: all"),
        ("  gamma: {}", "  beta: {}"),
    ] {
        let reading = read_routes(&IDENTITY.replacen(sound, mistake, 1), "routes.yaml");
        assert!(reading.routes.is_none() && !reading.report.is_ok(), "{mistake}");
    }
}

#[test]
fn a_mistake_of_a_test_is_told_and_closes_nothing() {
    for (sound, mistake) in [
        ("SCOPE_MISSING", "SCOPE_MISING"),
        ("repeat: 3", "repaet: 3"),
        ("expect: {upstream: orders, ", "expect: {upstream: ordres, "),
    ] {
        assert!(IDENTITY.contains(sound), "{sound}");
        let text = IDENTITY.replacen(sound, mistake, 1);
        let reading = read_routes(&text, "routes.yaml");
        assert!(!reading.report.is_ok(), "{mistake}");
        assert_eq!(closed(&text), [""; 0], "{mistake}");
    }
}

/// Everything that is said about a file.
fn said(text: &str) -> String {
    let RoutesReading { routes, report } = read_routes(text, "routes.yaml");
    format!("{}{}{:?}{routes:?}", report.render_text(true), report.to_json(), report)
}

#[test]
fn secrets_in_a_file_are_never_shown() {
    let said = said(SECRETS);
    assert!(SECRETS.contains("hunter2") && !said.contains("hunter2") && !said.contains("1234567890"), "{said}");
    assert!(said.contains("E0711"));
}

/// Not a measurement: it ends in seconds where a quadratic step would take minutes.
#[test]
fn ten_thousand_partners() {
    let mut text = String::from(
        "version: 1\nissuers: {main: {issuer: i, audiences: [x], jwks: {file: k}}}\nplans: {p: {rate_limit: 1/s}}\npartners:\n",
    );
    for index in 0..10_000 {
        writeln!(text, "  partner-{index}:\n    plan: p\n    clients: [c{index}, d{index}]").unwrap();
        writeln!(text, "    api_keys: [{{id: k{index}, sha256: \"{index:064x}\"}}]").unwrap();
        writeln!(text, "    certificates: [{{dns: h{index}.example.com}}]").unwrap();
    }
    text.push_str("upstreams: {a: {endpoints: [\"a:1\"]}}\nroutes:\n");
    text.push_str("  - {name: one, match: {path: /1}, auth: {issuer: main}, upstream: a}\n");
    assert_eq!(closed(&text), [""; 0]);
    assert_eq!(routes(&text).partners.len(), 10_000);
    let reading = read_routes(&text.replace("plan: p", "plan: q"), "routes.yaml");
    assert_eq!(reading.report.errors().count(), 10_000);
    assert_eq!(reading.routes.unwrap().routes[0].action.as_ref().unwrap_err().len(), 3);
}

#[test]
fn the_shipped_bootstrap_writes_the_defaults() {
    let shipped = read_bootstrap(DEFAULT_BOOTSTRAP, DEFAULT_BOOTSTRAP_FILE).unwrap();
    let least = "version: 1\nlisteners: [{name: http, address: \"127.0.0.1:8080\"}]\n";
    let least = read_bootstrap(least, DEFAULT_BOOTSTRAP_FILE).unwrap();
    let without_listeners = |mut bootstrap: Bootstrap| {
        bootstrap.listeners.clear();
        bootstrap.sandbox = None;
        // Only what is built in falls back to built-in routes.
        bootstrap.built_in_routes = false;
        format!("{bootstrap:?}")
    };
    assert_eq!(without_listeners(shipped), without_listeners(least));
}

fn two_routes(second: &str) -> String {
    format!(
        "version: 1\nupstreams: {{a: {{endpoints: [\"a:1\"]}}}}\nroutes:\n  \
         - {{name: one, match: {{path: /one}}, auth: none, upstream: a}}\n  - {second}\n"
    )
}

#[test]
fn a_mistake_closes_its_route_and_no_other() {
    for second in [
        "{name: two, match: {path: /two}, upstream: a}",
        "{match: {path: /two}, auth: none, upstream: a}",
        "{name: two, match: {path: /two}, auth: none, upstream: b}",
        "{name: two, match: {path: /two}, auth: none, upstream: a, max_bodi: 1B}",
        "{name: two, match: {path: /two}, auth: none, upstream: a, timeouts: {idle: 1}}",
    ] {
        let text = two_routes(second);
        let reading = read_routes(&text, "routes.yaml");
        let routes = reading.routes.unwrap_or_else(|| panic!("{second}"));
        assert!(!reading.report.is_ok());
        assert!(routes.routes[0].action.is_ok(), "{second}");
        let faults = routes.routes[1].action.as_ref().unwrap_err();
        assert!(faults.iter().all(|fault| fault.starts_with("routes.yaml:5:")), "{faults:?}");
        assert_eq!(routes.routes[1].matches.path.to_string(), "/two");
    }
}

#[test]
fn requests_of_an_unreadable_match_do_not_fall_through() {
    for second in [
        "{name: two, auth: none, upstream: a}",
        "{name: two, match: {path: two}, auth: none, upstream: a}",
        "{name: two, match: {path: /two, hosst: [x]}, auth: none, upstream: a}",
        "{name: two, match: {path: /two, methods: [get]}, auth: none, upstream: a}",
        "{name: two, match: {path: /two, headers: {x-a: {present: false}}}, auth: none, upstream: a}",
        "two",
    ] {
        let reading = read_routes(&two_routes(second), "routes.yaml");
        assert!(reading.routes.is_none() && !reading.report.is_ok(), "{second}");
    }
}

#[test]
fn a_mistake_of_an_upstream_closes_every_route_that_uses_it() {
    let text = "version: 1\nupstreams: {a: {endpoints: [\"a\"]}, b: {endpoints: [\"b:1\"]}}\nroutes:\n  \
                - {name: one, match: {path: /1}, auth: none, upstream: a}\n  \
                - {name: two, match: {path: /2}, auth: none, upstream: b}\n  \
                - {name: three, match: {path: /3}, auth: none, upstream: a}\n";
    let routes = routes(text);
    let closed: Vec<_> = routes.routes.iter().filter(|route| route.action.is_err()).map(|route| &*route.name).collect();
    assert_eq!(closed, ["one", "three"]);
    assert!(!routes.upstreams.contains_key("a"));
}

#[test]
fn a_tie_and_a_repeated_name_close_both_routes() {
    let tie = routes(&two_routes("{name: two, match: {path: /one}, auth: none, upstream: a}"));
    assert!(tie.routes.iter().all(|route| route.action.is_err()));
    let name = routes(&two_routes("{name: one, match: {path: /two}, auth: none, upstream: a}"));
    assert!(name.routes.iter().all(|route| route.action.is_err()));
}

#[test]
fn a_mistake_in_an_anchor_is_told_once_and_closes_every_route_that_has_it() {
    let text = include_str!("../../tests/fixtures/invalid/anchor-mistake-once.yaml");
    let reading = read_routes(text, "routes.yaml");
    assert_eq!(reading.report.errors().count(), 1);
    assert!(reading.routes.unwrap().routes.iter().all(|route| route.action.is_err()));
}

#[test]
fn aliases_cannot_make_a_small_file_large() {
    let endpoints: Vec<String> = (0..1500).map(|index| format!("\"h{index}:1\"")).collect();
    let mut text = format!("version: 1\nx-all: &all [{}]\nupstreams:\n", endpoints.join(", "));
    for index in 0..1500 {
        writeln!(text, "  u{index}: {{endpoints: *all}}").unwrap();
    }
    text.push_str("routes: [{name: last, match: {path: /}, auth: none, upstream: u1499}]\n");
    let reading = read_routes(&text, "routes.yaml");
    assert_eq!(reading.report.errors().map(|error| error.code).collect::<Vec<_>>(), [Code::YamlLimit]);
    assert!(reading.routes.unwrap().routes[0].action.is_err(), "what could not be read must not count as sound");
}

#[test]
fn merges_that_go_in_circles_end() {
    for text in ["&a {<<: *a}", "&a [*a]", "{x-a: &a {<<: *a}, routes: *a}", "{routes: &a [*a, {<<: *a}]}"] {
        assert!(read_routes(text, "routes.yaml").routes.is_none());
    }
}

/// Not a measurement: it ends in a second where a quadratic step would take minutes.
#[test]
fn five_thousand_routes_and_upstreams() {
    let mut text = String::from("version: 1\nupstreams:\n");
    for index in 0..5_000 {
        writeln!(text, "  up-{index}: {{endpoints: [\"h{index}:80\"]}}").unwrap();
    }
    text.push_str("routes:\n");
    for index in 0..5_000 {
        writeln!(text, "  - name: route-{index}\n    match: {{hosts: [h{index}.example.com], path: \"/api/{{id}}\"}}")
            .unwrap();
        writeln!(text, "    auth: none\n    upstream: up-{index}\n    request_headers: {{set: {{x-a: \"1\"}}}}")
            .unwrap();
    }
    let sound = routes(&text);
    assert!(sound.routes.len() == 5_000 && sound.routes.iter().all(|route| route.action.is_ok()));
    let reading = read_routes(&text.replace("auth: none", "auth: nobody"), "routes.yaml");
    assert_eq!(reading.report.errors().count(), 5_000);
    assert!(reading.report.render_text(false).contains("… and 4900 more"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_mistakes() {
    let text = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(routes(&text).routes.len(), 6);
}

#[test]
fn everything_about_anomaly_checks_arrives() {
    let routes = routes(ANOMALY);
    let settings = AnomalySettings {
        warm_up: 5_000,
        retrain: Duration::from_secs(1_800),
        half_life: Duration::from_secs(43_200),
        caller_share: 0.05,
        max_blocked: 0.005,
        keep: 3,
    };
    assert_eq!(routes.anomaly, settings);
    let policies: Vec<_> = routes.routes.iter().map(|route| route.action.as_ref().unwrap().anomaly.clone()).collect();
    let everything = policies[0].as_deref().unwrap();
    assert_eq!(
        everything.ladder.rungs,
        [(Action::Tag, 0.02), (Action::Throttle, 0.005), (Action::Challenge, 0.002), (Action::Block, 0.0005)]
    );
    assert_eq!(everything.ladder.cool_down, Duration::from_secs(600));
    assert_eq!(everything.ladder.throttle, Duration::from_nanos(3_333_333_334), "never faster than the rate says");
    assert_eq!((everything.header.as_str(), everything.explain), ("x-rarity", true));
    assert_eq!(everything.model.as_deref(), Some("20261123T140000Z-1a2b3c4d"));
    assert_eq!(everything.shadow.as_deref(), Some("20261124T140000Z-5e6f7a8b"));
    let rungs = |at: usize| policies[at].as_ref().map(|policy| policy.ladder.rungs.clone());
    assert_eq!(rungs(1), Some(vec![(Action::Observe, 0.001)]));
    assert_eq!(rungs(2), None);
    assert_eq!(rungs(3), Some(vec![(Action::Block, 0.0005)]));
    let throttled = policies[4].as_ref().unwrap();
    assert_eq!(throttled.ladder.rungs, [(Action::Throttle, 0.001)]);
    assert_eq!(throttled.ladder.throttle, Duration::from_secs(1));
    assert_eq!((throttled.header.as_str(), throttled.ladder.cool_down), ("x-anomaly-score", Duration::from_secs(300)));
}

#[test]
fn without_a_word_nothing_is_scored_and_what_the_schema_shows_holds() {
    let routes = routes(FULL);
    assert_eq!(routes.anomaly, AnomalySettings::default());
    assert!(routes.routes.iter().all(|route| route.action.as_ref().is_ok_and(|action| action.anomaly.is_none())));
    assert_eq!(defaults::share(defaults::CONTAMINATION), "0.1%");
    assert_eq!(defaults::share(defaults::CALLER_SHARE), "10%");
    let rate = model::limits::parse_rate(defaults::THROTTLE_WRITTEN).unwrap();
    assert_eq!(rate.period / rate.permits.get(), defaults::THROTTLE);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let fixtures = prop::sample::select(vec![
        FULL.as_bytes(),
        IDENTITY.as_bytes(),
        SECRETS.as_bytes(),
        GATEWAY.as_bytes(),
        ANOMALY.as_bytes(),
        DEFAULT_BOOTSTRAP.as_bytes(),
    ]);
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        "\n",
        "  ",
        "- ",
        "*a",
        "&a ",
        "<<: *slow",
        "!!str ",
        "\"",
        "é",
        "\u{1f600}",
        "#",
        "|",
        "\t",
        "~",
        "${",
        "?",
        "---",
        "\u{85}",
        "\0",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..12_usize, pieces);
    (fixtures, prop::collection::vec(edit, 1..8)).prop_map(|(fixture, edits)| {
        let mut bytes = fixture.to_vec();
        for (at, cut, piece) in edits {
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_routes(&bytes);
    }

    #[test]
    fn any_yaml_like_text_is_read_without_panic(text in "[a-z:\\[\\]{}&*!|>'\"#%@` \n\t,?<-]{0,200}") {
        fuzz_routes(text.as_bytes());
    }

    #[test]
    fn damaged_files_are_read_without_panic(bytes in mutated()) {
        fuzz_routes(&bytes);
        if let Err(report) = read_bootstrap(&String::from_utf8_lossy(&bytes), "gateway.yaml") {
            prop_assert!(!report.is_ok());
            let _ = report.render_text(false);
        }
    }

    /// Whatever else is wrong, also with the YAML itself: what stands as the value of `secret` in one line is not shown.
    #[test]
    fn a_secret_beside_other_mistakes_is_not_shown(
        before in "[a-z:\\[\\]{}&*!|>'\"#%@` ,?<-]{0,12}",
        after in "[a-z:\\[\\]{}&*!|>'\"#%@` ,?<-]{0,12}",
        key in prop::sample::select(vec!["secret", "\"secret\"", "secert", "Secret", "client_secret", "sha256", "'secret' "]),
        broken: bool,
    ) {
        let end = if broken { "\n  - [\n" } else { "\n" };
        let text = format!("version: 1\nissuers:\n  a:\n    leewai: 1s\n    {key}: hunter2{after}\n    x: {before}{end}");
        let said = said(&text);
        prop_assert!(!said.contains("hunter2"), "{text}{said}");
    }
}
