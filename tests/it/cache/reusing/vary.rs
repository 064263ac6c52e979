//! Answers that depend on fields of the request (RFC 9111 section 4.1).

use super::super::support::{Scene, assert_hit, good, status_of, x_cache};
use super::{FRESH, ask, not_modified, page, store};
use crate::identity::scene::{BOTH, Version};
use crate::support::h2_client::H2Response;

fn varies(by: &str) -> String {
    format!("{FRESH}\nVary: {by}")
}

#[tokio::test]
async fn section_4_1_variants_are_stored_beside_each_other() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        let variants = [("en", "hello"), ("de", "hallo"), ("fr", "salut")];
        for (at, (language, body)) in variants.into_iter().enumerate() {
            scene.origin.says(page(&varies("Accept-Language"), body));
            let response = ask(&scene, version, "GET", &path, &format!("Accept-Language: {language}")).await;
            assert_eq!((response.text(), x_cache(&response)), (body, "MISS"));
            assert_eq!(status_of(&response).get("fwd"), Some(if at == 0 { "uri-miss" } else { "vary-miss" }));
        }
        let asked = scene.origin.count();
        for (language, body) in variants {
            let response = ask(&scene, version, "GET", &path, &format!("Accept-Language: {language}")).await;
            assert_hit(&response, language);
            assert_eq!(response.text(), body);
        }
        assert_eq!(scene.origin.count(), asked);
    }
}

#[tokio::test]
async fn section_4_1_all_fields_have_to_match() {
    let scene = Scene::start("{}").await;
    scene.origin.says(page(&varies("X-One, X-Two"), "both"));
    scene.get("/a", "X-One: 1\nX-Two: 2").await;
    scene.origin.says(page(&varies("X-One, X-Two"), "others"));
    assert_eq!(scene.get("/a", "X-One: 1\nX-Two: 2").await.text(), "both");
    for fields in ["X-One: 1", "X-Two: 2", "X-One: 2\nX-Two: 1", "X-One: 1\nX-Two: 22", "X-One: 12\nX-Two:"] {
        assert_eq!(x_cache(&scene.get("/a", fields).await), "MISS", "{fields}");
    }
    assert_eq!(scene.get("/a", "X-Two: 2\nX-One: 1").await.text(), "both");
}

#[tokio::test]
async fn section_4_1_vary_on_several_lines_and_in_any_case_is_one() {
    let scene = Scene::start("{}").await;
    scene.origin.says(page(&format!("{FRESH}\nvary: x-one\nVARY: X-TWO"), "both"));
    scene.get("/a", "X-One: 1\nX-Two: 2").await;
    scene.origin.says(page(&varies("X-One, X-Two"), "others"));
    assert_hit(&scene.get("/a", "x-one: 1\nx-two: 2").await, "the same");
    assert_eq!(scene.get("/a", "X-One: 1\nX-Two: 3").await.text(), "others");
    assert_eq!(scene.get("/a", "X-One: 2\nX-Two: 2").await.text(), "others");
}

#[tokio::test]
async fn section_4_1_values_that_mean_the_same_match() {
    let scene = Scene::start("{}").await;
    for (by, first, same) in [
        ("X-List", "X-List: a, b", &["X-List: a,b", "X-List: a ,\tb", "X-List: a\nX-List: b"][..]),
        ("Accept-Language", "Accept-Language: de, EN;q=0.5", &["Accept-Language: DE,en;q=0.5"]),
        ("Accept-Encoding", "Accept-Encoding: gzip, br", &["Accept-Encoding: br, gzip", "Accept-Encoding: GZIP,br"]),
        ("Accept", "Accept: text/html, */*;q=0.1", &["Accept: TEXT/HTML,*/* ; q=0.1"]),
    ] {
        let path = scene.path();
        scene.origin.says(page(&varies(by), "same"));
        scene.get(&path, first).await;
        scene.origin.says(page(&varies(by), "another"));
        for fields in same {
            for version in BOTH {
                assert_hit(&ask(&scene, version, "GET", &path, fields).await, fields);
            }
        }
    }
}

#[tokio::test]
async fn section_4_1_values_that_mean_something_else_do_not_match() {
    let scene = Scene::start("{}").await;
    for (by, first, other) in [
        ("X-List", "X-List: a, b", "X-List: b, a"),
        ("X-List", "X-List: a", "X-List: A"),
        ("X-List", "X-List: \"a, b\"", "X-List: \"a,b\""),
        ("Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0"),
        ("Accept-Encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: gzip"),
        ("User-Agent", "User-Agent: a/1 b", "User-Agent: a/1  b"),
        ("Cookie", "Cookie: a=1; b=2", "Cookie: a=1"),
        ("Origin", "Origin: https://a.test", "Origin: https://b.test"),
    ] {
        let path = scene.path();
        scene.origin.says(page(&varies(by), "first"));
        scene.get(&path, first).await;
        scene.origin.says(page(&varies(by), "other"));
        assert_eq!(scene.get(&path, other).await.text(), "other", "{other}");
        assert_eq!(scene.get(&path, first).await.text(), "first", "{first}");
    }
}

#[tokio::test]
async fn section_4_1_a_field_that_is_absent_matches_only_its_absence() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        for (fields, body) in [("", "absent"), ("X-Kind:", "empty"), ("X-Kind: a", "a")] {
            scene.origin.says(page(&varies("X-Kind"), body));
            let response = ask(&scene, version, "GET", &path, fields).await;
            assert_eq!((response.text(), x_cache(&response)), (body, "MISS"), "{fields:?}");
        }
        for (fields, body) in [("X-Kind: a", "a"), ("", "absent"), ("X-Kind:", "empty")] {
            let response = ask(&scene, version, "GET", &path, fields).await;
            assert_hit(&response, body);
            assert_eq!(response.text(), body);
        }
    }
}

#[tokio::test]
async fn section_4_1_an_asterisk_never_matches() {
    let scene = Scene::start("{ ttl: 60s }").await;
    for by in ["*", "Accept, *", "*, Accept", "Accept\nVary: *"] {
        let twice = scene.twice(good(&varies(by)), "Accept: text/html").await;
        twice.not_kept(by);
        assert_eq!(status_of(&twice.first).get("detail"), Some("vary"));
    }
}

#[tokio::test]
async fn section_4_1_a_vary_that_changes_counts_from_then_on() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(page(&varies("X-One"), "by one"));
        ask(&scene, version, "GET", &path, "X-One: 1\nX-Two: 1").await;
        // The next says that it depends on something else.
        scene.origin.says(page(&varies("X-Two"), "by two"));
        assert_eq!(ask(&scene, version, "GET", &path, "X-One: 2\nX-Two: 2").await.text(), "by two");
        let response = ask(&scene, version, "GET", &path, "X-One: 3\nX-Two: 2").await;
        assert_hit(&response, "the same two");
        assert_eq!(response.text(), "by two");
        scene.origin.says(page(&varies("X-Two"), "anew"));
        assert_eq!(ask(&scene, version, "GET", &path, "X-One: 2\nX-Two: 3").await.text(), "anew");
    }
}

#[tokio::test]
async fn section_4_1_an_answer_that_stops_to_vary_is_for_all() {
    let scene = Scene::start("{}").await;
    scene.origin.says(page(&varies("X-One"), "by one"));
    scene.get("/a", "X-One: 1").await;
    scene.origin.says(page(FRESH, "for all"));
    scene.get("/a", "X-One: 2").await;
    for fields in ["X-One: 1", "X-One: 2", "X-One: 3", ""] {
        let response = scene.get("/a", fields).await;
        assert_hit(&response, fields);
        assert_eq!(response.text(), "for all");
    }
}

#[tokio::test]
async fn section_4_1_a_vary_that_a_304_brings_counts() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(page(super::STALE, "for one"));
        ask(&scene, version, "GET", &path, "X-Kind: one").await;
        scene.origin.says(page(&varies("X-Kind"), "for one"));
        scene.origin.says_next(not_modified(&format!("{}\nETag: \"v1\"", varies("X-Kind"))));
        let first = ask(&scene, version, "GET", &path, "X-Kind: one").await;
        assert_eq!((first.status, first.text()), (200, "for one"));
        for kind in ["two", "three"] {
            scene.origin.says(page(&varies("X-Kind"), kind));
            assert_eq!(ask(&scene, version, "GET", &path, &format!("X-Kind: {kind}")).await.text(), kind);
        }
    }
}

#[tokio::test]
async fn section_4_1_each_variant_is_validated_by_its_own_tag() {
    let scene = Scene::start("{}").await;
    for kind in ["one", "two"] {
        let fields = format!("Cache-Control: max-age=60\nAge: 100\nVary: X-Kind\nETag: \"{kind}\"");
        scene.origin.says(page(&fields, kind));
        scene.get("/a", &format!("X-Kind: {kind}")).await;
    }
    for kind in ["one", "two"] {
        let tag = format!("\"{kind}\"");
        scene.origin.says(not_modified(&format!("{}\nETag: {tag}", varies("X-Kind"))));
        let response = scene.get("/a", &format!("X-Kind: {kind}")).await;
        assert_eq!((response.text(), x_cache(&response)), (kind, "REVALIDATED"));
        assert_eq!(scene.origin.last().head.field("if-none-match"), Some(&*tag));
        assert_hit(&scene.get("/a", &format!("X-Kind: {kind}")).await, kind);
    }
}

#[tokio::test]
async fn section_4_1_answers_by_fields_that_the_gateway_makes_up_are_not_kept() {
    let scene = Scene::start("{ ttl: 60s }").await;
    for name in ["X-Request-Id", "X-Forwarded-For", "Forwarded", "X-Real-IP", "Traceparent"] {
        let twice = scene.twice(good(&varies(&format!("Accept, {name}"))), "Accept: text/html").await;
        twice.not_kept(name);
        assert_eq!(status_of(&twice.first).get("detail"), Some("vary"), "{name}");
    }
}

#[tokio::test]
async fn section_4_1_crumbs_of_a_cookie_are_one_value() {
    let scene = Scene::start("{}").await;
    store_for(&scene, "/a", "Cookie: a=1; b=2").await;
    let whole = ask(&scene, Version::One, "GET", "/a", "Cookie: a=1; b=2").await;
    assert_hit(&whole, "in one line");
    let crumbs = ask(&scene, Version::Two, "GET", "/a", "cookie: a=1\ncookie: b=2").await;
    assert_hit(&crumbs, "in crumbs (RFC 9113 section 8.2.3)");
    scene.origin.says(page(&varies("Cookie"), "another"));
    assert_eq!(ask(&scene, Version::Two, "GET", "/a", "cookie: b=2\ncookie: a=1").await.text(), "another");
}

async fn store_for(scene: &Scene, path: &str, fields: &str) {
    scene.origin.says(good(&varies("Cookie")));
    scene.get(path, fields).await;
}

#[tokio::test]
async fn section_4_1_variants_of_one_connection_are_told_apart() {
    let scene = Scene::start("{}").await;
    store(&scene, "/plain", good(FRESH)).await;
    let mut client = scene.h2().await;
    for kind in ["one", "two"] {
        scene.origin.says(page(&varies("X-Kind"), kind));
        client.send(request(kind), &[]).await;
    }
    for kind in ["one", "two"] {
        let response: H2Response = client.send(request(kind), &[]).await;
        assert_eq!((response.field("x-cache"), &*response.body), (Some("HIT"), kind.as_bytes()));
    }
}

fn request(kind: &str) -> http::Request<()> {
    http::Request::get("http://api.test/a").header("x-kind", kind).body(()).unwrap()
}
