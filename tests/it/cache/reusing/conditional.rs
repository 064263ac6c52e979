//! Conditions of clients, answered from memory (RFC 9111 section 4.3.2, RFC 9110 section 13).

use std::collections::BTreeSet;

use super::super::support::{Says, Scene, answer, assert_hit, date, x_cache};
use super::{FRESH, ask, page, store};
use crate::identity::scene::BOTH;
use crate::support::Gate;
use crate::support::client::Response;

const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn tagged(tag: &str) -> String {
    page(&format!("{FRESH}\nETag: {tag}\nLast-Modified: {OLD}"), "body")
}

#[track_caller]
fn is_304(response: &Response, case: &str) {
    assert_hit(response, case);
    assert_eq!((response.status, response.text()), (304, ""), "{case}");
}

#[tokio::test]
async fn section_4_3_2_if_none_match_is_compared_weakly() {
    let scene = Scene::start("{}").await;
    for (at, stored) in ["\"v1\"", "W/\"v1\""].into_iter().enumerate() {
        let path = format!("/{at}/tagged");
        store(&scene, &path, tagged(stored)).await;
        for version in BOTH {
            for same in [
                "If-None-Match: \"v1\"",
                "If-None-Match: W/\"v1\"",
                "If-None-Match: *",
                "If-None-Match: \"a\", \"v1\", \"b\"",
                "If-None-Match: \"a,b\",W/\"v1\"",
                "If-None-Match: \"a\"\nIf-None-Match: \"v1\"",
                "If-None-Match: , \"v1\" ,",
            ] {
                is_304(&ask(&scene, version, "GET", &path, same).await, same);
            }
            for other in [
                "If-None-Match: \"v2\"",
                "If-None-Match: \"V1\"",
                "If-None-Match: \"a\", \"b\"",
                // A space is in no tag, and so nothing of it counts.
                "If-None-Match: \"a b\", \"v1\"",
                "If-None-Match: v1",
                "If-None-Match: \"v1",
                "If-None-Match:",
            ] {
                let response = ask(&scene, version, "GET", &path, other).await;
                assert_hit(&response, other);
                assert_eq!((response.status, response.text()), (200, "body"), "{other}");
            }
        }
    }
    assert_eq!(scene.origin.count(), 2);
}

#[tokio::test]
async fn section_4_3_2_an_asterisk_matches_what_has_no_tag() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", page(FRESH, "body")).await;
    is_304(&scene.get("/a", "If-None-Match: *").await, "there is one");
    assert_eq!(scene.get("/a", "If-None-Match: \"v1\"").await.status, 200);
}

#[tokio::test]
async fn section_4_3_2_if_modified_since_is_compared_with_last_modified() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", page(&format!("{FRESH}\nLast-Modified: {OLD}"), "body")).await;
    for version in BOTH {
        for since in [OLD, AFTER, "Sunday, 06-Nov-94 08:49:38 GMT", "Sun Nov  6 08:49:38 1994"] {
            is_304(&ask(&scene, version, "GET", "/a", &format!("If-Modified-Since: {since}")).await, since);
        }
        for since in [BEFORE, "yesterday", "0", ""] {
            let response = ask(&scene, version, "GET", "/a", &format!("If-Modified-Since: {since}")).await;
            assert_eq!((response.status, response.text()), (200, "body"), "{since}");
        }
    }
}

#[tokio::test]
async fn section_4_3_2_without_last_modified_date_counts() {
    let scene = Scene::start("{}").await;
    let made = date(-10);
    store(&scene, "/a", page(&format!("{FRESH}\nDate: {made}"), "body")).await;
    is_304(&scene.get("/a", &format!("If-Modified-Since: {made}")).await, "since then");
    assert_eq!(scene.get("/a", &format!("If-Modified-Since: {}", date(-3600))).await.status, 200);
}

#[tokio::test]
async fn section_13_1_3_if_modified_since_counts_only_without_if_none_match() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", tagged("\"v1\"")).await;
    for version in BOTH {
        let changed = format!("If-None-Match: \"v2\"\nIf-Modified-Since: {AFTER}");
        assert_eq!(ask(&scene, version, "GET", "/a", &changed).await.status, 200);
        let unchanged = format!("If-Modified-Since: {BEFORE}\nIf-None-Match: \"v1\"");
        is_304(&ask(&scene, version, "GET", "/a", &unchanged).await, "the tag says so");
    }
}

#[tokio::test]
async fn section_15_4_5_a_304_has_these_fields_and_no_others() {
    let scene = Scene::start("{}").await;
    let metadata = "Content-Type: text/plain\nContent-Language: en\nContent-Encoding: x-none\nContent-MD5: x";
    let kept = "Content-Location: /b\nExpires: Thu, 01 Jan 1970 00:00:00 GMT\nX-Own: own\nVary: Accept";
    store(&scene, "/a", page(&format!("{FRESH}\nETag: \"v1\"\nLast-Modified: {OLD}\n{metadata}\n{kept}"), "body"))
        .await;
    for version in BOTH {
        for method in ["GET", "HEAD"] {
            let response = ask(&scene, version, method, "/a", "If-None-Match: \"v1\"").await;
            is_304(&response, method);
            let names: BTreeSet<String> =
                response.head.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
            let expected = [
                // What RFC 9110 asks for.
                "cache-control",
                "content-location",
                "date",
                "etag",
                "expires",
                "vary",
                // What a cache has to say, and a gateway.
                "age",
                "cache-status",
                "via",
                "x-cache",
                "x-request-id",
                // What is not about the representation.
                "x-own",
            ];
            assert_eq!(names, expected.map(str::to_owned).into(), "{method}");
            assert_eq!(response.head.fields.len(), names.len(), "each once: {:?}", response.head.fields);
        }
    }
}

#[tokio::test]
async fn section_15_4_5_without_a_tag_a_304_says_when_it_was_modified() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", page(&format!("{FRESH}\nLast-Modified: {OLD}"), "body")).await;
    let response = scene.get("/a", &format!("If-Modified-Since: {OLD}")).await;
    is_304(&response, "by date");
    assert_eq!(response.field("last-modified"), Some(OLD));
}

#[tokio::test]
async fn section_13_2_1_conditions_do_not_count_for_other_statuses() {
    let scene = Scene::start("{}").await;
    for status in ["404 Not Found", "301 Moved Permanently", "410 Gone"] {
        let path = scene.path();
        store(&scene, &path, answer(status, &format!("{FRESH}\nETag: \"v1\"\nLocation: /b"), "body")).await;
        for fields in ["If-None-Match: \"v1\"", "If-None-Match: *", &format!("If-Modified-Since: {}", date(0))] {
            let response = scene.get(&path, fields).await;
            assert_eq!((&response.status.to_string(), response.text()), (&status[..3].to_owned(), "body"), "{fields}");
        }
    }
}

#[tokio::test]
async fn section_4_3_2_conditions_for_the_upstream_are_judged_there() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", tagged("\"v1\"")).await;
    scene.origin.says(answer("412 Precondition Failed", "", "no"));
    for version in BOTH {
        for (name, value) in [("If-Match", "\"v1\""), ("If-Unmodified-Since", AFTER)] {
            let response = ask(&scene, version, "GET", "/a", &format!("{name}: {value}")).await;
            assert_eq!((response.status, x_cache(&response)), (412, "BYPASS"), "{name}");
            assert_eq!(scene.origin.last().head.field(name), Some(value));
        }
    }
    assert_hit(&scene.get("/a", "").await, "it is still there");
}

#[tokio::test]
async fn section_4_3_2_a_miss_with_a_condition_brings_the_whole_and_answers_304() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for says in [
            tagged("\"v1\""),
            format!(
                "HTTP/1.1 200 OK\r\n{FRESH}\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
            ),
        ] {
            let path = scene.path();
            scene.origin.says(says);
            let response = ask(&scene, version, "GET", &path, "If-None-Match: \"v1\"").await;
            assert_eq!((response.status, response.text(), x_cache(&response)), (304, "", "MISS"));
            assert_eq!((response.field("content-length"), response.field("transfer-encoding")), (None, None));
            let whole = ask(&scene, version, "GET", &path, "").await;
            assert_eq!((whole.status, whole.text()), (200, "body"));
        }
    }
    assert_eq!(scene.origin.count(), 4);
}

#[tokio::test]
async fn section_4_3_2_a_304_on_a_miss_does_not_wait_for_the_body() {
    let scene = Scene::start("{}").await;
    let gate = Gate::closed();
    let whole = tagged("\"v1\"");
    let (begin, rest) = whole.split_at(whole.len() - 2);
    scene.origin.says(Says::Halves(begin.into(), gate.clone(), rest.into()));
    let mut client = scene.gateway.client().await;
    client.send("GET /a HTTP/1.1\r\nHost: api.test\r\nIf-None-Match: \"v1\"\r\n\r\n").await;
    assert_eq!(client.response().await.status, 304);
    gate.open();
    let response = client.get("/a").await;
    assert_eq!((response.status, response.text()), (200, "body"));
    assert_eq!(scene.origin.count(), 1, "the answer was fetched to its end although its client needed no body");
}

#[tokio::test]
async fn section_4_3_2_a_condition_on_what_is_not_kept_holds_as_well() {
    let scene = Scene::start("{}").await;
    scene.origin.says(page("Cache-Control: no-store\nETag: \"v1\"", "body"));
    for version in BOTH {
        for (tag, status, body) in [("\"v1\"", 304, ""), ("\"v2\"", 200, "body")] {
            let path = scene.path();
            let response = ask(&scene, version, "GET", &path, &format!("If-None-Match: {tag}")).await;
            assert_eq!((response.status, response.text()), (status, body));
        }
    }
}

#[tokio::test]
async fn section_13_2_2_a_condition_goes_before_a_part() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", tagged("\"v1\"")).await;
    for version in BOTH {
        is_304(&ask(&scene, version, "GET", "/a", "If-None-Match: \"v1\"\nRange: bytes=0-1").await, "with a range");
        is_304(&ask(&scene, version, "GET", "/a", "If-None-Match: \"v1\"\nRange: bytes=99-").await, "with a bad range");
        let part = ask(&scene, version, "GET", "/a", "If-None-Match: \"v2\"\nRange: bytes=0-1").await;
        assert_eq!((part.status, part.text()), (206, "bo"));
    }
}
