//! The fields that tell callers about their limits: on which answers, in which form, and beside those of others.

use super::scene::{
    BOTH, Caller, File, KEYED, KEYED_HERE, Member, OPEN, Partner, Version, left, member, members, refused_by,
};
use crate::support::client::Response;
use crate::support::upstream::Refusing;
use crate::support::{Upstream, ok};

const OLDER: [&str; 3] = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

/// The older fields, as numbers.
fn older(response: &Response) -> [u64; 3] {
    OLDER.map(|name| {
        response.field(name).unwrap_or_else(|| panic!("{name} in {:?}", response.head.fields)).parse().unwrap()
    })
}

#[track_caller]
fn tells_nothing(response: &Response) {
    for name in ["ratelimit", "ratelimit-policy"].iter().chain(&OLDER) {
        assert_eq!(response.field(name), None);
    }
}

#[tokio::test]
async fn a_route_chooses_which_fields_there_are() {
    let upstream = Upstream::echo();
    let acme = Partner::new("acme");
    let plan = "rate_limit: 9/h, quota: 100/month, concurrency: 7";
    let file = File::new(upstream.address())
        .plan("standard", plan)
        .partner("standard", &acme)
        .route("off", &format!("{KEYED}, rate_limit_fields: off"))
        .route("standard", &format!("{KEYED}, rate_limit_fields: standard"))
        .route("usual", KEYED)
        .route("both", &format!("{KEYED}, rate_limit_fields: both"));
    let gateway = file.start().await;
    let mut seen = 0;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        tells_nothing(&acme.get(&mut caller, "/off/").await);
        seen += 1;
        for target in ["/standard/", "/usual/", "/both/"] {
            let response = acme.get(&mut caller, target).await;
            seen += 1;
            let policy = r#""standard.rate_limit";q=9;w=3600, "standard.quota";q=100;w=2678400, "standard.concurrency";q=7;qu="concurrent-requests""#;
            assert_eq!(response.head.all("ratelimit-policy"), [policy]);
            let names: Vec<_> = members(&response, "ratelimit").into_iter().map(|member| member.name).collect();
            assert_eq!(names, ["standard.rate_limit", "standard.quota", "standard.concurrency"]);
            // The first of a burst may be some microseconds from coming back.
            assert!((9 - seen..=9 - seen + 1).contains(&left(&response, "standard.rate_limit")));
            let quota = member(&response, "ratelimit", "standard.quota");
            assert_eq!(quota.number("r"), 100 - seen);
            assert!((1..=2_678_400).contains(&quota.number("t")));
            assert_eq!(left(&response, "standard.concurrency"), 6);
            assert!(!member(&response, "ratelimit", "standard.concurrency").has("t"), "nobody knows");
            if target == "/both/" {
                let [limit, remaining, reset] = older(&response);
                assert_eq!(
                    (limit, remaining),
                    (9, left(&response, "standard.rate_limit")),
                    "the one with the fewest left"
                );
                assert!((400 * seen - 60..=400 * seen).contains(&reset), "all of it is back: {reset}");
            } else {
                assert!(OLDER.iter().all(|name| response.field(name).is_none()));
            }
        }
    }
    // 429 is an answer as well.
    let mut caller = Caller::connect(&gateway, Version::One).await;
    assert_eq!(acme.gets(&mut caller, "/usual/", 1).await, [200]);
    let response = acme.get(&mut caller, "/off/").await;
    refused_by(&response, "RATE_LIMITED", "standard.rate_limit");
    tells_nothing(&response);
    let response = acme.get(&mut caller, "/both/").await;
    let wait = refused_by(&response, "RATE_LIMITED", "standard.rate_limit");
    let [limit, remaining, reset] = older(&response);
    assert_eq!((limit, remaining), (9, 0));
    assert!(reset >= wait && reset <= 3_600, "{reset}");
}

#[tokio::test]
async fn every_answer_of_a_route_with_limits_tells_of_them() {
    let (upstream, refusing) = (Upstream::echo(), Refusing::new());
    let acme = Partner::new("acme");
    let limit = "rate_limit: { per: partner, rate: 1000/h, name: it }, rate_limit_fields: both";
    let file = File::new(upstream.address())
        .partner("", &acme)
        .route("forwarded", &format!("{KEYED}, {limit}"))
        .route("said", &format!("{KEYED_HERE}, {limit}").replace("name: it", "name: said"));
    let file = file
        .upstream("down", refusing.address())
        .route("down", &format!("auth: {{ api_key: {{}} }}, upstream: down, {limit}").replace("name: it", "name: down"))
        .route(
            "moved",
            &format!(
                "auth: {{ api_key: {{}} }}, redirect: {{ status: 308, location: \"https://new.test/\" }}, {limit}"
            )
            .replace("name: it", "name: moved"),
        )
        .route("small", &format!("{KEYED}, {limit}, max_body: 1B").replace("name: it", "name: small"));
    let gateway = file.start().await;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for (route, name, status) in
            [("forwarded", "it", 200), ("said", "said", 200), ("moved", "moved", 308), ("down", "down", 502)]
        {
            let response = acme.get(&mut caller, &format!("/{route}/")).await;
            assert_eq!(response.status, status, "{}", response.text());
            let told = member(&response, "ratelimit", name);
            assert!((998..=999).contains(&told.number("r")), "{told:?}");
            let policy = member(&response, "ratelimit-policy", name);
            assert_eq!((policy.number("q"), policy.number("w")), (1_000, 3_600));
            assert_eq!(older(&response)[0], 1_000);
        }
        // Who is not known is told nothing of a limit that was not asked.
        let response = caller.get("/said/", &[]).await;
        response.refused(401, "CREDENTIAL_MISSING");
        tells_nothing(&response);
        let response = caller.get("/nowhere", &[]).await;
        response.refused(404, "ROUTE_NOT_FOUND");
        tells_nothing(&response);
    }
    let (name, key) = acme.field();
    let post = format!("POST /small/ HTTP/1.1\r\nHost: api.test\r\n{name}: {key}\r\nContent-Length: 2\r\n\r\nxx");
    let response = gateway.request(post).await;
    response.refused(413, "BODY_TOO_LARGE");
    assert_eq!(left(&response, "small"), 999, "it was asked, and charged");
}

#[tokio::test]
async fn fields_of_the_upstream_stay_beside_ours_where_both_can_be() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nRateLimit-Policy: \"inner\";q=5;w=1\r\nRateLimit: \"inner\";r=4;t=1\r\n\
         X-RateLimit-Limit: 5\r\nX-RateLimit-Remaining: 4\r\nX-RateLimit-Reset: 1\r\nRetry-After: 7\r\n\r\n",
    );
    let limit = "rate_limit: { per: address, rate: 50/h, name: outer }";
    let file = File::new(upstream.address())
        .route("standard", &format!("auth: none, upstream: app, {limit}"))
        .route(
            "both",
            &format!("auth: none, upstream: app, {limit}, rate_limit_fields: both").replace("outer", "outer-2"),
        )
        .route("off", "auth: none, upstream: app");
    let gateway = file.start().await;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        for (target, ours) in [("/standard/", Some("outer")), ("/both/", Some("outer-2")), ("/off/", None)] {
            let response = caller.get(target, &[]).await;
            for field in ["ratelimit", "ratelimit-policy"] {
                let names: Vec<_> = members(&response, field).into_iter().map(|member| member.name).collect();
                let expected: Vec<&str> = [Some("inner"), ours].into_iter().flatten().collect();
                assert_eq!(names, expected, "{field}");
            }
            assert_eq!(response.field("retry-after"), Some("7"));
            let [limit, remaining, _] = older(&response);
            // Of these there can be only one, and the gateway was asked for its own.
            let expected = if target == "/both/" { (50, left(&response, "outer-2")) } else { (5, 4) };
            assert_eq!((limit, remaining), expected, "{target}");
        }
    }
}

#[tokio::test]
async fn a_route_may_take_the_fields_off_or_write_its_own() {
    let upstream = Upstream::answering(ok("good"));
    let rest = "rate_limit: { per: address, rate: 50/h }, rate_limit_fields: both, \
                response_headers: { remove: [RateLimit, X-RateLimit-Reset], set: { X-RateLimit-Limit: many } }";
    let file = File::new(upstream.address())
        .route("forwarded", &format!("auth: none, upstream: app, {rest}"))
        .route("said", &format!("{OPEN}, {rest}"));
    let gateway = file.start().await;
    for version in BOTH {
        for route in ["forwarded", "said"] {
            let response = Caller::connect(&gateway, version).await.get(&format!("/{route}/"), &[]).await;
            assert_eq!(response.status, 200);
            assert_eq!((response.field("ratelimit"), response.field("x-ratelimit-reset")), (None, None), "{route}");
            assert_eq!(response.field("x-ratelimit-limit"), Some("many"), "{route}");
            assert!(response.field("ratelimit-policy").is_some() && response.field("x-ratelimit-remaining").is_some());
        }
    }
}

#[tokio::test]
async fn all_limits_that_were_asked_are_told_of_in_the_order_of_asking() {
    let acme = Partner::new("acme");
    let long = |at: usize| format!("{:a<60}-{at}", "long");
    let many: Vec<String> =
        (0..9).map(|at| format!("{{ per: partner, rate: 100/h, burst: 200, name: {} }}", long(at))).collect();
    let file = File::without_upstream()
        .plan("standard", "rate_limit: 7/1500ms, quota: 100/week")
        .partner("standard", &acme)
        .route(
            "orders",
            &format!(
                "{KEYED_HERE}, rate_limit: [{{ per: partner, rate: 5/h, name: late }}, {{ per: address, rate: 5/h, name: early }}, \
                 {{ per: partner, rate: 1/h, name: watched, mode: observe }}], concurrency: {{ per: route, limit: 9 }}"
            ),
        )
        .route("many", &format!("{KEYED_HERE}, rate_limit: [{}]", many.join(", ")));
    let gateway = file.start().await;
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        let response = acme.get(&mut caller, "/orders/").await;
        let expected = ["early", "late", "orders.concurrency", "standard.rate_limit", "standard.quota"];
        for field in ["ratelimit", "ratelimit-policy"] {
            let names: Vec<_> = members(&response, field).into_iter().map(|member| member.name).collect();
            assert_eq!(names, expected, "in {field}, and none that is only observed");
        }
        let Member { parameters, .. } = member(&response, "ratelimit-policy", "standard.rate_limit");
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(parameters, ["q=9", "w=2", "sluice-burst=7"], "whole seconds: 9.33 in 2");
        assert_eq!(member(&response, "ratelimit-policy", "standard.quota").number("w"), 604_800);

        let response = acme.get(&mut caller, "/many/").await;
        let names: Vec<_> = members(&response, "ratelimit").into_iter().map(|member| member.name).collect();
        let mut expected: Vec<String> = (0..9).map(long).collect();
        expected.extend(["standard.rate_limit", "standard.quota"].map(str::to_owned));
        assert_eq!(names, expected);
        assert!(response.head.all("ratelimit").len() > 1, "lines have an end, lists go on");
    }
}
