//! The same over HTTP/2 and HTTP/1.0.

use bytes::Bytes;
use http::Request;

use crate::cache::support::{Says, Scene, answer, assert_hit, date, good, x_cache};
use crate::identity::scene::response;
use crate::support::client::Response;
use crate::support::h2_client::get;
use crate::support::{Gate, H2Client, within};

async fn ask(client: &mut H2Client, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(format!("http://api.test{target}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    response(client.send(request.body(()).unwrap(), &[]).await)
}

#[tokio::test]
async fn what_one_protocol_brought_is_given_to_the_other() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("Cache-Control: max-age=60\nX-Kept: 1\nConnection: x-hop\nX-Hop: 1"));
    let mut client = scene.h2().await;
    let first = ask(&mut client, "GET", "/x", &[]).await;
    assert_eq!((first.status, first.text(), x_cache(&first)), (200, "good", "MISS"));
    for second in [ask(&mut client, "GET", "/x", &[]).await, scene.get("/x", "").await] {
        assert_hit(&second, "the other protocol");
        assert_eq!((second.text(), second.field("content-length")), ("good", Some("4")));
        assert_eq!(
            (second.field("x-kept"), second.field("x-hop"), second.field("connection")),
            (Some("1"), None, None)
        );
    }
    scene.get("/y", "").await;
    assert_hit(&ask(&mut client, "GET", "/y", &[]).await, "from HTTP/1.1");
    assert_eq!(scene.origin.count(), 2);
}

#[tokio::test]
async fn an_answer_streams_over_http_2_while_it_comes() {
    let scene = Scene::start("{}").await;
    let gate = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
    let begin = format!("{head}5\r\nbegin\r\n").into_bytes();
    scene.origin.says(Says::Halves(begin, gate.clone(), b"4\r\nrest\r\n0\r\nX-Sum: 1\r\n\r\n".to_vec()));
    let mut client = scene.h2().await;
    let (response, _) = client.open(get("/x"), true).await.unwrap();
    let (head, mut body) = within("a head", response).await.unwrap().into_parts();
    assert_eq!((head.status.as_u16(), head.headers["x-cache"].to_str().unwrap()), (200, "MISS"));
    assert_eq!(within("the beginning", body.data()).await.unwrap().unwrap(), Bytes::from_static(b"begin"));
    gate.open();
    assert_eq!(within("the rest", body.data()).await.unwrap().unwrap(), Bytes::from_static(b"rest"));
    while let Some(more) = within("the end", body.data()).await {
        assert!(more.unwrap().is_empty());
    }
    let hit = ask(&mut client, "GET", "/x", &[]).await;
    assert_hit(&hit, "streamed");
    assert_eq!((hit.text(), hit.field("content-length"), scene.origin.count()), ("beginrest", Some("9"), 1));
}

#[tokio::test]
async fn conditions_and_head_are_answered_from_memory_over_http_2() {
    let scene = Scene::start("{}").await;
    let modified = date(-5000);
    scene.origin.says(good(&format!("ETag: \"1\"\nLast-Modified: {modified}\nCache-Control: max-age=60")));
    let mut client = scene.h2().await;
    ask(&mut client, "GET", "/x", &[]).await;
    for (name, value) in
        [("if-none-match", "\"1\""), ("if-none-match", "\"0\", W/\"1\""), ("if-modified-since", &modified)]
    {
        let same = ask(&mut client, "GET", "/x", &[(name, value)]).await;
        assert_eq!((same.status, same.text(), x_cache(&same), same.field("etag")), (304, "", "HIT", Some("\"1\"")));
    }
    let head = ask(&mut client, "HEAD", "/x", &[]).await;
    assert_hit(&head, "HEAD");
    assert_eq!((head.status, head.text(), head.field("content-length")), (200, "", Some("4")));
    assert_eq!(scene.origin.count(), 1);
}

#[tokio::test]
async fn directives_of_requests_count_over_http_2() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("ETag: \"1\"\nCache-Control: max-age=600\nAge: 100"));
    let mut client = scene.h2().await;
    ask(&mut client, "GET", "/x", &[]).await;
    for (value, asked) in [("max-age=10", 2), ("no-cache", 3), ("max-age=300", 3), ("only-if-cached", 3)] {
        let answered = ask(&mut client, "GET", "/x", &[("cache-control", value)]).await;
        assert_eq!((answered.status, scene.origin.count()), (200, asked), "{value}");
    }
    let missing = ask(&mut client, "GET", "/y", &[("cache-control", "only-if-cached")]).await;
    missing.refused(504, "ONLY_IF_CACHED");
}

#[tokio::test]
async fn what_must_not_be_kept_is_not_over_http_2() {
    let scene = Scene::start("{}").await;
    let mut client = scene.h2().await;
    for (said, asked) in [
        ("Cache-Control: no-store, max-age=60", ("x-some", "thing")),
        ("Cache-Control: private, max-age=60", ("x-some", "thing")),
        ("Cache-Control: max-age=60\nSet-Cookie: a=b", ("x-some", "thing")),
        ("Cache-Control: max-age=60", ("authorization", "Basic YW5uOmFubg==")),
        ("Cache-Control: max-age=60", ("cache-control", "no-store")),
    ] {
        scene.origin.says(good(said));
        let path = scene.path();
        for _ in 0..2 {
            let before = scene.origin.count();
            let response = ask(&mut client, "GET", &path, &[asked]).await;
            assert_eq!(
                (response.status, response.text(), scene.origin.count() - before),
                (200, "good", 1),
                "{said} {asked:?}"
            );
            assert_ne!(x_cache(&response), "HIT");
        }
    }
}

#[tokio::test]
async fn an_upstream_error_is_hidden_over_http_2() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("ETag: \"1\"\nCache-Control: max-age=60, stale-if-error=1000\nAge: 100"));
    let mut client = scene.h2().await;
    ask(&mut client, "GET", "/x", &[]).await;
    for failing in [answer("503 Unavailable", "", "bad").into(), Says::Cut(Vec::new())] {
        scene.origin.says(failing);
        let response = ask(&mut client, "GET", "/x", &[]).await;
        assert_eq!((response.status, response.text(), x_cache(&response)), (200, "good", "STALE"));
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_what_is_kept() {
    let scene = Scene::start("{}").await;
    let chunks =
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n";
    scene.origin.says(chunks);
    for expected in ["MISS", "HIT"] {
        let mut client = scene.gateway.client().await;
        client.send("GET /x HTTP/1.0\r\nHost: api.test\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!((response.status, response.text(), x_cache(&response)), (200, "good", expected));
        assert_eq!(response.field("transfer-encoding"), None);
        client.closed().await;
    }
    assert_eq!(scene.origin.count(), 1);
}
