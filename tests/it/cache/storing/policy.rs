//! What a route adds to what the upstream says.

use crate::cache::support::{Says, Scene, answer, assert_hit, good, status_of, x_cache};
use crate::support::Gate;
use crate::support::gateway::engine_under_test;

#[tokio::test]
async fn a_ttl_is_for_answers_that_do_not_say_it() {
    for cache in ["60s", "{ ttl: 60s }", "{ ttl: { default: 60s } }", "{ ttl: { default: 60s, mode: respect } }"] {
        let scene = Scene::start(cache).await;
        for said in ["", "Cache-Control: public", "ETag: \"1\"", "Date: Tue, 15 Nov 1994 08:12:31 GMT", "Age: 1000"] {
            let twice = scene.twice(good(said), "").await;
            twice.kept(&format!("{cache} {said}"));
            let ttl: u64 = status_of(&twice.second).get("ttl").unwrap().parse().unwrap();
            assert!((55..=60).contains(&ttl), "{cache} {said}: {ttl}");
        }
        for said in ["no-store", "private", "max-age=60, no-store"] {
            scene.twice(good(&format!("Cache-Control: {said}")), "").await.not_kept(&format!("{cache} {said}"));
        }
        for said in [
            "Cache-Control: max-age=0",
            "Cache-Control: no-cache",
            "Expires: 0",
            "Cache-Control: max-age=60\nAge: 100",
            "CDN-Cache-Control: max-age=0",
        ] {
            scene.twice(good(&format!("ETag: \"1\"\n{said}")), "").await.asked_again(&format!("{cache} {said}"));
        }
        for status in ["404 Not Found", "301 Moved", "410 Gone"] {
            scene.twice(answer(status, "", "bad"), "").await.kept(&format!("{cache} {status}"));
        }
        for status in ["201 Created", "302 Found", "403 Forbidden", "500 Error", "503 Unavailable"] {
            scene.twice(answer(status, "", "bad"), "").await.not_kept(&format!("{cache} {status}"));
        }
    }
}

#[tokio::test]
async fn a_ttl_that_overrides_holds_whatever_is_said() {
    let scene = Scene::start("{ ttl: { default: 60s, by_status: { 503: 5s }, mode: override } }").await;
    for said in [
        "",
        "Cache-Control: no-store",
        "Cache-Control: private, max-age=10",
        "Cache-Control: max-age=0",
        "Cache-Control: s-maxage=1",
        "Cache-Control: no-cache",
        "Cache-Control: max-age=100000",
        "Expires: 0",
        "CDN-Cache-Control: no-store",
        "Cache-Control: max-age=10\nAge: 100",
        "Cache-Control: max-age=10, must-revalidate",
        "Date: Tue, 15 Nov 1994 08:12:31 GMT",
    ] {
        let twice = scene.twice(good(said), "").await;
        twice.kept(said);
        let ttl: u64 = status_of(&twice.second).get("ttl").unwrap().parse().unwrap();
        assert!((55..=60).contains(&ttl), "{said}: {ttl}");
    }
    scene.twice(answer("503 Unavailable", "Cache-Control: no-store", "bad"), "").await.kept("503");
    scene.twice(answer("500 Error", "Cache-Control: no-store", "bad"), "").await.not_kept("500, which has no ttl");
    scene.twice(good(""), "Cache-Control: no-store").await.not_kept("the request says no");
    scene.twice(good("Vary: *"), "").await.not_kept("Vary: *");
}

#[tokio::test]
async fn a_ttl_by_status_goes_before_the_default_and_zero_keeps_nothing() {
    let scene =
        Scene::start("{ ttl: { default: 60s, by_status: { 404: 5s, 302: 1h, 429: 10s, 410: 0s, 503: 0s } } }").await;
    for (status, lifetime) in
        [("200 OK", 60), ("404 Not Found", 5), ("302 Found", 3600), ("429 Too Many", 10), ("301 Moved", 60)]
    {
        let twice = scene.twice(answer(status, "", "good"), "").await;
        twice.kept(status);
        let ttl: u64 = status_of(&twice.second).get("ttl").unwrap().parse().unwrap();
        assert!((lifetime - 4..=lifetime).contains(&ttl), "{status}: {ttl}");
    }
    for status in ["410 Gone", "503 Unavailable", "500 Error", "403 Forbidden"] {
        scene.twice(answer(status, "", "bad"), "").await.not_kept(status);
        scene.twice(answer(status, "ETag: \"1\"", "bad"), "").await.not_kept(status);
    }
    scene.twice(answer("404 Not Found", "Cache-Control: max-age=600", "bad"), "").await.kept("what it says holds");
}

#[tokio::test]
async fn a_ttl_for_one_status_is_for_no_other() {
    let scene = Scene::start("{ ttl: { by_status: { 404: 60s } } }").await;
    scene.twice(answer("404 Not Found", "", "bad"), "").await.kept("404");
    scene.twice(good(""), "").await.not_kept("200");
    scene.twice(answer("410 Gone", "", "bad"), "").await.not_kept("410");
}

#[tokio::test]
async fn a_zero_that_overrides_keeps_nothing() {
    let scene = Scene::start("{ ttl: { by_status: { 404: 0s }, mode: override } }").await;
    scene
        .twice(answer("404 Not Found", "ETag: \"1\"\nCache-Control: public, max-age=60", "bad"), "")
        .await
        .not_kept("404");
    scene.twice(good("Cache-Control: max-age=60"), "").await.kept("200, which says it itself");
}

#[tokio::test]
async fn nothing_is_kept_without_a_cache_or_with_one_that_is_off() {
    for keys in ["auth: none", "auth: none, cache: off"] {
        let scene = Scene::with_route(keys).await;
        scene.origin.says(good("Cache-Control: max-age=60"));
        for count in 1..=2 {
            let response = scene.get("/x", "").await;
            assert_eq!((x_cache(&response), response.field("cache-status"), scene.origin.count()), ("", None, count));
        }
    }
}

#[tokio::test]
async fn what_is_longer_than_max_object_passes_whole_and_is_not_kept() {
    let scene = Scene::start("{ max_object: 4KiB }").await;
    let framed = |length: usize, chunked: bool| {
        let body: String = "0123456789abcdef".repeat(length.div_ceil(16))[..length].to_owned();
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        let answer = if chunked {
            let (begin, rest) = body.split_at(length / 2);
            let chunks = format!("{:x}\r\n{begin}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", begin.len(), rest.len());
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")
        } else {
            format!("{head}Content-Length: {length}\r\n\r\n{body}")
        };
        (answer, body)
    };
    for chunked in [false, true] {
        for length in [4096, 4095, 1] {
            scene.twice(framed(length, chunked).0, "").await.kept(&format!("{length} {chunked}"));
        }
        for length in [4097, 8192, 1 << 20] {
            let (answer, body) = framed(length, chunked);
            let twice = scene.twice(answer, "").await;
            assert_eq!(twice.asked, 2, "{length} {chunked}");
            for response in [&twice.first, &twice.second] {
                assert!(response.text() == body, "{length} {chunked}");
                assert!(!status_of(response).has("hit"), "{length} {chunked}");
            }
        }
    }
}

#[tokio::test]
async fn max_object_is_a_mebibyte_when_nothing_is_written() {
    let scene = Scene::start("{}").await;
    let body = |length: usize| answer("200 OK", "Cache-Control: max-age=60", &"x".repeat(length));
    scene.twice(body(1 << 20), "").await.kept("1 MiB");
    scene.twice(body((1 << 20) + 1), "").await.not_kept("1 MiB and a byte");
}

#[tokio::test]
async fn methods_of_the_route_leave_head_to_the_upstream() {
    let scene = Scene::start("{ methods: GET }").await;
    scene.origin.says(good("Cache-Control: max-age=60"));
    scene.get("/x", "").await;
    let response = scene.send("HEAD", "/x", "").await;
    assert_eq!((response.status, x_cache(&response), scene.origin.count()), (200, "BYPASS", 2));
    assert_eq!(status_of(&response).get("fwd"), Some("method"));
    assert_eq!(scene.origin.last().method, "HEAD");
    assert_hit(&scene.get("/x", "").await, "GET");
}

#[tokio::test]
async fn a_request_that_meets_a_bypass_is_neither_answered_from_the_cache_nor_kept() {
    let cache = r#"{ bypass: [{ header: X-By }, { header: X-Value, value: "1" }, { cookie: session }, { cookie: kind, value: "a" }, { query: preview, value: "1" }, { query: debug }] }"#;
    let scene = Scene::start(cache).await;
    scene.origin.says(good("Cache-Control: max-age=60"));
    let meeting = [
        ("", "X-By: anything"),
        ("", "x-by: "),
        ("", "X-Value: 1"),
        ("", "X-Value: 2\nX-Value: 1"),
        ("", "Cookie: session=abc"),
        ("", "Cookie: a=b; session=; c=d"),
        ("", "Cookie: a=b\nCookie: session=1"),
        ("", "Cookie: kind=a"),
        ("?preview=1", ""),
        ("?a=b&preview=1", ""),
        ("?preview=0&preview=1", ""),
        ("?previe%77=%31", ""),
        ("?debug", ""),
        ("?debug=", ""),
    ];
    for (query, fields) in meeting {
        let path = format!("{}{query}", scene.path());
        for _ in 0..2 {
            let before = scene.origin.count();
            let response = scene.get(&path, fields).await;
            assert_eq!((response.status, x_cache(&response)), (200, "BYPASS"), "{query} {fields}");
            assert_eq!(
                (status_of(&response).get("fwd"), scene.origin.count() - before),
                (Some("bypass"), 1),
                "{query} {fields}"
            );
        }
        if query.is_empty() {
            let before = scene.origin.count();
            assert_eq!(x_cache(&scene.get(&path, "").await), "MISS", "{fields}: it was not kept");
            assert_eq!(scene.origin.count() - before, 1);
            scene.get(&path, fields).await;
            assert_hit(&scene.get(&path, "").await, "what was kept is still there");
        }
    }
    for (query, fields) in [
        ("", "X-Value: 2"),
        ("", "X-Value: 11"),
        ("", "Cookie: sessions=1; kind=b; x=session"),
        ("?preview=2", ""),
        ("?previews=1", ""),
        ("?x=debug", ""),
    ] {
        let path = format!("{}{query}", scene.path());
        scene.get(&path, fields).await;
        assert_hit(&scene.get(&path, fields).await, &format!("{query} {fields}"));
    }
}

#[tokio::test]
async fn a_client_reads_an_answer_that_is_kept_while_it_comes() {
    for (cache, kept) in [("{}", true), ("{ max_object: 1KiB }", false)] {
        let scene = Scene::start(cache).await;
        let gate = Gate::closed();
        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n", 2000);
        let (begin, rest) = (format!("{head}{}", "a".repeat(1000)), "b".repeat(1000));
        scene.origin.says(Says::Halves(begin.into_bytes(), gate.clone(), rest.into_bytes()));
        let mut client = scene.gateway.client().await;
        client.send("GET /x HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        let (status, head) = client.response_head().await;
        assert_eq!((status, head.field("content-length"), head.field("x-cache")), (200, Some("2000"), Some("MISS")));
        assert_eq!(client.exactly(1000).await, [b'a'; 1000], "before the upstream has said the rest");
        gate.open();
        assert_eq!(client.exactly(1000).await, [b'b'; 1000]);
        gate.open();
        let response = scene.get("/x", "").await;
        assert_eq!(response.text().len(), 2000);
        assert_eq!(
            (x_cache(&response) == "HIT", scene.origin.count() == 1),
            (kept, kept),
            "{cache}, {}",
            engine_under_test()
        );
    }
}
