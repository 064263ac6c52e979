//! Asking the upstream whether an answer still holds (RFC 9111 sections 4.3.1 and 4.3.3).

use super::super::support::{Scene, answer, assert_hit, date, good, x_cache};
use super::{FRESH, STALE, ask, not_modified, page, store};
use crate::identity::scene::BOTH;

const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[tokio::test]
async fn section_4_3_1_both_validators_are_sent() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for (fields, tag, modified) in [
            (format!("ETag: \"v1\"\nLast-Modified: {OLD}"), Some("\"v1\""), Some(OLD)),
            (format!("ETag: W/\"v1\"\nLast-Modified: {OLD}"), Some("W/\"v1\""), Some(OLD)),
            ("ETag: \"v1\"".to_owned(), Some("\"v1\""), None),
            (format!("Last-Modified: {OLD}"), None, Some(OLD)),
        ] {
            let path = scene.path();
            scene.origin.says(good(&format!("Cache-Control: max-age=60\nAge: 100\n{fields}")));
            ask(&scene, version, "GET", &path, "").await;
            scene.origin.says(not_modified(&format!("{FRESH}\n{fields}")));
            let response = ask(&scene, version, "GET", &path, "").await;
            assert_eq!((response.status, x_cache(&response)), (200, "REVALIDATED"), "{fields}");
            let asked = scene.origin.last();
            assert_eq!((asked.head.field("if-none-match"), asked.head.field("if-modified-since")), (tag, modified));
            assert_eq!((&*asked.method, &*asked.target), ("GET", &*path));
        }
    }
}

#[tokio::test]
async fn section_4_3_1_conditions_of_the_client_are_not_passed_on() {
    let scene = Scene::start("{}").await;
    let conditions = format!(
        "If-None-Match: \"mine\"\nIf-Modified-Since: {}\nIf-Range: \"mine\"\nRange: bytes=0-1\nX-Other: stays",
        date(0)
    );
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(good(STALE));
        assert_eq!(ask(&scene, version, "GET", &path, &conditions).await.text(), "good");
        let asked = scene.origin.last();
        for name in ["if-none-match", "if-modified-since", "if-range", "range"] {
            assert_eq!(asked.head.field(name), None, "on a miss: {name}");
        }
        assert_eq!(asked.head.field("x-other"), Some("stays"));
        scene.origin.says(not_modified(STALE));
        ask(&scene, version, "GET", &path, &conditions).await;
        let asked = scene.origin.last();
        assert_eq!(asked.head.field("if-none-match"), Some("\"v1\""), "when validating: that of the stored one");
        for name in ["if-modified-since", "if-range", "range"] {
            assert_eq!(asked.head.field(name), None, "when validating: {name}");
        }
    }
}

#[tokio::test]
async fn section_4_3_1_without_a_validator_there_is_no_condition() {
    let scene = Scene::start("{ stale_if_error: 1h }").await;
    scene.origin.says(good("Cache-Control: max-age=60\nAge: 100"));
    scene.get("/a", "").await;
    scene.origin.says(page(FRESH, "new"));
    assert_eq!(scene.get("/a", "If-None-Match: \"mine\"").await.text(), "new");
    assert_eq!(scene.origin.last().head.field("if-none-match"), None);
}

#[tokio::test]
async fn section_4_3_1_what_is_no_validator_is_not_sent() {
    let scene = Scene::start("{ stale_if_error: 1h }").await;
    for fields in ["ETag: v1", "ETag: \"v1", "ETag: \"v1\"\nETag: \"v2\"", "Last-Modified: yesterday"] {
        let path = scene.path();
        scene.origin.says(good(&format!("Cache-Control: max-age=60\nAge: 100\n{fields}")));
        scene.get(&path, "").await;
        scene.origin.says(page(FRESH, "new"));
        assert_eq!(scene.get(&path, "").await.text(), "new");
        let asked = scene.origin.last().head;
        assert_eq!((asked.field("if-none-match"), asked.field("if-modified-since")), (None, None), "{fields}");
    }
}

#[tokio::test]
async fn section_4_3_1_a_request_that_wants_validation_sends_the_stored_validator() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(&format!("{FRESH}\nETag: \"v1\""))).await;
    for version in BOTH {
        scene.origin.says(not_modified(&format!("{FRESH}\nETag: \"v1\"")));
        let response = ask(&scene, version, "GET", "/a", "Cache-Control: no-cache").await;
        assert_eq!((response.text(), scene.origin.last().head.field("if-none-match")), ("good", Some("\"v1\"")));
    }
}

#[tokio::test]
async fn section_4_3_3_a_304_gives_the_stored_body_and_makes_it_fresh() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(good(STALE));
        ask(&scene, version, "GET", &path, "").await;
        scene.origin.says(not_modified(&format!("{FRESH}\nETag: \"v1\"")));
        let response = ask(&scene, version, "GET", &path, "").await;
        assert_eq!((response.status, response.text(), x_cache(&response)), (200, "good", "REVALIDATED"));
        assert_eq!(response.field("content-length"), Some("4"));
        let asked = scene.origin.count();
        assert_hit(&ask(&scene, version, "GET", &path, "").await, "it is fresh again");
        assert_eq!(scene.origin.count(), asked);
    }
}

#[tokio::test]
async fn section_4_3_3_a_full_answer_replaces_the_stored_one() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(page(&format!("{STALE}\nX-Old: 1"), "old"));
        ask(&scene, version, "GET", &path, "").await;
        scene.origin.says(page(&format!("{FRESH}\nETag: \"v2\""), "new one"));
        let response = ask(&scene, version, "GET", &path, "").await;
        assert_eq!((response.text(), x_cache(&response), response.field("x-old")), ("new one", "EXPIRED", None));
        let response = ask(&scene, version, "GET", &path, "").await;
        assert_hit(&response, "the new one");
        assert_eq!(
            (response.text(), response.field("etag"), response.field("x-old")),
            ("new one", Some("\"v2\""), None)
        );
    }
}

#[tokio::test]
async fn section_4_3_3_a_full_answer_that_may_not_be_kept_is_given_and_the_old_one_is_not() {
    let scene = Scene::start("{}").await;
    scene.origin.says(page(STALE, "old"));
    scene.get("/a", "").await;
    scene.origin.says(page("Cache-Control: no-store", "for you"));
    assert_eq!(scene.get("/a", "").await.text(), "for you");
    assert_eq!(scene.get("/a", "").await.text(), "for you");
}

#[tokio::test]
async fn section_4_3_3_a_404_replaces_the_stored_one() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good(STALE));
    scene.get("/a", "").await;
    scene.origin.says(answer("404 Not Found", FRESH, "gone"));
    for _ in 0..2 {
        let response = scene.get("/a", "").await;
        assert_eq!((response.status, response.text()), (404, "gone"));
    }
}

#[tokio::test]
async fn section_4_3_3_an_error_is_passed_on_and_the_stored_one_stays() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for status in ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"]
        {
            let path = scene.path();
            scene.origin.says(good(STALE));
            ask(&scene, version, "GET", &path, "").await;
            scene.origin.says(answer(status, "", "failed"));
            let response = ask(&scene, version, "GET", &path, "").await;
            assert_eq!((&response.status.to_string(), response.text()), (&status[..3].to_owned(), "failed"));
            // For a while others ask for themselves; who takes it stale still has it.
            let response = ask(&scene, version, "GET", &path, "Cache-Control: max-stale").await;
            assert_eq!(
                (response.status, response.text(), x_cache(&response)),
                (200, "good", "STALE"),
                "after {status}"
            );
        }
    }
}

#[tokio::test]
async fn section_4_3_3_an_error_is_replaced_by_what_is_stored_where_that_is_allowed() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for status in ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"]
        {
            let path = scene.path();
            scene.origin.says(good("Cache-Control: max-age=60, stale-if-error=600\nAge: 100\nETag: \"v1\""));
            ask(&scene, version, "GET", &path, "").await;
            scene.origin.says(answer(status, "", "failed"));
            let response = ask(&scene, version, "GET", &path, "").await;
            assert_eq!((response.status, response.text(), x_cache(&response)), (200, "good", "STALE"), "{status}");
            let age: u64 = response.field("age").unwrap().parse().unwrap();
            assert!(age >= 100, "{age}");
        }
    }
}

#[tokio::test]
async fn section_4_3_3_what_the_client_has_decides_what_it_gets_after_a_validation() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for (mine, upstream, status, body) in [
            ("\"v1\"", not_modified(&format!("{FRESH}\nETag: \"v1\"")), 304, ""),
            ("\"v0\"", not_modified(&format!("{FRESH}\nETag: \"v1\"")), 200, "first"),
            ("\"v2\"", page(&format!("{FRESH}\nETag: \"v2\""), "second"), 304, ""),
            ("\"v1\"", page(&format!("{FRESH}\nETag: \"v2\""), "second"), 200, "second"),
        ] {
            let path = scene.path();
            scene.origin.says(page(STALE, "first"));
            ask(&scene, version, "GET", &path, "").await;
            scene.origin.says(upstream);
            let response = ask(&scene, version, "GET", &path, &format!("If-None-Match: {mine}")).await;
            assert_eq!((response.status, response.text()), (status, body), "the client has {mine}");
            assert_eq!(scene.origin.last().head.field("if-none-match"), Some("\"v1\""));
            assert_hit(&ask(&scene, version, "GET", &path, "").await, "it is stored whole");
        }
    }
}

#[tokio::test]
async fn section_4_3_3_a_validation_and_parts() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(good(STALE));
        ask(&scene, version, "GET", &path, "").await;
        scene.origin.says(not_modified(&format!("{FRESH}\nETag: \"v1\"")));
        let response = ask(&scene, version, "GET", &path, "Range: bytes=1-2").await;
        assert_eq!((response.status, response.text()), (206, "oo"));
        assert_eq!(response.field("content-range"), Some("bytes 1-2/4"));
    }
}
