//! Which requests are for one answer: spellings of paths and hosts, queries, chosen fields (RFC 9111 sections 2 and 4).

use super::super::support::{Scene, assert_hit, good, x_cache};
use super::{FRESH, ask, page, store};
use crate::identity::scene::{BOTH, Version, build};
use crate::limits::scene::behind_proxy;
use crate::support::forward_with;

async fn at_host(scene: &Scene, target: &str, host: &str) -> crate::support::client::Response {
    scene.gateway.request(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

#[tokio::test]
async fn section_4_one_path_in_several_spellings_has_one_answer() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a/b~c%20d", good(FRESH)).await;
    for version in BOTH {
        for target in [
            "/a/b~c%20d",
            "/a/b%7Ec%20d",
            "/a/b%7ec%20d",
            "/%61/b~c%20d",
            "//a//b~c%20d",
            "/a/./b~c%20d",
            "/a/x/../b~c%20d",
            "/a/%2e/b~c%20d",
            "/a/x/%2E%2E/b~c%20d",
        ] {
            assert_hit(&ask(&scene, version, "GET", target, "").await, target);
        }
    }
    assert_eq!(scene.origin.count(), 1);
}

#[tokio::test]
async fn section_4_other_paths_have_other_answers() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a/b", good(FRESH)).await;
    for target in ["/a/b/", "/A/b", "/a/b%20", "/a/b;x", "/a%3Fb", "/a/b%3F"] {
        scene.origin.says(page(FRESH, target));
        assert_eq!(scene.get(target, "").await.text(), target);
    }
}

#[tokio::test]
async fn section_4_one_host_has_one_answer_however_it_is_sent() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    assert_hit(&at_host(&scene, "http://api.test/a", "api.test").await, "in absolute form");
    let request = http::Request::get("http://api.test/a").body(()).unwrap();
    assert_eq!(scene.h2().await.send(request, &[]).await.field("x-cache"), Some("HIT"));
    let request = http::Request::get("/a").header("host", "api.test").body(()).unwrap();
    assert_eq!(scene.h2().await.send(request, &[]).await.field("x-cache"), Some("HIT"), "without `:authority`");
    assert_eq!(scene.origin.count(), 1);
}

#[tokio::test]
async fn section_4_one_host_in_several_spellings_has_one_answer() {
    let scene = Scene::start("{}").await;
    let spellings = ["api.test", "API.Test", "api.test:80", "API.TEST:80"];
    for first in spellings {
        let path = scene.path();
        scene.origin.says(good(FRESH));
        assert_eq!(x_cache(&at_host(&scene, &path, first).await), "MISS");
        // Whoever asks first, the upstream cannot answer by the spelling.
        let asked = scene.origin.last().head;
        for name in ["host", "x-forwarded-host"] {
            assert_eq!(asked.field(name), Some("api.test"), "{name} for {first}");
        }
        assert!(!format!("{:?}", asked.fields).contains("API"), "{:?}", asked.fields);
        for host in spellings {
            assert_hit(&at_host(&scene, &path, host).await, host);
            assert_hit(&at_host(&scene, &format!("http://{host}{path}"), host).await, "in absolute form");
            let request = http::Request::get(format!("http://{host}{path}")).body(()).unwrap();
            assert_eq!(scene.h2().await.send(request, &[]).await.field("x-cache"), Some("HIT"), "{host}");
        }
    }
}

#[tokio::test]
async fn section_4_a_client_without_a_host_shares_nothing_with_those_that_have_one() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    scene.origin.says(page(FRESH, "without a host"));
    for kind in ["MISS", "HIT"] {
        let response = scene.gateway.request("GET /a HTTP/1.0\r\n\r\n").await;
        assert_eq!((response.text(), x_cache(&response)), ("without a host", kind));
    }
    assert_eq!(scene.get("/a", "").await.text(), "good");
}

#[tokio::test]
async fn section_4_what_a_stranger_says_of_scheme_and_host_does_not_count() {
    let scene = Scene::start("{}").await;
    let strange = "X-Forwarded-Host: evil.test\nX-Forwarded-Proto: https\nForwarded: host=evil.test;proto=https\nX-Forwarded-For: 192.0.2.1\nX-Real-IP: 192.0.2.1";
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(good(FRESH));
        ask(&scene, version, "GET", &path, strange).await;
        let seen = scene.origin.last().head;
        for name in ["x-forwarded-host", "x-forwarded-proto", "forwarded"] {
            assert!(!seen.field(name).unwrap_or_default().contains("evil"), "{name}: {:?}", seen.fields);
        }
        assert_hit(&ask(&scene, version, "GET", &path, "").await, "it was said to nobody");
        assert_hit(&ask(&scene, version, "GET", &path, strange).await, "nor does it ask for another");
    }
}

#[tokio::test]
async fn section_4_what_a_trusted_proxy_says_of_scheme_and_host_counts() {
    let scene = Scene::build(behind_proxy(build()), |address| forward_with(address, "", "cache: {}")).await;
    for version in BOTH {
        let path = scene.path();
        let cases = [
            "X-Forwarded-Host: one.test",
            "X-Forwarded-Host: two.test",
            "X-Forwarded-Host: one.test\nX-Forwarded-Proto: https",
            "X-Forwarded-Proto: https",
            "",
        ];
        for fields in cases {
            scene.origin.says(page(FRESH, &format!("for {fields}")));
            let response = ask(&scene, version, "GET", &path, fields).await;
            assert_eq!(x_cache(&response), "MISS", "{fields}");
        }
        for fields in cases {
            let response = ask(&scene, version, "GET", &path, fields).await;
            assert_hit(&response, fields);
            assert_eq!(response.text(), format!("for {fields}"));
        }
    }
}

#[tokio::test]
async fn section_4_other_hosts_have_other_answers() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    for host in ["other.test", "api.test:8080", "www.api.test", "api.test:443", "127.0.0.1", "[::1]"] {
        scene.origin.says(page(FRESH, host));
        assert_eq!(at_host(&scene, "/a", host).await.text(), host);
        assert_eq!(at_host(&scene, "/a", host).await.text(), host);
    }
    assert_eq!(at_host(&scene, "/a", "api.test").await.text(), "good");
}

#[tokio::test]
async fn section_4_a_query_counts_byte_for_byte_and_in_its_order() {
    let scene = Scene::start("{}").await;
    let targets = ["/a", "/a?", "/a?x", "/a?x=", "/a?x=1", "/a?x=1&y=2", "/a?y=2&x=1", "/a?x=%31", "/a?x=1&", "/a?X=1"];
    for version in BOTH {
        let prefix = scene.path();
        for target in targets {
            let target = format!("{prefix}{target}");
            scene.origin.says(page(FRESH, &target));
            let response = ask(&scene, version, "GET", &target, "").await;
            assert_eq!((response.text(), x_cache(&response)), (&*target, "MISS"));
        }
        for target in targets {
            let target = format!("{prefix}{target}");
            let response = ask(&scene, version, "GET", &target, "").await;
            assert_hit(&response, &target);
            assert_eq!(response.text(), target);
        }
    }
}

#[tokio::test]
async fn parameters_that_are_ignored_do_not_tell_answers_apart() {
    let scene = Scene::start("{ query: { ignore: [\"utm_*\", gclid] } }").await;
    for version in BOTH {
        let path = scene.path();
        store(&scene, &format!("{path}?id=7&utm_source=mail"), good(FRESH)).await;
        assert_eq!(scene.origin.last().target, format!("{path}?id=7&utm_source=mail"), "the upstream gets all of it");
        for query in [
            "id=7",
            "id=7&utm_source=web",
            "utm_medium=x&id=7&gclid=1",
            "gclid&id=7",
            "%75tm_x=1&id=7",
            "utm_=1&id=7&utm_y",
        ] {
            assert_hit(&ask(&scene, version, "GET", &format!("{path}?{query}"), "").await, query);
        }
        scene.origin.says(page(FRESH, "another"));
        for query in ["id=8", "id=7&utm=1", "id=7&gclids=1", "id=7&id=7", "gclid=1", "UTM_x=1&id=7"] {
            let response = ask(&scene, version, "GET", &format!("{path}?{query}"), "").await;
            assert_eq!(response.text(), "another", "{query}");
        }
    }
}

#[tokio::test]
async fn all_parameters_can_be_ignored() {
    let scene = Scene::start("{ query: { ignore: [\"*\"] } }").await;
    store(&scene, "/a", good(FRESH)).await;
    for target in ["/a?", "/a?x", "/a?x=1&y=2"] {
        assert_hit(&scene.get(target, "").await, target);
    }
}

#[tokio::test]
async fn only_some_parameters_can_tell_answers_apart() {
    let scene = Scene::start("{ query: { only: [page, limit] } }").await;
    for version in BOTH {
        let path = scene.path();
        store(&scene, &format!("{path}?page=1&limit=10&x=1"), good(FRESH)).await;
        for query in ["page=1&limit=10", "a&page=1&b&limit=10&c=d", "pag=1&page=1&limit=10&limits=1"] {
            assert_hit(&ask(&scene, version, "GET", &format!("{path}?{query}"), "").await, query);
        }
        scene.origin.says(page(FRESH, "another"));
        for query in ["page=2&limit=10", "page=1", "limit=10&page=1", "page=1&limit=10&page=2", "x=1"] {
            let response = ask(&scene, version, "GET", &format!("{path}?{query}"), "").await;
            assert_eq!(response.text(), "another", "{query}");
        }
    }
}

#[tokio::test]
async fn sorted_queries_have_no_order_of_names() {
    let scene = Scene::start("{ query: { sort: true } }").await;
    for version in BOTH {
        let path = scene.path();
        store(&scene, &format!("{path}?a=1&b=2&c=3"), good(FRESH)).await;
        assert_eq!(scene.origin.last().target, format!("{path}?a=1&b=2&c=3"));
        for query in ["a=1&b=2&c=3", "c=3&b=2&a=1", "b=2&a=1&c=3"] {
            assert_hit(&ask(&scene, version, "GET", &format!("{path}?{query}"), "").await, query);
        }
        scene.origin.says(page(FRESH, "another"));
        for query in ["a=2&b=1&c=3", "a=1&b=2", "a=1&b=2&c=3&c=3"] {
            let response = ask(&scene, version, "GET", &format!("{path}?{query}"), "").await;
            assert_eq!(response.text(), "another", "{query}");
        }
    }
}

#[tokio::test]
async fn sorted_parameters_of_one_name_keep_their_order() {
    let scene = Scene::start("{ query: { sort: true } }").await;
    store(&scene, "/a?x=2&x=1&y=0", good(FRESH)).await;
    assert_hit(&scene.get("/a?y=0&x=2&x=1", "").await, "the same order of x");
    scene.origin.says(page(FRESH, "another"));
    assert_eq!(scene.get("/a?x=1&x=2&y=0", "").await.text(), "another", "another order of x");
}

#[tokio::test]
async fn chosen_fields_tell_answers_apart() {
    let scene = Scene::start("{ headers: [X-Tenant, X-Plan] }").await;
    for version in BOTH {
        let path = scene.path();
        let cases = ["", "X-Tenant:", "X-Tenant: a", "X-Tenant: b", "X-Tenant: a\nX-Plan: a", "X-Plan: a"];
        for fields in cases {
            scene.origin.says(page(FRESH, &format!("for {fields}")));
            assert_eq!(x_cache(&ask(&scene, version, "GET", &path, fields).await), "MISS", "{fields:?}");
        }
        for fields in cases {
            let response = ask(&scene, version, "GET", &path, &format!("{fields}\nX-Other: 1")).await;
            assert_hit(&response, fields);
            assert_eq!(response.text(), format!("for {fields}"));
        }
    }
}

#[tokio::test]
async fn both_versions_of_http_share_answers() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good(FRESH));
    assert_eq!(x_cache(&ask(&scene, Version::Two, "GET", "/a", "").await), "MISS");
    assert_hit(&ask(&scene, Version::One, "GET", "/a", "").await, "HTTP/1.1");
    assert_hit(&scene.gateway.request("GET /a HTTP/1.0\r\nHost: api.test\r\n\r\n").await, "HTTP/1.0");
}
