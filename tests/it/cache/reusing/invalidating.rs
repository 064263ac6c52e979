//! What changes take out (RFC 9111 section 4.4).

use super::super::support::{Says, Scene, answer, assert_hit, good, x_cache};
use super::{FRESH, ask, page, store};
use crate::identity::scene::{BOTH, build};
use crate::support::Gate;
use crate::support::gateway::{endpoint, routes};

const UNSAFE: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "PURGE", "FROBNICATE"];

/// Fails unless the upstream is asked for this.
async fn is_gone(scene: &Scene, target: &str, case: &str) {
    scene.origin.says(page(FRESH, "anew"));
    let response = scene.get(target, "").await;
    assert_eq!((response.text(), x_cache(&response)), ("anew", "MISS"), "{target}: {case}");
}

#[tokio::test]
async fn section_4_4_a_change_that_succeeds_invalidates_its_uri() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for method in UNSAFE {
            for status in ["200 OK", "201 Created", "202 Accepted", "204 No Content", "302 Found", "303 See Other"] {
                let path = scene.path();
                store(&scene, &path, good(FRESH)).await;
                scene.origin.says(answer(status, "", ""));
                let response = ask(&scene, version, method, &path, "").await;
                assert_eq!(response.status.to_string(), status[..3]);
                is_gone(&scene, &path, &format!("{version:?} {method} {status}")).await;
            }
        }
    }
}

#[tokio::test]
async fn section_4_4_a_change_that_fails_invalidates_nothing() {
    let scene = Scene::start("{}").await;
    let fields = "Location: /other\nContent-Location: /other";
    store(&scene, "/other", good(FRESH)).await;
    for version in BOTH {
        for method in UNSAFE {
            let path = scene.path();
            store(&scene, &path, good(FRESH)).await;
            for status in ["400 Bad Request", "404 Not Found", "409 Conflict", "500 Internal Server Error"] {
                scene.origin.says(answer(status, fields, ""));
                ask(&scene, version, method, &path, "").await;
                assert_hit(&scene.get(&path, "").await, status);
            }
        }
    }
    assert_hit(&scene.get("/other", "").await, "nor does it say that others changed");
}

#[tokio::test]
async fn section_4_4_a_safe_request_invalidates_nothing() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    for version in BOTH {
        scene.origin.says(answer("200 OK", "", ""));
        ask(&scene, version, "OPTIONS", "/a", "").await;
        assert_hit(&scene.get("/a", "").await, "after OPTIONS");
    }
}

#[tokio::test]
async fn section_4_4_location_and_content_location_of_the_same_origin_are_invalidated() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for name in ["Location", "Content-Location"] {
            for reference in [
                "/items/7",
                "7",
                "./7",
                "../items/7",
                "/items/%37",
                "/items//7",
                "/items/7#part",
                "//api.test/items/7",
                "http://api.test/items/7",
                "HTTP://API.TEST/items/7",
                "http://api.test:80/items/7",
                "http://api.test/x/../items/7",
            ] {
                store(&scene, "/items/7", good(FRESH)).await;
                scene.origin.says(answer("201 Created", &format!("{name}: {reference}"), ""));
                ask(&scene, version, "POST", "/items/", "").await;
                is_gone(&scene, "/items/7", &format!("{name}: {reference}")).await;
                // As it was, for the next.
                scene.origin.says(answer("204 No Content", "", ""));
                scene.send("DELETE", "/items/7", "").await;
            }
        }
    }
}

#[tokio::test]
async fn section_4_4_what_is_of_another_origin_is_not_invalidated() {
    let scene = Scene::start("{}").await;
    store(&scene, "/items/7", good(FRESH)).await;
    for version in BOTH {
        for name in ["Location", "Content-Location"] {
            for reference in [
                "http://other.test/items/7",
                "//other.test/items/7",
                "https://api.test/items/7",
                "http://api.test:8080/items/7",
                "http://api.test.other.test/items/7",
                "http://api.test@other.test/items/7",
                "http://x@api.test/items/7",
                "ftp://api.test/items/7",
                "http:/items/7",
                "items/7",
                "/items/7/",
            ] {
                scene.origin.says(answer("201 Created", &format!("{name}: {reference}"), ""));
                ask(&scene, version, "POST", "/items/", "").await;
                assert_hit(&scene.get("/items/7", "").await, reference);
            }
        }
    }
}

#[tokio::test]
async fn section_4_4_both_fields_and_the_uri_itself_count_together() {
    let scene = Scene::start("{}").await;
    for path in ["/a", "/b", "/c", "/d"] {
        store(&scene, path, good(FRESH)).await;
    }
    scene.origin.says(answer("201 Created", "Location: /b\nContent-Location: /c", ""));
    scene.send("POST", "/a", "").await;
    for path in ["/a", "/b", "/c"] {
        is_gone(&scene, path, "it was named").await;
    }
    assert_hit(&scene.get("/d", "").await, "nobody spoke of it");
}

#[tokio::test]
async fn section_4_4_all_variants_and_all_queries_are_invalidated() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        let targets = [path.clone(), format!("{path}?page=1"), format!("{path}?")];
        for kind in ["one", "two"] {
            scene.origin.says(page(&format!("{FRESH}\nVary: X-Kind"), kind));
            for target in &targets {
                scene.get(target, &format!("X-Kind: {kind}")).await;
                assert_hit(&scene.get(target, &format!("X-Kind: {kind}")).await, kind);
            }
        }
        scene.origin.says(answer("204 No Content", "", ""));
        ask(&scene, version, "PUT", &format!("{path}?page=2"), "X-Kind: three").await;
        scene.origin.says(page("Cache-Control: no-store", "anew"));
        for kind in ["one", "two"] {
            for target in &targets {
                assert_eq!(scene.get(target, &format!("X-Kind: {kind}")).await.text(), "anew", "{target} {kind}");
            }
        }
    }
}

#[tokio::test]
async fn section_4_4_other_spellings_of_the_uri_are_the_same_uri() {
    let scene = Scene::start("{}").await;
    for (target, host) in [
        ("/a/b", "api.test"),
        ("/a//b", "api.test"),
        ("/a/./b", "api.test"),
        ("/a/x/../b", "api.test"),
        ("/%61/b", "api.test"),
        ("/a/b", "API.test:80"),
        ("http://API.test:80/a/b", "API.test:80"),
    ] {
        store(&scene, "/a/b", good(FRESH)).await;
        scene.origin.says(answer("204 No Content", "", ""));
        let response = scene.gateway.request(format!("DELETE {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(response.status, 204, "{target} at {host}");
        is_gone(&scene, "/a/b", target).await;
        scene.origin.says(answer("204 No Content", "", ""));
        scene.send("DELETE", "/a/b", "").await;
    }
}

#[tokio::test]
async fn section_4_4_another_host_is_another_uri() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    scene.origin.says(answer("204 No Content", "", ""));
    scene.gateway.request("DELETE /a HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
    assert_hit(&scene.get("/a", "").await, "of this host");
}

#[tokio::test]
async fn section_4_4_a_change_through_a_route_without_cache_counts() {
    let scene = Scene::build(build(), |address| {
        let route = |name: &str, methods: &str, keys: &str| {
            format!(
                r#"{{ name: {name}, match: {{ path: "/{{rest...}}", methods: [{methods}] }}, auth: none, upstream: app, {keys} }}"#
            )
        };
        routes(&[("app", endpoint(address))], &[route("read", "GET", "cache: {}"), route("write", "PUT, DELETE", "")])
    })
    .await;
    for version in BOTH {
        for method in ["PUT", "DELETE"] {
            let path = scene.path();
            store(&scene, &path, good(FRESH)).await;
            scene.origin.says(answer("204 No Content", "", ""));
            let response = ask(&scene, version, method, &path, "").await;
            assert_eq!(
                (response.status, response.field("x-cache")),
                (204, None),
                "a route without a cache tells of none"
            );
            is_gone(&scene, &path, method).await;
        }
    }
}

#[tokio::test]
async fn section_4_4_what_was_on_its_way_is_not_given_after_the_change() {
    let scene = Scene::start("{}").await;
    let gate = Gate::closed();
    let whole = page(FRESH, "before");
    let (begin, rest) = whole.split_at(whole.len() - 3);
    scene.origin.says_next(Says::Halves(begin.into(), gate.clone(), rest.into()));
    let mut client = scene.gateway.client().await;
    client.send("GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!(client.response_head().await.0, 200);
    scene.origin.says(answer("204 No Content", "", ""));
    scene.send("PUT", "/a", "").await;
    scene.origin.says(page(FRESH, "after"));
    gate.open();
    assert_eq!(client.exactly(6).await, b"before", "who asked before has its answer whole");
    assert_eq!(scene.get("/a", "").await.text(), "after");
}

#[tokio::test]
async fn section_4_4_a_location_that_is_nonsense_does_no_harm() {
    let scene = Scene::start("{}").await;
    let long = format!("/{}", "x".repeat(9 * 1024));
    for reference in ["", ":", "//", "http://", "http://[", "/../../../a", "/%zz", "?", "#", "\"/b\"", &long] {
        store(&scene, "/a", good(FRESH)).await;
        scene.origin.says(answer("201 Created", &format!("Location: {reference}"), ""));
        let response = scene.send("POST", "/a", "").await;
        assert_eq!(response.status, 201);
        is_gone(&scene, "/a", reference).await;
        scene.origin.says(answer("204 No Content", "", ""));
        scene.send("DELETE", "/a", "").await;
    }
}
