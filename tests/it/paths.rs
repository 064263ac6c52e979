//! One reading of a path: what was matched is what is forwarded.

use crate::support::gateway::{NONE, routes};
use crate::support::{TestGateway, Upstream, forward_all, forward_with};

#[tokio::test]
async fn the_path_goes_out_in_normal_form() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    let mut client = gateway.client().await;
    for (sent, forwarded) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("//a///b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/x/../b", "/a/b"),
        ("/a/x/%2e%2E/b", "/a/b"),
        ("/%61/%62", "/a/b"),
        ("/%7Eme", "/~me"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a/b?to=../x//y&p=%2e", "/a/b?to=../x//y&p=%2e"),
    ] {
        assert_eq!(client.get(sent).await.echo().target, forwarded, "{sent}");
    }
}

#[tokio::test]
async fn a_path_with_two_readings_is_refused() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_all(upstream.address())).await;
    for sent in ["/a%2Fb", "/a%2fb", "/a%5Cb", "/a%00b", "/a%", "/a%2", "/a%zz", "/../a", "/a/../../b", "/%2e%2e/a"] {
        gateway.get(sent).await.refused(400, "PATH_INVALID");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn an_encoded_slash_passes_where_the_route_allows_it() {
    let upstream = Upstream::echo();
    let gateway = TestGateway::start(&forward_with(upstream.address(), "", "allow_encoded_slash: true")).await;
    assert_eq!(gateway.get("/files/a%2Fb/c").await.echo().target, "/files/a%2Fb/c");
    assert_eq!(gateway.get("/files/a%5cb").await.echo().target, "/files/a%5Cb");
    gateway.get("/files/a%zz").await.refused(400, "PATH_INVALID");
}

#[tokio::test]
async fn no_spelling_dodges_a_route() {
    let answer = |name: &str, path: &str| {
        format!(
            r#"{{ name: {name}, match: {{ path: "{path}" }}, auth: none, respond: {{ status: 200, body: {name} }} }}"#
        )
    };
    let gateway =
        TestGateway::start(&routes(&NONE, &[answer("closed", "/admin/{rest...}"), answer("open", "/{rest...}")])).await;
    let mut client = gateway.client().await;
    for target in
        ["/admin/x", "//admin/x", "/./admin/x", "/open/../admin/x", "/%61dmin/x", "/open/%2e%2e/admin/x", "/admin"]
    {
        assert_eq!(client.get(target).await.text(), "closed", "{target}");
    }
    assert_eq!(client.get("/adminx").await.text(), "open");
}
