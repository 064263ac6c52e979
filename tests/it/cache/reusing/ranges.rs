//! Parts of what is stored, and of what is coming (RFC 9110 section 14, sections 13.1.5 and 15.3.7).

use super::super::support::{Says, Scene, answer, assert_hit, date, x_cache};
use super::{FRESH, ask, page, store};
use crate::identity::scene::{BOTH, Version};
use crate::support::client::Response;
use crate::support::h2_client::response_of;
use crate::support::{Gate, eventually};

const BODY: &str = "abcdefghijklmnopqrstuvwxyz";

fn alphabet(fields: &str) -> String {
    page(&format!("{FRESH}\nContent-Type: text/x-alphabet\n{fields}"), BODY)
}

#[track_caller]
fn is_part(response: &Response, text: &str, range: &str, case: &str) {
    assert_eq!((response.status, response.text()), (206, text), "{case}");
    assert_eq!(response.field("content-range"), Some(range), "{case}");
    assert_eq!(response.field("content-length"), Some(&*text.len().to_string()), "{case}");
    assert_eq!(response.field("transfer-encoding"), None, "{case}");
}

#[track_caller]
fn is_whole(response: &Response, case: &str) {
    assert_eq!((response.status, response.text()), (200, BODY), "{case}");
    assert_eq!((response.field("content-range"), response.field("content-length")), (None, Some("26")), "{case}");
}

#[tokio::test]
async fn section_14_2_one_part_from_memory() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", alphabet("")).await;
    for version in BOTH {
        for (range, text, told) in [
            ("bytes=0-3", "abcd", "bytes 0-3/26"),
            ("bytes=4-4", "e", "bytes 4-4/26"),
            ("bytes=-5", "vwxyz", "bytes 21-25/26"),
            ("bytes=20-", "uvwxyz", "bytes 20-25/26"),
            ("bytes=20-100", "uvwxyz", "bytes 20-25/26"),
            ("bytes=0-99999999999999999999999", BODY, "bytes 0-25/26"),
            ("bytes=-100", BODY, "bytes 0-25/26"),
            ("BYTES=0-0", "a", "bytes 0-0/26"),
            // What is not there is left out.
            ("bytes=0-1, 30-40", "ab", "bytes 0-1/26"),
            // What touches or overlaps is one.
            ("bytes=0-3,4-5", "abcdef", "bytes 0-5/26"),
            ("bytes=2-5,0-3", "abcdef", "bytes 0-5/26"),
        ] {
            let response = ask(&scene, version, "GET", "/a", &format!("Range: {range}")).await;
            is_part(&response, text, told, range);
            assert_hit(&response, range);
            assert_eq!(response.field("content-type"), Some("text/x-alphabet"));
        }
    }
    assert_eq!(scene.origin.count(), 1);
}

#[tokio::test]
async fn section_15_3_7_2_several_parts_from_memory() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", alphabet("ETag: \"v1\"\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT")).await;
    for version in BOTH {
        for (range, expected) in [
            ("bytes=0-1,4-5", &[("bytes 0-1/26", "ab"), ("bytes 4-5/26", "ef")][..]),
            ("bytes=-2, 0-0", &[("bytes 24-25/26", "yz"), ("bytes 0-0/26", "a")]),
            (
                "bytes=0-0,2-2,4-4,10-",
                &[
                    ("bytes 0-0/26", "a"),
                    ("bytes 2-2/26", "c"),
                    ("bytes 4-4/26", "e"),
                    ("bytes 10-25/26", "klmnopqrstuvwxyz"),
                ],
            ),
        ] {
            let response = ask(&scene, version, "GET", "/a", &format!("Range: {range}")).await;
            assert_hit(&response, range);
            assert_eq!(response.status, 206, "{range}");
            assert_eq!(response.field("content-range"), None, "each part says where it is");
            assert_eq!(response.field("content-length"), Some(&*response.body.bytes.len().to_string()));
            assert_eq!(response.field("etag"), Some("\"v1\""));
            let told: Vec<(&str, &str)> = expected.to_vec();
            assert_eq!(parts(&response), told, "{range}");
        }
    }
}

/// Ranges and bytes of the parts of a multipart/byteranges, read strictly (RFC 9110 section 14.6, RFC 2046 section 5.1.1).
#[track_caller]
fn parts(response: &Response) -> Vec<(&str, &str)> {
    let kind = response.field("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap_or_else(|| panic!("{kind}"));
    assert!((1..=70).contains(&boundary.len()) && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = response.text().strip_prefix(&delimiter[2..]).expect("a delimiter at the beginning");
    let mut found = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix("--") {
            assert_eq!(end, "\r\n", "nothing behind the last delimiter");
            return found;
        }
        let (head, body) = rest.strip_prefix("\r\n").unwrap().split_once("\r\n\r\n").expect("a head of the part");
        let (bytes, after) = body.split_once(&delimiter).expect("a delimiter behind the part");
        let field = |name: &str| {
            let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
            lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        assert_eq!(field("content-type"), Some("text/x-alphabet"));
        found.push((field("content-range").expect("where the part is"), bytes));
        rest = after;
    }
}

#[tokio::test]
async fn section_14_2_parts_of_a_long_answer_are_those_bytes() {
    let scene = Scene::start("{ max_object: 8MiB }").await;
    let body: String = (0..1_000_000_u32).map(|number| format!("{number:06}")).collect();
    store(&scene, "/a", page(&format!("{FRESH}\nContent-Type: text/x-alphabet"), &body)).await;
    for version in BOTH {
        let whole = ask(&scene, version, "GET", "/a", "").await;
        assert!(whole.text() == body, "{version:?}: the whole");
        for (from, to) in [(0, 1), (262_143, 262_145), (262_144, 524_288), (100_000, 5_900_000), (5_999_999, 6_000_000)]
        {
            let response = ask(&scene, version, "GET", "/a", &format!("Range: bytes={from}-{}", to - 1)).await;
            let told = format!("bytes {from}-{}/6000000", to - 1);
            assert!(response.text() == &body[from..to], "{version:?} {told}");
            assert_eq!((response.status, response.field("content-range")), (206, Some(&*told)));
        }
        let several = ask(&scene, version, "GET", "/a", "Range: bytes=262140-262147,3-5,1000000-4000000").await;
        let expected = [&body[262_140..262_148], &body[3..6], &body[1_000_000..4_000_001]];
        assert!(parts(&several).into_iter().map(|(_, bytes)| bytes).eq(expected), "{version:?}: several");
    }
}

#[tokio::test]
async fn section_14_2_nothing_has_no_parts() {
    let scene = Scene::start("{}").await;
    store(&scene, "/empty", page(FRESH, "")).await;
    store(&scene, "/none", answer("204 No Content", FRESH, "")).await;
    for version in BOTH {
        for fields in ["", "Range: bytes=0-3", "Range: bytes=-1"] {
            let empty = ask(&scene, version, "GET", "/empty", fields).await;
            assert_eq!((empty.status, empty.text(), empty.field("content-length")), (200, "", Some("0")), "{fields}");
            let none = ask(&scene, version, "GET", "/none", fields).await;
            assert_eq!((none.status, none.text(), none.field("content-length")), (204, "", None), "{fields}");
        }
    }
}

#[tokio::test]
async fn section_15_5_17_what_is_not_there_is_416() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", alphabet("ETag: \"v1\"")).await;
    for version in BOTH {
        for range in ["bytes=26-", "bytes=100-200", "bytes=-0", "bytes=26-30,40-"] {
            let response = ask(&scene, version, "GET", "/a", &format!("Range: {range}")).await;
            assert_eq!((response.status, response.text()), (416, ""), "{range}");
            assert_eq!(response.field("content-range"), Some("bytes */26"), "{range}");
            for name in ["etag", "cache-control", "content-type", "expires"] {
                assert_eq!(response.field(name), None, "{range}: a 416 shows no representation: {name}");
            }
        }
    }
    let mut client = scene.gateway.client().await;
    let request = "GET /a HTTP/1.1\r\nHost: api.test\r\nRange: bytes=26-\r\n\r\n";
    assert_eq!(client.request(request).await.status, 416);
    is_whole(&client.get("/a").await, "the connection is in step");
}

#[tokio::test]
async fn section_14_2_what_is_no_range_does_not_count() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", alphabet("")).await;
    for version in BOTH {
        for range in [
            "items=0-3",
            "bytes=5-2",
            "bytes=",
            "bytes",
            "bytes=a-b",
            "bytes=0-3;",
            "bytes=--1",
            "bytes=0-1-2",
            "bytes=+1-2",
            "bytes 0-3",
            "bytes=0-3\nRange: bytes=5-6",
            // More than there is, or more parts than anybody needs (section 14.2, CVE-2011-3192).
            "bytes=0-,0-,0-",
            "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16",
        ] {
            is_whole(&ask(&scene, version, "GET", "/a", &format!("Range: {range}")).await, range);
        }
    }
}

#[tokio::test]
async fn section_14_2_a_range_counts_for_a_200_only() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", answer("404 Not Found", FRESH, BODY)).await;
    let response = scene.get("/a", "Range: bytes=0-3").await;
    assert_eq!((response.status, response.text(), response.field("content-range")), (404, BODY, None));
}

#[tokio::test]
async fn section_13_1_5_if_range_is_compared_strongly() {
    let scene = Scene::start("{}").await;
    let (modified, made) = (date(-3600), date(-10));
    store(&scene, "/strong", alphabet(&format!("ETag: \"v1\"\nLast-Modified: {modified}\nDate: {made}"))).await;
    store(&scene, "/weak", alphabet("ETag: W/\"v1\"")).await;
    store(&scene, "/same-second", alphabet(&format!("Last-Modified: {made}\nDate: {made}"))).await;
    store(&scene, "/none", alphabet("")).await;
    for version in BOTH {
        for (path, condition, holds) in [
            ("/strong", "\"v1\"", true),
            ("/strong", &*modified, true),
            ("/strong", "W/\"v1\"", false),
            ("/strong", "\"v2\"", false),
            ("/strong", "v1", false),
            ("/strong", "\"v1\", \"v1\"", false),
            ("/strong", "*", false),
            ("/strong", &*made, false),
            ("/weak", "W/\"v1\"", false),
            ("/weak", "\"v1\"", false),
            ("/same-second", &*made, false),
            ("/none", "\"v1\"", false),
        ] {
            let fields = format!("Range: bytes=0-3\nIf-Range: {condition}");
            let response = ask(&scene, version, "GET", path, &fields).await;
            let case = format!("{path} {condition}");
            assert_hit(&response, &case);
            if holds { is_part(&response, "abcd", "bytes 0-3/26", &case) } else { is_whole(&response, &case) }
        }
        let alone = ask(&scene, version, "GET", "/strong", "If-Range: \"v2\"").await;
        is_whole(&alone, "without a range it does not count");
        let beyond = ask(&scene, version, "GET", "/strong", "Range: bytes=99-\nIf-Range: \"v2\"").await;
        is_whole(&beyond, "a range that does not count is not wrong either");
    }
}

#[tokio::test]
async fn section_15_3_7_fields_of_a_part() {
    let scene = Scene::start("{}").await;
    let kept = "Content-Location: /b\nExpires: Thu, 01 Jan 1970 00:00:00 GMT\nVary: Accept\nETag: \"v1\"\nX-Own: own";
    let metadata = format!("Last-Modified: {}\nContent-Language: en", date(-3600));
    store(&scene, "/a", alphabet(&format!("{kept}\n{metadata}"))).await;
    for version in BOTH {
        let response = ask(&scene, version, "GET", "/a", "Range: bytes=0-3").await;
        for name in ["date", "cache-control", "etag", "expires", "content-location", "vary"] {
            assert!(response.field(name).is_some(), "{name}");
        }
        for name in ["last-modified", "content-language", "content-type"] {
            assert!(response.field(name).is_some(), "all that a 200 would have: {name}");
        }
        let response = ask(&scene, version, "GET", "/a", "Range: bytes=0-3\nIf-Range: \"v1\"").await;
        is_part(&response, "abcd", "bytes 0-3/26", "If-Range");
        for name in ["date", "cache-control", "etag", "expires", "content-location", "vary"] {
            assert!(response.field(name).is_some(), "with If-Range: {name}");
        }
    }
}

#[tokio::test]
async fn section_3_3_a_part_that_misses_asks_for_the_whole() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        for (range, text, told) in [("bytes=2-3", "cd", "bytes 2-3/26"), ("bytes=-2", "yz", "bytes 24-25/26")] {
            let path = scene.path();
            scene.origin.says(alphabet(""));
            let response = ask(&scene, version, "GET", &path, &format!("Range: {range}")).await;
            is_part(&response, text, told, range);
            assert_eq!(x_cache(&response), "MISS");
            assert_eq!(scene.origin.last().head.field("range"), None);
            // It was fetched to its end.
            let asked = scene.origin.count();
            is_whole(&ask(&scene, version, "GET", &path, "").await, "the whole");
            assert_eq!(scene.origin.count(), asked);
        }
    }
}

#[tokio::test]
async fn section_14_2_a_part_that_is_not_there_of_what_misses() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(alphabet(""));
        let response = ask(&scene, version, "GET", &path, "Range: bytes=26-").await;
        assert_eq!((response.status, response.field("content-range")), (416, Some("bytes */26")));
        is_whole(&ask(&scene, version, "GET", &path, "").await, "the whole is there all the same");
    }
}

#[tokio::test]
async fn section_14_2_of_an_unknown_length_the_whole_is_given() {
    let scene = Scene::start("{}").await;
    for version in BOTH {
        let path = scene.path();
        let chunks = format!("1a\r\n{BODY}\r\n0\r\n\r\n");
        scene.origin.says(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        let response = ask(&scene, version, "GET", &path, "Range: bytes=0-3").await;
        assert_eq!((response.status, response.text()), (200, BODY));
        let response = ask(&scene, version, "GET", &path, "Range: bytes=0-3").await;
        is_part(&response, "abcd", "bytes 0-3/26", "now the length is known");
        assert_hit(&response, "stored");
    }
}

#[tokio::test]
async fn section_14_2_a_part_while_the_answer_is_coming() {
    let scene = Scene::start("{}").await;
    let gate = Gate::closed();
    let whole = alphabet("");
    let (begin, rest) = whole.split_at(whole.len() - 13);
    scene.origin.says(Says::Halves(begin.into(), gate.clone(), rest.into()));
    let mut first = scene.gateway.client().await;
    first.send("GET /a HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!(first.response_head().await.0, 200);
    for version in BOTH {
        // The upstream has sent half of it, and says nothing more before they have their parts.
        let part = ask(&scene, version, "GET", "/a", "Range: bytes=2-5").await;
        is_part(&part, "cdef", "bytes 2-5/26", "from the first half");
        let beyond = ask(&scene, version, "GET", "/a", "Range: bytes=26-").await;
        assert_eq!(beyond.status, 416);
    }
    let mut h2 = scene.h2().await;
    let request = http::Request::get("http://api.test/a").header("range", "bytes=10-15").body(()).unwrap();
    let across = h2.open(request, true).await.unwrap().0;
    gate.open();
    assert_eq!(first.exactly(26).await, BODY.as_bytes());
    assert_eq!(response_of(across).await.unwrap().body, b"klmnop");
    assert_eq!(scene.origin.count(), 1);
}

#[tokio::test]
async fn section_14_2_the_first_that_asks_gets_its_part_as_it_comes() {
    let scene = Scene::start("{}").await;
    let gate = Gate::closed();
    let whole = alphabet("");
    let (begin, rest) = whole.split_at(whole.len() - 13);
    scene.origin.says(Says::Halves(begin.into(), gate.clone(), rest.into()));
    let mut client = scene.gateway.client().await;
    let request = "GET /a HTTP/1.1\r\nHost: api.test\r\nRange: bytes=0-3\r\n\r\n";
    is_part(&client.request(request).await, "abcd", "bytes 0-3/26", "the rest is not there yet");
    gate.open();
    is_whole(&client.get("/a").await, "and was fetched all the same");
    assert_eq!(scene.origin.count(), 1);
}

#[tokio::test]
async fn section_14_2_a_part_of_what_is_too_long_to_be_kept_is_asked_of_the_upstream() {
    let scene = Scene::start("{ max_object: 1KiB }").await;
    for version in BOTH {
        let path = scene.path();
        scene.origin.says(answer("206 Partial Content", "Content-Range: bytes 0-3/2048", "abcd"));
        scene.origin.says_next(page(FRESH, &"x".repeat(2048)));
        let asked = scene.origin.count();
        let response = ask(&scene, version, "GET", &path, "Range: bytes=0-3").await;
        is_part(&response, "abcd", "bytes 0-3/2048", "from the upstream");
        let requests = scene.origin.upstream.requests();
        assert_eq!((requests.len(), requests[asked + 1].head.field("range")), (asked + 2, Some("bytes=0-3")));
        // It is remembered that this is not kept: the next is forwarded at once.
        let again = ask(&scene, version, "GET", &path, "Range: bytes=0-3").await;
        assert_eq!((again.status, scene.origin.count()), (206, asked + 3));
        assert_eq!(scene.origin.last().head.field("range"), Some("bytes=0-3"));
    }
}

#[tokio::test]
async fn section_3_3_a_part_is_never_kept_for_the_whole() {
    let scene = Scene::start("{ max_object: 1KiB, ttl: 60s }").await;
    scene.origin.says(answer("206 Partial Content", &format!("{FRESH}\nContent-Range: bytes 0-3/26"), "abcd"));
    scene.origin.says_next(page(FRESH, &"x".repeat(2048)));
    assert_eq!(scene.get("/a", "Range: bytes=0-3").await.status, 206);
    scene.origin.says(alphabet(""));
    eventually("an answer that is whole", async || {
        (ask(&scene, Version::One, "GET", "/a", "").await.text() == BODY).then_some(())
    })
    .await;
}

#[tokio::test]
async fn section_15_3_7_2_several_parts_of_a_coded_representation_are_the_whole() {
    let scene = Scene::start("{}").await;
    store(&scene, "/a", alphabet("Content-Encoding: x-none")).await;
    is_whole(&scene.get("/a", "Range: bytes=0-1,4-5").await, "several");
    is_part(&scene.get("/a", "Range: bytes=0-1").await, "ab", "bytes 0-1/26", "one");
}
