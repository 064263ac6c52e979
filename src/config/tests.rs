use std::fmt::Write as _;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;

use super::checked::identity::Auth;
use super::checked::{AccessLogTarget, Engine, HostRewrite, Rewrite, RouteTarget, TemplatePart, UpstreamProtocol};
use super::report::Code;
use super::*;
use crate::route::ValueMatch;

const FULL: &str = include_str!("../../tests/fixtures/valid/routes-full.yaml");
const GATEWAY: &str = include_str!("../../tests/fixtures/valid/gateway-full.yaml");

fn routes(text: &str) -> Routes {
    let RoutesReading { routes, report } = read_routes(text, "routes.yaml");
    routes.unwrap_or_else(|| panic!("{report}"))
}

#[test]
fn everything_written_arrives() {
    let routes = routes(FULL);
    assert_eq!(routes.version.len(), 12);
    assert_eq!(routes.upstreams["orders"].endpoints[2].host.as_ref(), "fd00::1");
    assert_eq!(routes.upstreams["billing"].protocol, UpstreamProtocol::Auto);
    assert_eq!(routes.upstreams["billing"].tls.as_ref().unwrap().server_name.as_ref(), "billing.internal");
    let [read, billing, _, old, hello, _] = &routes.routes[..] else { panic!("six routes") };
    assert_eq!(read.matches.methods, [Method::GET, Method::HEAD]);
    assert_eq!(read.matches.headers[0].value, ValueMatch::Exact("2".into()));
    assert_eq!(read.matches.query[1].value, ValueMatch::Present);
    let action = read.action.as_ref().unwrap();
    assert!(matches!(action.auth, Auth::None));
    assert_eq!((action.engine, action.max_body), (Engine::Pingora, Some(1 << 20)));
    assert!(
        matches!(&action.target, RouteTarget::Forward { rewrite: Some(Rewrite::StripPrefix(prefix)), .. } if &**prefix == "/api")
    );
    assert!(
        matches!(&action.target, RouteTarget::Forward { host: HostRewrite::Set(host), .. } if host == "orders.internal:8080")
    );
    assert_eq!(action.places["rewrite"].line, 33);
    let action = billing.action.as_ref().unwrap();
    assert_eq!(action.max_body, None);
    let RouteTarget::Redirect { status, location } = &old.action.as_ref().unwrap().target else { panic!("a redirect") };
    assert_eq!((status.as_u16(), &location.0[2]), (308, &TemplatePart::Query));
    let RouteTarget::Respond { body, .. } = &hello.action.as_ref().unwrap().target else { panic!("an answer") };
    assert_eq!(&**body, b"{\"hello\": true}");
}

#[test]
fn what_is_not_written_comes_from_the_merge_then_the_defaults_then_the_constants() {
    let routes = routes(FULL);
    let timeouts = &routes.routes[0].action.as_ref().unwrap().timeouts;
    assert_eq!(timeouts.connect, Duration::from_secs(2));
    assert_eq!(timeouts.first_byte, Duration::from_secs(120));
    assert_eq!(timeouts.total, Some(Duration::from_secs(300)));
    let timeouts = &routes.routes[1].action.as_ref().unwrap().timeouts;
    assert_eq!((timeouts.connect, timeouts.idle), (Duration::from_millis(500), Duration::from_secs(60)));
    let timeouts = &routes.routes[2].action.as_ref().unwrap().timeouts;
    assert_eq!((timeouts.first_byte, timeouts.total), (Duration::from_secs(15), None));
}

#[test]
fn a_route_without_an_engine_has_that_of_the_defaults() {
    let engines = |defaults: &str| {
        let text = format!(
            "{defaults}{}",
            two_routes("{name: two, match: {path: /two}, auth: none, upstream: a, engine: direct}")
        );
        let routes = routes(&text);
        [0, 1].map(|index| routes.routes[index].action.as_ref().unwrap().engine)
    };
    assert_eq!(engines(""), [Engine::Auto, Engine::Direct]);
    assert_eq!(engines("defaults: {engine: pingora}\n"), [Engine::Pingora, Engine::Direct]);
}

#[test]
fn everything_of_a_bootstrap_arrives() {
    let bootstrap = read_bootstrap(GATEWAY, "/srv/gateway/gateway.yaml").unwrap();
    assert_eq!((bootstrap.threads, bootstrap.admin), (2, None));
    assert_eq!(bootstrap.routes, Path::new("/etc/sluice/routes.yaml"));
    let tls = bootstrap.listeners[0].tls.as_ref().unwrap();
    assert!(tls.tls13_only && !tls.http2);
    assert_eq!(tls.certificates[1].certificate, Path::new("/srv/gateway/certs/b.pem"));
    assert_eq!(bootstrap.listeners[0].proxy_protocol.as_ref().unwrap().len(), 2);
    assert_eq!(bootstrap.access_log.target, AccessLogTarget::File("/srv/gateway/logs/access.log".into()));
    assert_eq!(bootstrap.limits.head, 16 << 10);
}

#[test]
fn the_shipped_bootstrap_writes_the_defaults() {
    let shipped = read_bootstrap(DEFAULT_BOOTSTRAP, DEFAULT_BOOTSTRAP_FILE).unwrap();
    let least = "version: 1\nlisteners: [{name: http, address: \"127.0.0.1:8080\"}]\n";
    let least = read_bootstrap(least, DEFAULT_BOOTSTRAP_FILE).unwrap();
    let without_listeners = |mut bootstrap: Bootstrap| {
        bootstrap.listeners.clear();
        bootstrap.sandbox = None;
        // Only what is built in falls back to built-in routes.
        bootstrap.built_in_routes = false;
        format!("{bootstrap:?}")
    };
    assert_eq!(without_listeners(shipped), without_listeners(least));
}

fn two_routes(second: &str) -> String {
    format!(
        "version: 1\nupstreams: {{a: {{endpoints: [\"a:1\"]}}}}\nroutes:\n  \
         - {{name: one, match: {{path: /one}}, auth: none, upstream: a}}\n  - {second}\n"
    )
}

#[test]
fn a_mistake_closes_its_route_and_no_other() {
    for second in [
        "{name: two, match: {path: /two}, upstream: a}",
        "{match: {path: /two}, auth: none, upstream: a}",
        "{name: two, match: {path: /two}, auth: none, upstream: b}",
        "{name: two, match: {path: /two}, auth: none, upstream: a, max_bodi: 1B}",
        "{name: two, match: {path: /two}, auth: none, upstream: a, timeouts: {idle: 1}}",
    ] {
        let text = two_routes(second);
        let reading = read_routes(&text, "routes.yaml");
        let routes = reading.routes.unwrap_or_else(|| panic!("{second}"));
        assert!(!reading.report.is_ok());
        assert!(routes.routes[0].action.is_ok(), "{second}");
        let faults = routes.routes[1].action.as_ref().unwrap_err();
        assert!(faults.iter().all(|fault| fault.starts_with("routes.yaml:5:")), "{faults:?}");
        assert_eq!(routes.routes[1].matches.path.to_string(), "/two");
    }
}

#[test]
fn requests_of_an_unreadable_match_do_not_fall_through() {
    for second in [
        "{name: two, auth: none, upstream: a}",
        "{name: two, match: {path: two}, auth: none, upstream: a}",
        "{name: two, match: {path: /two, hosst: [x]}, auth: none, upstream: a}",
        "{name: two, match: {path: /two, methods: [get]}, auth: none, upstream: a}",
        "{name: two, match: {path: /two, headers: {x-a: {present: false}}}, auth: none, upstream: a}",
        "two",
    ] {
        let reading = read_routes(&two_routes(second), "routes.yaml");
        assert!(reading.routes.is_none() && !reading.report.is_ok(), "{second}");
    }
}

#[test]
fn a_mistake_of_an_upstream_closes_every_route_that_uses_it() {
    let text = "version: 1\nupstreams: {a: {endpoints: [\"a\"]}, b: {endpoints: [\"b:1\"]}}\nroutes:\n  \
                - {name: one, match: {path: /1}, auth: none, upstream: a}\n  \
                - {name: two, match: {path: /2}, auth: none, upstream: b}\n  \
                - {name: three, match: {path: /3}, auth: none, upstream: a}\n";
    let routes = routes(text);
    let closed: Vec<_> = routes.routes.iter().filter(|route| route.action.is_err()).map(|route| &*route.name).collect();
    assert_eq!(closed, ["one", "three"]);
    assert!(!routes.upstreams.contains_key("a"));
}

#[test]
fn a_tie_and_a_repeated_name_close_both_routes() {
    let tie = routes(&two_routes("{name: two, match: {path: /one}, auth: none, upstream: a}"));
    assert!(tie.routes.iter().all(|route| route.action.is_err()));
    let name = routes(&two_routes("{name: one, match: {path: /two}, auth: none, upstream: a}"));
    assert!(name.routes.iter().all(|route| route.action.is_err()));
}

#[test]
fn a_mistake_in_an_anchor_is_told_once_and_closes_every_route_that_has_it() {
    let text = include_str!("../../tests/fixtures/invalid/anchor-mistake-once.yaml");
    let reading = read_routes(text, "routes.yaml");
    assert_eq!(reading.report.errors().count(), 1);
    assert!(reading.routes.unwrap().routes.iter().all(|route| route.action.is_err()));
}

#[test]
fn aliases_cannot_make_a_small_file_large() {
    let endpoints: Vec<String> = (0..1500).map(|index| format!("\"h{index}:1\"")).collect();
    let mut text = format!("version: 1\nx-all: &all [{}]\nupstreams:\n", endpoints.join(", "));
    for index in 0..1500 {
        writeln!(text, "  u{index}: {{endpoints: *all}}").unwrap();
    }
    text.push_str("routes: [{name: last, match: {path: /}, auth: none, upstream: u1499}]\n");
    let reading = read_routes(&text, "routes.yaml");
    assert_eq!(reading.report.errors().map(|error| error.code).collect::<Vec<_>>(), [Code::YamlLimit]);
    assert!(reading.routes.unwrap().routes[0].action.is_err(), "what could not be read must not count as sound");
}

#[test]
fn merges_that_go_in_circles_end() {
    for text in ["&a {<<: *a}", "&a [*a]", "{x-a: &a {<<: *a}, routes: *a}", "{routes: &a [*a, {<<: *a}]}"] {
        assert!(read_routes(text, "routes.yaml").routes.is_none());
    }
}

/// Not a measurement: it ends in a second where a quadratic step would take minutes.
#[test]
fn five_thousand_routes_and_upstreams() {
    let mut text = String::from("version: 1\nupstreams:\n");
    for index in 0..5_000 {
        writeln!(text, "  up-{index}: {{endpoints: [\"h{index}:80\"]}}").unwrap();
    }
    text.push_str("routes:\n");
    for index in 0..5_000 {
        writeln!(text, "  - name: route-{index}\n    match: {{hosts: [h{index}.example.com], path: \"/api/{{id}}\"}}")
            .unwrap();
        writeln!(text, "    auth: none\n    upstream: up-{index}\n    request_headers: {{set: {{x-a: \"1\"}}}}")
            .unwrap();
    }
    let sound = routes(&text);
    assert!(sound.routes.len() == 5_000 && sound.routes.iter().all(|route| route.action.is_ok()));
    let reading = read_routes(&text.replace("auth: none", "auth: nobody"), "routes.yaml");
    assert_eq!(reading.report.errors().count(), 5_000);
    assert!(reading.report.render_text(false).contains("… and 4900 more"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_mistakes() {
    let text = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(routes(&text).routes.len(), 6);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let fixtures = prop::sample::select(vec![FULL.as_bytes(), GATEWAY.as_bytes(), DEFAULT_BOOTSTRAP.as_bytes()]);
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        "\n",
        "  ",
        "- ",
        "*a",
        "&a ",
        "<<: *slow",
        "!!str ",
        "\"",
        "é",
        "\u{1f600}",
        "#",
        "|",
        "\t",
        "~",
        "${",
        "?",
        "---",
        "\u{85}",
        "\0",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..12_usize, pieces);
    (fixtures, prop::collection::vec(edit, 1..8)).prop_map(|(fixture, edits)| {
        let mut bytes = fixture.to_vec();
        for (at, cut, piece) in edits {
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_routes(&bytes);
    }

    #[test]
    fn any_yaml_like_text_is_read_without_panic(text in "[a-z:\\[\\]{}&*!|>'\"#%@` \n\t,?<-]{0,200}") {
        fuzz_routes(text.as_bytes());
    }

    #[test]
    fn damaged_files_are_read_without_panic(bytes in mutated()) {
        fuzz_routes(&bytes);
        if let Err(report) = read_bootstrap(&String::from_utf8_lossy(&bytes), "gateway.yaml") {
            prop_assert!(!report.is_ok());
            let _ = report.render_text(false);
        }
    }
}
