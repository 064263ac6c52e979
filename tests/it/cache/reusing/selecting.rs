//! What has to agree before a stored answer is given (RFC 9111 section 4), and when it is too old (section 4.2).

use super::super::support::{Says, Scene, answer, assert_hit, date, good, x_cache};
use super::{FRESH, STALE, ask, page, store};
use crate::identity::scene::BOTH;
use crate::support::{Gate, eventually, within};

#[tokio::test]
async fn section_4_a_stored_answer_is_given_without_asking() {
    let scene = Scene::start("{}").await;
    let fields = "Cache-Control: max-age=60\nContent-Type: text/x-kept\nX-Kind: plain";
    store(&scene, "/kept", page(fields, "body")).await;
    for version in BOTH {
        let response = ask(&scene, version, "GET", "/kept", "").await;
        assert_hit(&response, &format!("{version:?}"));
        assert_eq!((response.status, response.text(), response.field("x-kind")), (200, "body", Some("plain")));
        assert_eq!(response.field("content-type"), Some("text/x-kept"));
        assert_eq!(response.field("content-length"), Some("4"));
    }
    assert_eq!(scene.origin.count(), 1);
}

#[tokio::test]
async fn section_4_another_uri_is_not_answered() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", page(FRESH, "a")).await;
    scene.origin.says(page(FRESH, "other"));
    for target in ["/b", "/a/", "/a?q", "/A", "/a/b", "/"] {
        assert_eq!(scene.get(target, "").await.text(), "other", "{target}");
    }
    assert_eq!(scene.get("/a", "").await.text(), "a");
}

#[tokio::test]
async fn section_4_another_method_is_not_answered() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    scene.origin.says(answer("405 Method Not Allowed", "", "not here"));
    for version in BOTH {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "QUERY"] {
            let response = ask(&scene, version, method, "/a", "").await;
            assert_eq!((response.status, x_cache(&response)), (405, "BYPASS"), "{method}");
            assert_eq!(scene.origin.last().method, method);
        }
    }
}

#[tokio::test]
async fn section_4_what_another_method_brought_is_not_given_to_get() {
    let scene = Scene::start("{ ttl: 60s }").await;
    scene.origin.says(page(FRESH, "not for GET"));
    for method in ["POST", "PUT", "OPTIONS", "SEARCH"] {
        scene.send(method, "/a", "").await;
    }
    scene.origin.says(page(FRESH, "for GET"));
    assert_eq!(scene.get("/a", "").await.text(), "for GET");
}

#[tokio::test]
async fn section_4_an_unsafe_request_is_answered_only_when_the_upstream_has_answered() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    let gate = Gate::closed();
    let says = answer("409 Conflict", "", "judged");
    scene.origin.says(Says::Halves(Vec::new(), gate.clone(), says.into_bytes()));
    let mut client = scene.gateway.client().await;
    client.send("POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n").await;
    eventually("the change is at the upstream", async || (scene.origin.count() == 2).then_some(())).await;
    gate.open();
    let response = client.response().await;
    assert_eq!((response.status, response.text()), (409, "judged"));
}

#[tokio::test]
async fn section_4_no_cache_of_the_answer_asks_each_time() {
    let scene = Scene::start("{ ttl: 60s, stale_while_revalidate: 60s }").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(good("Cache-Control: no-cache, max-age=60\nETag: \"v1\""));
        ask(&scene, version, "GET", &path, "").await;
        scene.origin.says(answer("304 Not Modified", "ETag: \"v1\"", ""));
        let asked = scene.origin.count();
        for again in 1..=3 {
            let response = ask(&scene, version, "GET", &path, "").await;
            assert_eq!((response.status, response.text(), x_cache(&response)), (200, "good", "REVALIDATED"));
            assert_eq!(scene.origin.count(), asked + again);
        }
    }
}

#[tokio::test]
async fn section_4_a_stale_answer_is_not_given_without_asking() {
    let scene = Scene::start("{}").await;
    for (case, says) in [
        ("max-age is over", STALE.to_owned()),
        ("max-age is zero", "Cache-Control: max-age=0\nETag: \"v1\"".to_owned()),
        ("Expires is over", "Expires: Thu, 01 Jan 1970 00:00:00 GMT\nETag: \"v1\"".to_owned()),
        ("Expires is no date", "Expires: 0\nETag: \"v1\"".to_owned()),
        ("it was made long ago", format!("{FRESH}\nDate: {}\nETag: \"v1\"", date(-100))),
    ] {
        scene.twice(good(&says), "").await.asked_again(case);
    }
}

#[tokio::test]
async fn section_4_a_client_that_wants_it_from_the_upstream_gets_it_from_there() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for wish in ["Cache-Control: no-cache", "Pragma: no-cache", "Cache-Control: max-age=0"] {
            let path = scene.path();
            store(&scene, &path, page(FRESH, "old")).await;
            scene.origin.says(page(FRESH, "new"));
            assert_eq!(ask(&scene, version, "GET", &path, wish).await.text(), "new", "{wish}");
            let after = ask(&scene, version, "GET", &path, "").await;
            assert_eq!(after.text(), "new", "{wish}");
            assert_hit(&after, wish);
        }
    }
}

#[tokio::test]
async fn section_4_age_is_generated_once_and_counts_what_the_upstream_said() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good("Cache-Control: max-age=600\nAge: 7")).await;
    for version in BOTH {
        let response = ask(&scene, version, "GET", "/a", "").await;
        let age: u64 = response.field("age").expect("exactly one Age").parse().unwrap();
        assert!((7..60).contains(&age), "{age}");
    }
    store(&scene, "/b", good(FRESH)).await;
    let response = scene.get("/b", "").await;
    assert!(response.field("age").unwrap().parse::<u64>().unwrap() < 10);
}

#[tokio::test]
async fn section_4_age_counts_from_date_when_that_is_longer_ago() {
    let scene = Scene::start("{}").await;
    let made = date(-100);
    store(&scene, "/a", good(&format!("Cache-Control: max-age=600\nDate: {made}"))).await;
    let response = scene.get("/a", "").await;
    let age: u64 = response.field("age").unwrap().parse().unwrap();
    assert!((100..160).contains(&age), "{age}");
    assert_eq!(response.field("date"), Some(&*made), "the date of the origin stays");
}

#[tokio::test]
async fn section_4_the_most_recent_of_several_is_given() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        // First by a field, then for everybody, then by the field again.
        for (fields, body) in [("Vary: X-Kind", "first"), ("X-None: 1", "second"), ("Vary: X-Kind", "third")] {
            scene.origin.says(page(&format!("{FRESH}\n{fields}"), body));
            let wish = "Cache-Control: no-cache\nX-Kind: one";
            assert_eq!(ask(&scene, version, "GET", &path, wish).await.text(), body);
            let response = ask(&scene, version, "GET", &path, "X-Kind: one").await;
            assert_hit(&response, body);
            assert_eq!(response.text(), body);
        }
    }
}

#[tokio::test]
async fn section_4_an_answer_without_date_is_kept_with_one() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", good(FRESH)).await;
    for version in BOTH {
        let date = ask(&scene, version, "GET", "/a", "").await.field("date").map(str::to_owned);
        assert!(httpdate::parse_http_date(&date.unwrap()).is_ok());
    }
}

#[tokio::test]
async fn section_4_2_4_what_must_not_be_stale_is_not_given_when_the_upstream_fails() {
    let scene = Scene::start("{ stale_if_error: 1h, stale_while_revalidate: 1h }").await;
    for directive in ["must-revalidate", "proxy-revalidate", "no-cache"] {
        let path = scene.path();
        let fields = format!("Cache-Control: max-age=60, {directive}\nAge: 100\nETag: \"v1\"");
        scene.origin.says(good(&fields));
        scene.get(&path, "").await;
        scene.origin.says(answer("503 Service Unavailable", "", "down"));
        for wish in ["", "Cache-Control: max-stale", "Cache-Control: stale-if-error=600"] {
            let response = scene.get(&path, wish).await;
            assert_eq!((response.status, response.text()), (503, "down"), "{directive} {wish}");
        }
    }
    let path = scene.path();
    scene.origin.says(good("Cache-Control: s-maxage=60\nAge: 100\nETag: \"v1\""));
    scene.get(&path, "").await;
    scene.origin.says(answer("503 Service Unavailable", "", "down"));
    assert_eq!(scene.get(&path, "Cache-Control: max-stale").await.status, 503, "s-maxage");
}

#[tokio::test]
async fn section_4_2_4_nothing_is_stale_unless_somebody_allowed_it() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good(STALE));
    scene.get("/a", "").await;
    scene.origin.says(answer("503 Service Unavailable", "", "down"));
    assert_eq!(scene.get("/a", "").await.status, 503);
    let allowed = within("a stale answer", scene.get("/a", "Cache-Control: max-stale=3600")).await;
    assert_eq!((allowed.status, allowed.text(), x_cache(&allowed)), (200, "good", "STALE"));
}
