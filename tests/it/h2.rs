//! HTTP/2 clients: by prior knowledge, by ALPN, many streams at once, and their ends.

use bytes::Bytes;

use crate::support::h2_client::{get, post, response_of};
use crate::support::{Authority, Client, Gate, H2Client, TestGateway, Upstream, eventually, forward_all, ok, within};

async fn h2c(routes: &str) -> TestGateway {
    TestGateway::build().listener("h2c", "h2c: true").start(routes).await
}

#[tokio::test]
async fn an_h2c_listener_serves_both_versions() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let response = H2Client::connect(gateway.address()).await.get("/a?b").await;
    assert_eq!((response.status.as_u16(), &response.json()["target"]), (200, &"/a?b".into()));
    assert_eq!(gateway.get("/c").await.echo().target, "/c");
    let logged = gateway.access_log(2).await;
    assert_eq!((&logged[0]["protocol"], &logged[1]["protocol"]), (&"HTTP/2".into(), &"HTTP/1.1".into()));
}

#[tokio::test]
async fn the_preface_on_a_listener_without_h2c_is_refused() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    let response = client.request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    response.refused(505, "VERSION_UNSUPPORTED");
}

#[tokio::test]
async fn alpn_decides_on_a_tls_listener() {
    let upstream = Upstream::echo();
    let authority = Authority::new("known");
    let issued = authority.issue(&["api.test"]);
    let gateway = TestGateway::build()
        .tls_listener("both", &[&issued], "http2: true", "")
        .tls_listener("one", &[&issued], "http2: false", "")
        .start(&forward_all(upstream.address()))
        .await;
    let mut h2 = H2Client::tls(gateway.listener("both"), "api.test", authority.client(&["h2", "http/1.1"])).await;
    let response = h2.get("/").await;
    let fields = response.json()["fields"].to_string();
    assert!(
        fields.contains(r#"["x-forwarded-proto","https"]"#) || fields.contains(r#"["X-Forwarded-Proto","https"]"#),
        "{fields}"
    );
    for (listener, offered) in [("both", &["http/1.1"][..]), ("both", &[]), ("one", &["h2", "http/1.1"])] {
        let mut h1 = Client::tls(gateway.listener(listener), "api.test", authority.client(offered)).await.unwrap();
        assert_eq!(h1.get("/").await.status, 200, "{listener} {offered:?}");
    }
}

#[tokio::test]
async fn the_authority_becomes_the_host() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    H2Client::connect(gateway.address()).await.get("/").await;
    assert_eq!(upstream.requests()[0].head.field("host"), Some("api.test"));
}

#[tokio::test]
async fn streams_are_served_at_the_same_time() {
    let (all_here, count) = (Gate::closed(), 20);
    let step = all_here.clone();
    let upstream = Upstream::scripted(move |mut conn| {
        let step = step.clone();
        async move {
            while conn.request().await?.is_some() {
                step.pass().await;
                conn.send(ok("together")).await?;
            }
            Ok(())
        }
    });
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let mut responses = Vec::new();
    for index in 0..count {
        responses.push(client.open(get(&format!("/{index}")), true).await.unwrap().0);
    }
    upstream.request(count).await;
    (0..count).for_each(|_| all_here.open());
    for response in responses {
        assert_eq!(response_of(response).await.unwrap().body, b"together");
    }
}

#[tokio::test]
async fn refusals_are_the_same_over_h2() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    client.get("/a%2Fb").await.refused(400, "PATH_INVALID");
    assert_eq!(client.get("//a/./b").await.json()["target"], "/a/b");
    drop(upstream);
    client.get("/").await.refused(502, "UPSTREAM_CONNECT");
}

#[tokio::test]
async fn a_stream_that_the_client_resets_lets_the_upstream_go() {
    let (arrived, gone) = (Gate::closed(), Gate::closed());
    let gates = (arrived.clone(), gone.clone());
    let upstream = Upstream::scripted(move |mut conn| {
        let (arrived, gone) = gates.clone();
        async move {
            while let Some(request) = conn.request().await? {
                if request.target == "/slow" {
                    arrived.open();
                    let ended = conn.stall().await;
                    gone.open();
                    return ended;
                }
                conn.send(ok("")).await?;
            }
            Ok(())
        }
    });
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, mut stream) = client.open(get("/slow"), true).await.unwrap();
    within("the request arrives", arrived.pass()).await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    within("the upstream is let go", gone.pass()).await;
    gateway.logged_reason("CLIENT_CLOSED").await;
    assert_eq!(client.get("/other").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_away() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .set("deadlines", "{ keep_alive: 150ms, head: 30s, body: 30s }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = H2Client::connect(gateway.address()).await;
    assert_eq!(client.get("/").await.status, 200);
    let _ended = client.ended().await;
    assert_eq!(client.goaways().last().map(|goaway| goaway.code), Some(0), "NO_ERROR");
}

#[tokio::test]
async fn a_connection_that_never_opens_a_stream_is_closed() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .set("deadlines", "{ keep_alive: 150ms, head: 150ms }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = H2Client::connect(gateway.address()).await;
    let _ended = client.ended().await;
}

#[tokio::test]
async fn an_h2_upload_that_stops_coming_ends() {
    let upstream = Upstream::scripted(|mut conn| async move {
        conn.head().await?;
        conn.stall().await
    });
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .set("deadlines", "{ body: 150ms }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = H2Client::connect(gateway.address()).await;
    let (response, mut body) = client.open(post("/"), false).await.unwrap();
    body.send_data(Bytes::from_static(b"abc"), false).unwrap();
    response_of(response).await.unwrap().refused(408, "BODY_TIMEOUT");
}

#[tokio::test]
async fn a_large_answer_crosses_the_windows() {
    let body = "0123456789abcdef".repeat(1 << 18);
    let upstream = Upstream::answering(ok(&body));
    let gateway = h2c(&forward_all(upstream.address())).await;
    let response = H2Client::connect(gateway.address()).await.get("/").await;
    assert!(response.body == body.as_bytes());
}

#[tokio::test]
async fn cookie_crumbs_arrive_as_one_field() {
    let upstream = Upstream::echo();
    let gateway = h2c(&forward_all(upstream.address())).await;
    let mut request = get("/");
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    let mut client = H2Client::connect(gateway.address()).await;
    client.send(request, &[]).await;
    assert_eq!(upstream.requests()[0].head.field("cookie"), Some("a=1; b=2"), "RFC 9113 section 8.2.3");
}

#[tokio::test]
async fn fields_that_are_too_large_are_refused_over_h2_too() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::build()
        .listener("h2c", "h2c: true")
        .set("limits", "{ head: 4KiB, fields: 20, target: 1KiB }")
        .start(&forward_all(upstream.address()))
        .await;
    let mut client = H2Client::connect(gateway.address()).await;
    client.get(&format!("/{}", "a".repeat(1_500))).await.refused(414, "URI_TOO_LONG");
    let mut request = get("/");
    request.headers_mut().insert("x-large", "x".repeat(5_000).parse().unwrap());
    // The library of the server may answer by itself, without a body.
    assert_eq!(client.send(request, &[]).await.status, 431);
    assert_eq!(client.get("/").await.status, 200);
    eventually("nothing large arrived", async || (upstream.requests().len() == 1).then_some(())).await;
}
