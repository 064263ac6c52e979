//! Which answers may be kept (RFC 9111 §3).

use crate::cache::support::{Says, Scene, answer, assert_hit, good, lines, status_of, x_cache};

const ETAG: &str = "ETag: \"1\"";
const MINUTE: &str = "Cache-Control: max-age=60";

#[tokio::test]
async fn rfc_9111_3_an_answer_to_a_method_other_than_get_is_not_kept() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("Cache-Control: public, max-age=60"));
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
        let (path, before) = (scene.path(), scene.origin.count());
        for _ in 0..2 {
            let response = scene.send(method, &path, "Content-Length: 0").await;
            assert_eq!((response.status, x_cache(&response)), (200, "BYPASS"), "{method}");
            assert_eq!(status_of(&response).get("fwd"), Some("method"), "{method}");
        }
        let response = scene.get(&path, "").await;
        assert_eq!((x_cache(&response), scene.origin.count() - before), ("MISS", 3), "{method}");
    }
}

#[tokio::test]
async fn rfc_9111_3_an_answer_to_head_is_not_kept_as_one_to_get() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good(MINUTE));
    for count in 1..=2 {
        let response = scene.send("HEAD", "/x", "").await;
        assert_eq!((response.status, x_cache(&response), scene.origin.count()), (200, "MISS", count));
    }
    let response = scene.get("/x", "").await;
    assert_eq!((x_cache(&response), response.text(), scene.origin.count()), ("MISS", "good", 3));
    let response = scene.send("HEAD", "/x", "").await;
    assert_hit(&response, "HEAD after GET");
    assert_eq!((response.field("content-length"), response.text(), scene.origin.count()), (Some("4"), "", 3));
}

#[tokio::test]
async fn rfc_9111_3_every_final_status_is_kept_that_says_how_long() {
    let scene = Scene::start("{}").await;
    let known = (200..=205).chain([207, 208, 226]).chain(300..=303).chain([305, 307, 308]).chain(400..=417);
    let rest =
        [418, 421, 422, 423, 425, 426, 428, 429, 431, 451, 299, 399, 499].into_iter().chain(500..=511).chain([599]);
    for status in known.chain(rest) {
        // Those are about the connection to the upstream.
        if matches!(status, 205 | 407 | 408) {
            continue;
        }
        let body = if status == 204 { "" } else { "good" };
        let twice = scene.twice(answer(&format!("{status} Some"), MINUTE, body), "").await;
        twice.kept(&status.to_string());
        assert_eq!(twice.second.status, status);
    }
}

#[tokio::test]
async fn rfc_9111_3_statuses_that_may_be_kept_by_default_are_kept_to_be_validated() {
    let scene = Scene::start("{}").await;
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        let body = if status == 204 { "" } else { "good" };
        let twice = scene.twice(answer(&format!("{status} Some"), ETAG, body), "").await;
        twice.asked_again(&status.to_string());
        assert_eq!(scene.origin.last().head.field("if-none-match"), Some("\"1\""), "{status}");
    }
}

#[tokio::test]
async fn rfc_9111_3_another_status_is_kept_only_when_it_says_so() {
    let scene = Scene::start("{}").await;
    for status in [201, 202, 299, 302, 303, 307, 400, 401, 403, 409, 429, 451, 500, 502, 503, 504, 599] {
        let status = format!("{status} Some");
        scene.twice(answer(&status, ETAG, "good"), "").await.not_kept(&status);
        let old = format!("{ETAG}\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT");
        scene.twice(answer(&status, &old, "good"), "").await.not_kept(&status);
        let public = format!("{ETAG}\nCache-Control: public");
        scene.twice(answer(&status, &public, "good"), "").await.asked_again(&status);
    }
}

#[tokio::test]
async fn rfc_9111_3_what_says_nothing_at_all_is_not_kept() {
    let scene = Scene::start("{}").await;
    for fields in ["", "X-Some: thing", "Cache-Control: public", "Cache-Control: no-transform"] {
        scene.twice(good(fields), "").await.not_kept(fields);
    }
}

#[tokio::test]
async fn rfc_9111_3_a_part_and_a_304_are_not_kept_by_themselves() {
    let scene = Scene::start("{}").await;
    let part = answer("206 Partial Content", &format!("{MINUTE}\nContent-Range: bytes 0-3/10"), "good");
    scene.origin.says(part);
    scene.get("/part", "").await;
    scene.origin.says(good(MINUTE));
    let response = scene.get("/part", "").await;
    assert_eq!((response.status, x_cache(&response)), (200, "MISS"));

    scene.origin.says(answer("304 Not Modified", &format!("{MINUTE}\n{ETAG}"), ""));
    scene.get("/same", "").await;
    scene.origin.says(good(MINUTE));
    let response = scene.get("/same", "").await;
    assert_eq!((response.status, response.text()), (200, "good"));
    assert!(!status_of(&response).has("hit"));
}

#[tokio::test]
async fn rfc_9111_3_an_interim_answer_is_neither_kept_nor_given_again() {
    let scene = Scene::start("{}").await;
    let hints = format!(
        "HTTP/1.1 103 Early Hints\r\n{}\r\n",
        lines("Link: </a.css>; rel=preload\nCache-Control: max-age=1000")
    );
    let twice = scene.twice(hints + &good(MINUTE), "").await;
    twice.kept("103 before 200");
    assert!(twice.second.informational.is_empty());
    assert_eq!((twice.second.status, twice.second.field("link")), (200, None));
    assert_eq!(twice.second.field("cache-control"), Some("max-age=60"));
}

#[tokio::test]
async fn rfc_9111_3_no_store_of_the_answer_is_obeyed_however_it_is_written() {
    let scene = Scene::start("{}").await;
    for said in [
        "Cache-Control: no-store",
        "Cache-Control: NO-STORE, max-age=60",
        "Cache-Control: max-age=60, no-store",
        "Cache-Control: max-age=60,no-store",
        "Cache-Control: public\nCache-Control: max-age=60\nCache-Control: no-store",
        "Cache-Control: max-age=60, no-store=\"set-cookie\"",
        "Cache-Control: max-age=60, no-store=1",
        "Cache-Control: ,, ,no-store , max-age=60",
        "Cache-Control: max-age=60, x=\"a,b\", no-store",
        "Cache-Control: max-age=60, x=\"unclosed, no-store",
    ] {
        scene.twice(good(&format!("{ETAG}\n{said}")), "").await.not_kept(said);
    }
}

#[tokio::test]
async fn rfc_9111_3_no_store_inside_a_quoted_string_is_no_directive() {
    let scene = Scene::start("{}").await;
    for said in ["Cache-Control: x=\"no-store\", max-age=60", "Cache-Control: x=\"a, no-store, b\", max-age=60"] {
        scene.twice(good(said), "").await.kept(said);
    }
}

#[tokio::test]
async fn rfc_9111_5_2_1_5_no_store_of_the_request_is_obeyed() {
    let scene = Scene::start("{ ttl: 60s }").await;
    for asked in
        ["Cache-Control: no-store", "Cache-Control: max-age=60, No-Store", "Cache-Control: a\nCache-Control: no-store"]
    {
        scene.twice(good("Cache-Control: public, max-age=60"), asked).await.not_kept(asked);
    }
    // Nor is anything of it found by whoever asks next.
    let twice = scene.twice_with(good(MINUTE), "Cache-Control: no-store", "").await;
    assert_eq!((x_cache(&twice.second), twice.asked), ("MISS", 2));
}

#[tokio::test]
async fn rfc_9111_3_private_is_not_kept() {
    let scene = Scene::start("{ ttl: 60s }").await;
    for said in [
        "Cache-Control: private",
        "Cache-Control: private, max-age=60",
        "Cache-Control: max-age=60, s-maxage=60, PRIVATE",
        "Cache-Control: private=\"\", max-age=60",
        "Cache-Control: private=\"not a name\", max-age=60",
        "Cache-Control: public, private, max-age=60",
        "Cache-Control: private, community=\"UCI\", max-age=60",
    ] {
        scene.twice(good(&format!("{ETAG}\n{said}")), "").await.not_kept(said);
    }
}

#[tokio::test]
async fn rfc_9111_3_must_understand_is_for_statuses_that_are_understood() {
    let scene = Scene::start("{}").await;
    let said = "Cache-Control: max-age=60, must-understand, no-store";
    for status in ["200 OK", "404 Not Found", "410 Gone", "308 Moved"] {
        scene.twice(answer(status, said, "good"), "").await.kept(status);
    }
    for said in [said, "Cache-Control: max-age=60, must-understand"] {
        for status in ["299 Odd", "399 Odd", "499 Odd", "599 Odd"] {
            scene.twice(answer(status, said, "good"), "").await.not_kept(status);
        }
    }
}

#[tokio::test]
async fn rfc_9111_3_an_answer_in_chunks_or_until_the_end_of_its_connection_is_kept_whole() {
    let scene = Scene::start("{}").await;
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{MINUTE}\r\n{more}\r\n");
    let chunks = head("Transfer-Encoding: chunked\r\n") + "2\r\ngo\r\n2;x=y\r\nod\r\n0\r\nX-Sum: 1\r\n\r\n";
    let twice = scene.twice(chunks, "").await;
    twice.kept("chunks");
    assert_eq!((twice.second.text(), twice.second.field("content-length")), ("good", Some("4")));
    assert_eq!(twice.second.field("transfer-encoding"), None);

    let twice = scene.twice(Says::Cut((head("") + "until the end").into_bytes()), "").await;
    twice.kept("until the end of the connection");
    assert_eq!((twice.second.text(), twice.second.field("content-length")), ("until the end", Some("13")));
}
