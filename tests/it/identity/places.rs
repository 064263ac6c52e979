//! Where a credential may stand, that it stays here, and that everything around it goes on as it was sent.

use super::scene::{BOTH, Caller, File, Version, bearer, claims, get, keys_of, logged, provider, start};
use crate::support::Upstream;
use crate::support::client::Echo;
use crate::support::issuer::{IdentityProvider, SigningKey};

const EVERYWHERE: &str = "issuer: main, token: { query: access_token, cookie: session, websocket_protocol: true }";

/// Whether a token, or a part of one, has gone on.
fn leaks(echo: &Echo, token: &str) -> bool {
    let signature = token.rsplit('.').next().unwrap();
    echo.target.contains(signature) || echo.head.fields.iter().any(|(_, value)| value.contains(signature))
}

#[tokio::test]
async fn a_token_is_taken_off_wherever_it_stood_and_nothing_else_is() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", EVERYWHERE, "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    let spelt = token.replace('.', "%2E");
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        // Odd, and passed on byte by byte.
        for (target, seen) in [
            (format!("/orders?access_token={token}"), "/orders"),
            (format!("/orders?a=1&access_token={token}&b=%20+x&&c"), "/orders?a=1&b=%20+x&&c"),
            (format!("/orders?%61ccess%5Ftoken={spelt}&access_token2=y"), "/orders?access_token2=y"),
            (format!("/orders?&access_token={token}&"), "/orders?&"),
            (format!("/orders?q=a%3Daccess_token%3Db&access_token={token}"), "/orders?q=a%3Daccess_token%3Db"),
        ] {
            let echo = caller.get(&target, &[]).await.echo();
            assert_eq!(echo.target, seen, "{version:?}");
            assert!(!leaks(&echo, &token));
        }
        for (cookie, seen) in [
            (format!("session={token}"), None),
            (format!("a=1; session={token}; b=\"x y\""), Some("a=1; b=\"x y\"")),
            (format!("xsession=2; session=\"{token}\";c=3"), Some("xsession=2; c=3")),
        ] {
            let echo = caller.get("/orders?x=1", &[("cookie", &cookie)]).await.echo();
            assert_eq!((echo.field("cookie"), &*echo.target), (seen, "/orders?x=1"), "{version:?}");
            assert!(!leaks(&echo, &token));
        }
        let echo = caller.get("/orders", &[("authorization", &bearer(&token)), ("cookie", "a=1")]).await.echo();
        assert_eq!((echo.field("authorization"), echo.field("cookie")), (None, Some("a=1")));
        let scheme = caller.get("/orders", &[("authorization", &format!("bEARER  {token}"))]).await;
        assert_eq!(scheme.status, 200);
    }
    // A cookie field for each crumb, as browsers send them in HTTP/2 (RFC 9113 section 8.2.3).
    let session = format!("session={token}");
    let crumbs = [("cookie", "a=1"), ("cookie", session.as_str()), ("cookie", "b=2")];
    for version in BOTH {
        let echo = get(&gateway, version, "/orders", &crumbs).await.echo();
        assert_eq!(echo.head.all("cookie").join("; "), "a=1; b=2", "{version:?}");
    }
}

#[tokio::test]
async fn a_token_elsewhere_is_none() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "").route(
        "page",
        "issuer: main, token: { authorization: false, cookie: session }",
        "",
    );
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    let (cookie, field) = (format!("session={token}"), bearer(&token));
    for version in BOTH {
        let asked = format!("/orders?access_token={token}");
        for (target, name, value) in [
            (asked.as_str(), "x-a", "1"),
            ("/orders", "cookie", cookie.as_str()),
            ("/orders", "x-authorization", &field),
            ("/orders", "proxy-authorization", &field),
            ("/page", "authorization", &field),
        ] {
            let response = get(&gateway, version, target, &[(name, value)]).await;
            response.refused(401, "CREDENTIAL_MISSING");
        }
        assert_eq!(get(&gateway, version, "/page", &[("cookie", &cookie)]).await.status, 200);
    }
    let line = logged(&gateway, 1).await;
    assert!(!line.to_string().contains(&token), "{line}");
}

#[tokio::test]
async fn two_tokens_are_none_to_choose_from() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider)
        .partner("acme", "clients: [acme-app]")
        .route("orders", EVERYWHERE, "")
        .route("keys", "api_key: { header: X-Key, query: key }", "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    let (field, cookie) = (bearer(&token), format!("session={token}"));
    let twice = format!("session={token}; session=x");
    let (one, two) = (format!("/orders?access_token={token}"), format!("/orders?access_token={token}&access_token="));
    let challenge = r#"Bearer realm="sluice", error="invalid_request", error_description="The request has more than one credential of a kind.""#;
    for version in BOTH {
        for (target, fields) in [
            ("/orders", &[("authorization", &*field), ("authorization", &*field)][..]),
            (&one, &[("authorization", &*field)]),
            (&one, &[("authorization", "Bearer bad")]),
            (&one, &[("cookie", &*cookie)]),
            (&two, &[]),
            ("/orders", &[("cookie", &*twice)]),
            ("/orders", &[("cookie", &*cookie), ("cookie", "session=x")]),
            ("/orders", &[("cookie", &*cookie), ("authorization", &*field)]),
        ] {
            let response = get(&gateway, version, target, fields).await;
            response.refused(400, "CREDENTIAL_REPEATED");
            assert_eq!(response.head.all("www-authenticate"), [challenge], "{version:?} {target}");
        }
        for (target, fields) in [
            ("/keys?key=a", &[("x-key", "a")][..]),
            ("/keys", &[("x-key", "a"), ("x-key", "a")]),
            ("/keys?key=a&k%65y=b", &[]),
        ] {
            let response = get(&gateway, version, target, fields).await;
            response.refused(400, "CREDENTIAL_REPEATED");
            assert!(response.field("www-authenticate").unwrap().starts_with("ApiKey realm="), "{version:?}");
        }
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_credential_is_kept_when_the_route_says_so() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let file = File::usual(&upstream, &provider).route("orders", &format!("{EVERYWHERE}, keep_credential: true"), "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    for version in BOTH {
        let mut caller = Caller::connect(&gateway, version).await;
        let echo = caller.with_token("/orders", &token).await.echo();
        assert_eq!(echo.field("authorization"), Some(&*bearer(&token)));
        assert_eq!(echo.field("x-sluice-subject"), Some("ann"));
        let target = format!("/orders?a=1&access_token={token}");
        assert_eq!(caller.get(&target, &[]).await.echo().target, target);
        let cookie = format!("a=1; session={token}");
        assert_eq!(caller.get("/orders", &[("cookie", &cookie)]).await.echo().field("cookie"), Some(&*cookie));
    }
}

/// Where two methods look at different places, neither place's credential goes on.
#[tokio::test]
async fn places_of_several_methods_are_all_cleared() {
    let (key, provider) = provider();
    let other = SigningKey::es256("o1");
    let second = IdentityProvider::start(&[&other]);
    let upstream = Upstream::echo();
    let of_second = keys_of(&second, "").replace("https://id.test/", "https://other.test/");
    let auth = "any_of: [{ issuer: main, token: { authorization: false, cookie: one, query: q1, websocket_protocol: true } }, \
                { issuer: other, token: { cookie: two, query: q2, websocket_protocol: true } }]";
    let file = File::usual(&upstream, &provider).issuer("other", &of_second).route("orders", auth, "");
    let gateway = start(&file).await;
    let token = key.sign(&claims());
    let of_other = other.sign(&super::scene::claims_with(serde_json::json!({ "iss": "https://other.test/" })));
    for version in BOTH {
        for (first, second) in [(&token, "x.y.z"), (&token, &of_other), (&"".to_owned(), &*of_other)] {
            let cookie = if first.is_empty() {
                format!("a=1; two={second}; b=2")
            } else {
                format!("a=1; one={first}; two={second}; b=2")
            };
            let response = get(&gateway, version, "/orders?q=1", &[("cookie", &cookie)]).await;
            let echo = response.echo();
            assert_eq!(echo.head.all("cookie"), ["a=1; b=2"], "{version:?}");
            assert!(!leaks(&echo, &token) && !leaks(&echo, &of_other));
        }
        let target = format!("/orders?q=1&q1={token}&q2=secret");
        assert_eq!(get(&gateway, version, &target, &[]).await.echo().target, "/orders?q=1");
    }
}

#[tokio::test]
async fn a_redirect_does_not_hand_a_token_on() {
    let (key, provider) = provider();
    let upstream = Upstream::echo();
    let route = "  - { name: old, match: { path: /old }, redirect: { status: 307, location: \"/orders{?}\" }, \
                 auth: { issuer: main, token: { query: access_token } } }\n";
    let file = File::usual(&upstream, &provider).route("orders", "issuer: main", "").with(route.trim_end());
    let gateway = start(&file).await;
    let target = format!("/old?a=1&access_token={}", key.sign(&claims()));
    let response = get(&gateway, Version::One, &target, &[]).await;
    assert_eq!((response.status, response.field("location")), (307, Some("/orders?a=1")));
}
