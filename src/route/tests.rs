//! Rules and requests for the tests of this room, and its properties on generated input.

use http::{HeaderName, Method};
use proptest::prelude::*;

use super::{Example, FieldMatch, PathPattern, RouteMatch, ValueMatch, properties};
use crate::base::host_pattern::HostPattern;

/// Hosts and methods separated by commas; no method is every method.
pub(super) fn rule(hosts: &str, path: &str, methods: &str) -> RouteMatch {
    RouteMatch {
        hosts: hosts.split(',').map(|host| HostPattern::parse(host).unwrap()).collect(),
        path: PathPattern::parse(path).unwrap(),
        methods: methods.split(',').filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect(),
        headers: Vec::new(),
        query: Vec::new(),
    }
}

fn value(text: Option<&str>) -> ValueMatch {
    text.map_or(ValueMatch::Present, |text| ValueMatch::Exact(text.into()))
}

pub(super) fn with_header(mut rule: RouteMatch, name: &str, wanted: Option<&str>) -> RouteMatch {
    rule.headers.push(FieldMatch { name: name.parse::<HeaderName>().unwrap(), value: value(wanted) });
    rule
}

pub(super) fn with_query(mut rule: RouteMatch, name: &str, wanted: Option<&str>) -> RouteMatch {
    rule.query.push(FieldMatch { name: name.into(), value: value(wanted) });
    rule
}

pub(super) fn get(host: &str, path: &str) -> Example {
    Example { method: Method::GET, host: host.into(), path: path.into(), headers: Vec::new(), query: None }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_a_path(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
        properties::path(&raw);
    }

    #[test]
    fn pieces_of_paths(pieces in proptest::collection::vec(prop::sample::select(properties::PATH_PIECES), 0..12)) {
        properties::path(format!("/{}", pieces.concat()).as_bytes());
    }

    #[test]
    fn any_text_as_a_host(text in "\\PC{0,20}|[a-cA-C.*:\\[\\]-]{0,12}") {
        properties::host(text.as_bytes());
    }

    #[test]
    fn the_table_answers_as_a_linear_scan_does(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        properties::route_table(&data);
    }
}
