use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Groups, MAX_TAG, MAX_TAGS, storable_groups};

fn tags(of_route: &[&str], lines: &[(&'static str, &str)]) -> Vec<String> {
    let groups = Groups {
        route: "route".into(),
        partner: Some("partner".into()),
        tags: of_route.iter().map(|tag| (*tag).into()).collect(),
    };
    let field =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    let fields: HeaderMap = lines.iter().map(field).collect();
    let groups = storable_groups(&groups, &fields);
    assert_eq!((&*groups.route, groups.partner.as_deref()), ("route", Some("partner")));
    groups.tags.iter().map(|tag| (**tag).to_owned()).collect()
}

#[test]
fn an_answer_has_the_tags_of_its_route_and_of_its_upstream() {
    assert_eq!(tags(&["route"], &[]), ["route"]);
    let lines =
        [("cache-tag", "a, b c,, a"), ("cache-tag", "d"), ("surrogate-key", " e  f\ta "), ("surrogate-key", "route")];
    assert_eq!(tags(&["route"], &lines), ["route", "a", "b c", "d", "e", "f"]);
    assert_eq!(tags(&[], &[("cache-tag", "\u{e4}, A, a")]), ["\u{e4}", "A", "a"]);
}

#[test]
fn tags_of_an_upstream_are_bounded() {
    let many = (0..1000).map(|at| at.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(tags(&["of", "route"], &[("surrogate-key", &many)]).len(), 2 + MAX_TAGS);
    let (longest, longer) = ("x".repeat(MAX_TAG), "y".repeat(MAX_TAG + 1));
    assert_eq!(tags(&[], &[("cache-tag", &format!("{longer}, {longest}"))]), [longest]);
}
