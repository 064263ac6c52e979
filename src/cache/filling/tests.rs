use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Groups, MAX_TAG, MAX_TAGS, NotStored, storable_groups};

fn tags(of_route: &[&str], lines: &[(&'static str, &str)]) -> Result<Vec<String>, NotStored> {
    let groups = Groups {
        route: "route".into(),
        partner: Some("partner".into()),
        tags: of_route.iter().map(|tag| (*tag).into()).collect(),
    };
    let field =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    let fields: HeaderMap = lines.iter().map(field).collect();
    let groups = storable_groups(&groups, &fields)?;
    assert_eq!((&*groups.route, groups.partner.as_deref()), ("route", Some("partner")));
    Ok(groups.tags.iter().map(|tag| (**tag).to_owned()).collect())
}

#[test]
fn an_answer_has_the_tags_of_its_route_and_of_its_upstream() {
    assert_eq!(tags(&["route"], &[]).unwrap(), ["route"]);
    let lines =
        [("cache-tag", "a, b c,, a"), ("cache-tag", "d"), ("surrogate-key", " e  f\ta "), ("surrogate-key", "route")];
    assert_eq!(tags(&["route"], &lines).unwrap(), ["route", "a", "b c", "d", "e", "f"]);
    assert_eq!(tags(&[], &[("cache-tag", "\u{e4}, A, a")]).unwrap(), ["\u{e4}", "A", "a"]);
}

#[test]
fn what_has_more_tags_or_longer_ones_than_can_be_purged_by_is_not_kept() {
    let many = |count: usize| (0..count).map(|at| at.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(tags(&["of", "route"], &[("surrogate-key", &many(MAX_TAGS))]).unwrap().len(), 2 + MAX_TAGS);
    assert_eq!(tags(&[], &[("surrogate-key", &many(MAX_TAGS + 1))]), Err(NotStored::Tags));
    assert_eq!(tags(&[], &[("cache-tag", &"x".repeat(MAX_TAG))]).unwrap().len(), 1);
    assert_eq!(tags(&[], &[("cache-tag", &"x".repeat(MAX_TAG + 1))]), Err(NotStored::Tags));
}
