use http::HeaderValue;

use super::*;

#[test]
fn what_is_for_one_connection_or_about_a_body_does_not_go_on() {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, x-own"),
        ("x-own", "1"),
        ("keep-alive", "5"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic a"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("content-length", "3"),
        ("host", "a.test"),
        ("accept", "text/html"),
        ("authorization", "Bearer a"),
        ("if-none-match", "\"a\""),
    ] {
        fields.append(name, HeaderValue::from_static(value));
    }
    drop_hop_by_hop(&mut fields);
    let mut left: Vec<_> = fields.keys().map(http::HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["accept", "authorization", "if-none-match"]);
}
