//! What a 304 makes of the stored answer (RFC 9111 sections 4.3.4 and 3.2).

use super::super::support::{Scene, assert_hit, date, good, x_cache};
use super::{FRESH, STALE, ask, not_modified, page};
use crate::identity::scene::BOTH;

const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const OLDER: &str = "Sat, 05 Nov 1994 08:49:37 GMT";

/// A stale answer with these fields.
fn stale(fields: &str) -> String {
    page(&format!("Cache-Control: max-age=60\nAge: 100\n{fields}"), "stored")
}

#[tokio::test]
async fn section_4_3_4_fields_of_the_304_replace_stored_ones() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        let first = "X-Kept: kept\nX-Changed: one\nX-Changed: two\nContent-Type: text/plain\nContent-Language: en";
        scene.origin.says(stale(&format!("ETag: \"v1\"\n{first}")));
        ask(&scene, version, "GET", &path, "").await;
        let newer = "ETag: \"v1\"\nCache-Control: max-age=600\nX-Changed: three\nX-New: new\nContent-Language: de";
        scene.origin.says(not_modified(newer));
        for kind in ["REVALIDATED", "HIT"] {
            let response = ask(&scene, version, "GET", &path, "").await;
            assert_eq!((response.status, response.text(), x_cache(&response)), (200, "stored", kind));
            for (name, value) in [
                ("x-kept", "kept"),
                ("x-changed", "three"),
                ("x-new", "new"),
                ("content-type", "text/plain"),
                ("content-language", "de"),
                ("cache-control", "max-age=600"),
                ("etag", "\"v1\""),
            ] {
                assert_eq!(response.head.all(name), [value], "{kind}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn section_3_2_length_and_fields_of_one_hop_are_not_updated() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(stale("ETag: \"v1\"\nX-Hop: stored"));
        ask(&scene, version, "GET", &path, "").await;
        let newer = "ETag: \"v1\"\nContent-Length: 999\nConnection: X-Hop\nX-Hop: of the hop\nKeep-Alive: timeout=5";
        scene.origin.says(not_modified(&format!("{FRESH}\n{newer}")));
        for kind in ["REVALIDATED", "HIT"] {
            let response = ask(&scene, version, "GET", &path, "").await;
            assert_eq!((response.status, response.text(), x_cache(&response)), (200, "stored", kind));
            assert_eq!(response.field("content-length"), Some("6"));
            assert_eq!(response.field("keep-alive"), None);
            assert_ne!(response.field("x-hop"), Some("of the hop"));
        }
    }
}

#[tokio::test]
async fn section_4_3_4_age_begins_anew() {
    let scene = Scene::start("{}").await;
    for (newer, least) in [("", 0), ("Age: 30", 30)] {
        let path = scene.path();
        scene.origin.says(good(STALE));
        scene.get(&path, "").await;
        scene.origin.says(not_modified(&format!("{FRESH}\nETag: \"v1\"\n{newer}")));
        scene.get(&path, "").await;
        let response = scene.get(&path, "").await;
        assert_hit(&response, newer);
        let age: u64 = response.field("age").unwrap().parse().unwrap();
        assert!((least..least + 20).contains(&age), "{age}");
    }
}

#[tokio::test]
async fn section_4_3_4_which_304_is_about_the_stored_answer() {
    let scene = Scene::start("{}").await;
    let (strong, weak) = ("ETag: \"v1\"".to_owned(), "ETag: W/\"v1\"".to_owned());
    let dated = format!("Last-Modified: {OLD}\nDate: {}", date(-200));
    for (stored, newer) in [
        // A strong validator that is the same.
        (&strong, strong.clone()),
        (&format!("{strong}\nLast-Modified: {OLD}"), strong.clone()),
        // A weak one.
        (&weak, weak.clone()),
        (&strong, weak.clone()),
        // By date.
        (&format!("Last-Modified: {OLD}"), format!("Last-Modified: {OLD}")),
        (&dated, format!("Last-Modified: {OLD}")),
        // None at all: it is about what was asked for.
        (&strong, "X-None: 1".to_owned()),
        (&format!("Last-Modified: {OLD}"), "X-None: 1".to_owned()),
    ] {
        let path = scene.path();
        scene.origin.says(stale(stored));
        scene.get(&path, "").await;
        scene.origin.says(not_modified(&format!("Cache-Control: max-age=60\nDate: {}\n{newer}", date(0))));
        let response = scene.get(&path, "").await;
        assert_eq!((response.status, response.text()), (200, "stored"), "{stored:?} by {newer:?}");
        assert_eq!(x_cache(&response), "REVALIDATED", "{stored:?} by {newer:?}");
    }
}

#[tokio::test]
async fn section_4_3_4_a_304_about_something_else_leads_to_a_request_without_conditions() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for (stored, newer) in [
            ("ETag: \"v1\"".to_owned(), "ETag: \"v2\"".to_owned()),
            ("ETag: W/\"v1\"".to_owned(), "ETag: W/\"v2\"".to_owned()),
            // A strong validator that the stored answer does not have.
            ("ETag: W/\"v1\"".to_owned(), "ETag: \"v1\"".to_owned()),
            (format!("Last-Modified: {OLD}"), "ETag: \"v2\"".to_owned()),
            (format!("Last-Modified: {OLD}"), format!("Last-Modified: {OLDER}")),
        ] {
            let path = scene.path();
            scene.origin.says(stale(&format!("{stored}\nX-Told: stored")));
            ask(&scene, version, "GET", &path, "").await;
            let asked = scene.origin.count();
            scene.origin.says(page("ETag: \"v3\"\nCache-Control: max-age=60", "whole"));
            scene.origin.says_next(not_modified(&format!("{FRESH}\n{newer}\nX-Told: by a 304")));
            let response = ask(&scene, version, "GET", &path, "").await;
            let case = format!("{stored:?} by {newer:?}");
            assert_eq!((response.status, response.text(), response.field("x-told")), (200, "whole", None), "{case}");
            let requests = scene.origin.upstream.requests();
            assert_eq!(requests.len(), asked + 2, "{case}");
            let last = &requests[asked + 1].head;
            assert_eq!((last.field("if-none-match"), last.field("if-modified-since")), (None, None), "{case}");
            // It updated nothing: whatever is stored now is not what that 304 spoke of.
            scene.origin.says(page(FRESH, "later"));
            let after = ask(&scene, version, "GET", &path, "").await;
            assert_ne!(after.field("x-told"), Some("by a 304"), "{case}");
            assert_ne!(after.text(), "stored", "{case}");
        }
    }
}

#[tokio::test]
async fn section_4_3_4_a_304_that_forbids_to_keep_is_the_end_of_what_is_stored() {
    let scene = Scene::start("{}").await;
    for forbids in ["no-store", "private"] {
        let path = scene.path();
        scene.origin.says(good(STALE));
        scene.get(&path, "").await;
        scene.origin.says(page("Cache-Control: no-store", "anew"));
        scene.origin.says_next(not_modified(&format!("ETag: \"v1\"\nCache-Control: {forbids}")));
        let first = scene.get(&path, "").await;
        assert_eq!(first.status, 200, "{forbids}");
        let second = scene.get(&path, "").await;
        assert_eq!((second.text(), x_cache(&second)), ("anew", "MISS"), "{forbids}");
        assert_eq!(scene.origin.last().head.field("if-none-match"), None, "{forbids}");
    }
}

#[tokio::test]
async fn section_4_3_4_a_304_with_directives_of_its_own_changes_the_rules() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good(STALE));
    scene.get("/a", "").await;
    scene.origin.says(not_modified("ETag: \"v1\"\nCache-Control: no-cache"));
    for _ in 0..3 {
        let asked = scene.origin.count();
        assert_eq!(x_cache(&scene.get("/a", "").await), "REVALIDATED");
        assert_eq!(scene.origin.count(), asked + 1);
    }
}

#[tokio::test]
async fn section_4_3_4_a_cookie_of_a_304_is_not_stored() {
    let scene = Scene::start("{ ttl: 60s }").await;
    scene.origin.says(good(STALE));
    scene.get("/a", "").await;
    scene.origin.says(page(FRESH, "anew"));
    scene.origin.says_next(not_modified(&format!("{FRESH}\nETag: \"v1\"\nSet-Cookie: session=secret")));
    scene.get("/a", "").await;
    for version in BOTH {
        assert_eq!(ask(&scene, version, "GET", "/a", "").await.field("set-cookie"), None);
    }
}
