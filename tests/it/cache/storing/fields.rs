//! Which fields are kept (RFC 9111 §3.1, §3.2), and which are for the first client alone.

use crate::cache::support::{Says, Scene, answer, assert_hit, good, status_of, x_cache};

const HOP: [&str; 8] = [
    "Keep-Alive: timeout=5",
    "Proxy-Authenticate: Basic",
    "Proxy-Authentication-Info: a=b",
    "Proxy-Authorization: Basic eDp5",
    "Proxy-Connection: keep-alive",
    "TE: trailers",
    "X-Hop: 1",
    "X-Other-Hop: 2",
];

fn name_of(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

#[tokio::test]
async fn rfc_9111_3_1_all_fields_are_kept_in_their_order_and_as_they_were() {
    let scene = Scene::start("{}").await;
    let said = [
        ("date", "Tue, 15 Nov 1994 08:12:31 GMT"),
        ("cache-control", "max-age=60"),
        ("cache-control", "public, s-maxage=2000000000"),
        ("x-unknown", "first"),
        ("x-between", "\"q, q\""),
        ("x-unknown", "second"),
        ("x-empty", ""),
        ("etag", "W/\"1\""),
        ("last-modified", "not a date"),
        ("warning", "110 - \"stale\""),
        ("content-type", "text/plain; charset=utf-8"),
        ("content-language", "de, en"),
        ("server", "origin"),
        ("link", "</x>; rel=next"),
    ];
    let fields: String = said.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let twice = scene.twice(good(&fields), "").await;
    twice.kept("all fields");
    for response in [&twice.first, &twice.second] {
        for (name, _) in said {
            let expected: Vec<_> = said.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value).collect();
            assert_eq!(response.head.all(name), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn rfc_9111_3_1_fields_of_one_hop_are_not_kept() {
    let scene = Scene::start("{}").await;
    let hop = HOP.join("\n");
    let said =
        format!("Cache-Control: max-age=60\nX-Kept: 1\n{hop}\nConnection: X-Hop, close\nConnection: x-OTHER-hop");
    let twice = scene.twice(Says::Cut(good(&said).into_bytes()), "").await;
    twice.kept("fields of one hop");
    for response in [&twice.first, &twice.second] {
        assert_eq!(response.field("x-kept"), Some("1"));
        for line in HOP {
            assert_eq!(response.field(name_of(line)), None, "{line}");
        }
        assert!(!response.head.all("connection").iter().any(|value| value.contains("op")), "{:?}", response.head);
    }
}

#[tokio::test]
async fn rfc_9111_3_1_upgrade_is_not_kept() {
    let scene = Scene::start("{}").await;
    let twice = scene.twice(good("Cache-Control: max-age=60\nUpgrade: h2c\nConnection: upgrade"), "").await;
    twice.kept("Upgrade");
    assert_eq!((twice.second.field("upgrade"), twice.second.head.all("connection").len()), (None, 0));
}

#[tokio::test]
async fn rfc_9111_3_2_a_304_replaces_the_fields_that_it_has() {
    let scene = Scene::start("{}").await;
    scene.origin.says_next(good(
        "ETag: \"1\"\nCache-Control: max-age=60\nAge: 100\nX-Old: old\nX-Same: same\nX-Many: a\nX-Many: b",
    ));
    let hop = HOP.join("\n");
    let newer = format!(
        "ETag: \"1\"\nCache-Control: max-age=600\nX-Old: new\nX-New: new\nX-Many: c\n{hop}\nConnection: x-hop, x-other-hop"
    );
    scene.origin.says_next(answer("304 Not Modified", &newer, ""));
    assert_eq!(x_cache(&scene.get("/x", "").await), "MISS");
    let confirmed = scene.get("/x", "").await;
    assert_eq!((x_cache(&confirmed), confirmed.status), ("REVALIDATED", 200));
    let hit = scene.get("/x", "").await;
    assert_hit(&hit, "after the 304");
    assert_eq!(scene.origin.count(), 2);
    for response in [&confirmed, &hit] {
        assert_eq!(response.text(), "good");
        let fields = ["x-old", "x-same", "x-new", "cache-control", "content-length"].map(|name| response.field(name));
        assert_eq!(fields, [Some("new"), Some("same"), Some("new"), Some("max-age=600"), Some("4")]);
        assert_eq!(response.head.all("x-many"), ["c"]);
        for line in HOP {
            assert_eq!(response.field(name_of(line)), None, "{line}");
        }
    }
}

#[tokio::test]
async fn rfc_9111_3_2_a_304_with_another_length_does_not_change_the_length() {
    let scene = Scene::start("{}").await;
    scene.origin.says_next(good("ETag: \"1\"\nCache-Control: no-cache"));
    scene.origin.says("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 1000\r\n\r\n");
    scene.get("/x", "").await;
    for _ in 0..2 {
        let response = scene.get("/x", "").await;
        assert_eq!(
            (x_cache(&response), response.field("content-length"), response.text()),
            ("REVALIDATED", Some("4"), "good")
        );
    }
}

#[tokio::test]
async fn an_answer_that_sets_a_cookie_is_for_the_one_that_asked() {
    for cache in ["{}", "{ ttl: 60s }", "{ ttl: { default: 60s, mode: override }, shared: true }"] {
        let scene = Scene::start(cache).await;
        for said in ["Cache-Control: max-age=60", "Cache-Control: public, s-maxage=60", ""] {
            let twice = scene.twice(good(&format!("{said}\nSet-Cookie: id=1")), "").await;
            twice.not_kept(&format!("{cache} {said}"));
            assert_eq!(
                (twice.first.field("set-cookie"), twice.second.field("set-cookie")),
                (Some("id=1"), Some("id=1"))
            );
        }
    }
}

#[tokio::test]
async fn rfc_9111_5_2_2_fields_that_no_cache_and_private_name_are_for_the_first_client_alone() {
    let scene = Scene::start("{}").await;
    let named = "Set-Cookie: id=1\nSet-Cookie: id=2\nX-Named: 1\nX-Kept: 2";
    for said in [
        "Cache-Control: max-age=60, no-cache=\"set-cookie, X-Named\"",
        "Cache-Control: max-age=60, private=\"Set-Cookie,x-named\"",
        "Cache-Control: max-age=60, no-cache=\"set-cookie\", private=\"x-named\"",
        "Cache-Control: max-age=60, No-Cache=\"x-named\"\nCache-Control: no-cache=\"set-cookie\"",
    ] {
        let twice = scene.twice(good(&format!("{said}\n{named}")), "").await;
        twice.kept(said);
        assert_eq!(twice.first.head.all("set-cookie"), ["id=1", "id=2"], "{said}");
        assert_eq!((twice.first.field("x-named"), twice.first.field("x-kept")), (Some("1"), Some("2")), "{said}");
        assert!(twice.second.head.all("set-cookie").is_empty(), "{said}");
        assert_eq!((twice.second.field("x-named"), twice.second.field("x-kept")), (None, Some("2")), "{said}");
    }
}

#[tokio::test]
async fn names_that_frame_a_message_do_not_frame_it_twice() {
    let scene = Scene::start("{}").await;
    let named =
        "Cache-Control: max-age=60, no-cache=\"connection, transfer-encoding, content-length, x-hop, keep-alive\"";
    let head = format!("HTTP/1.1 200 OK\r\n{named}\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nConnection: x-hop\r\n");
    let twice = scene.twice(format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n"), "").await;
    twice.kept("chunked");
    for response in [&twice.first, &twice.second] {
        assert_eq!(
            (response.field("x-hop"), response.field("keep-alive"), response.field("connection")),
            (None, None, None)
        );
    }
    let twice = scene.twice(format!("{head}Content-Length: 4\r\n\r\ngood"), "").await;
    twice.kept("with a length");
    for response in [&twice.first, &twice.second] {
        assert_eq!((response.field("x-hop"), response.field("content-length")), (None, Some("4")));
    }
    let mut h2 = scene.h2().await;
    scene.origin.says(format!("{head}Content-Length: 4\r\n\r\ngood"));
    let path = scene.path();
    for _ in 0..2 {
        let response = h2.get(&path).await;
        assert_eq!((response.status.as_u16(), &*response.body, response.field("x-hop")), (200, &b"good"[..], None));
    }
}

#[tokio::test]
async fn edits_of_the_route_are_made_whenever_an_answer_is_given() {
    let keys =
        "auth: none, cache: {}, response_headers: { set: { X-Set: here }, remove: [X-Origin], add: { X-Added: more } }";
    let scene = Scene::with_route(keys).await;
    let twice = scene.twice(good("Cache-Control: max-age=60\nX-Origin: 1\nX-Set: there\nX-Added: first"), "").await;
    twice.kept("edits");
    for response in [&twice.first, &twice.second] {
        assert_eq!((response.field("x-set"), response.field("x-origin")), (Some("here"), None));
        assert_eq!(response.head.all("x-added"), ["first", "more"]);
        assert_eq!(response.head.all("via").len(), 1);
    }
    assert_ne!(twice.first.field("x-request-id"), twice.second.field("x-request-id"));
    assert!(status_of(&twice.second).has("hit"));
}
