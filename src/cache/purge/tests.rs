use super::*;
use crate::cache::store::tests::member;

fn tag(name: &str) -> Purge {
    Purge::Tag(name.into())
}

#[test]
fn a_purge_covers_its_group() {
    let stored = member("resource:scope", "orders", Some("acme"), &["a", "b"]);
    let covers = |purge: Purge| purge.covers(&stored.head);
    assert!(covers(Purge::All) && covers(tag("b")));
    assert!(covers(Purge::Route("orders".into())) && covers(Purge::Partner("acme".into())));
    assert!(covers(Purge::Resource(b"resource:"[..].into())));
    assert!(!covers(tag("orders")) && !covers(Purge::Partner("a".into())));
    assert!(!covers(Purge::Resource(b"scope"[..].into())));
}

#[test]
fn only_purges_since_then_count() {
    let (purges, stored) = (Purges::default(), member("key", "r", None, &["a"]));
    assert!(!purges.cover(&stored.head, Mark(0)));
    purges.note(&tag("a"));
    let since = purges.mark();
    purges.note(&tag("b"));
    assert!(purges.cover(&stored.head, Mark(0)));
    assert!(!purges.cover(&stored.head, since));
}

#[test]
fn what_is_older_than_all_that_is_remembered_is_purged() {
    let (purges, stored) = (Purges::default(), member("key", "r", None, &["a"]));
    let first = purges.mark();
    purges.note(&tag("b"));
    let second = purges.mark();
    (1..REMEMBERED).for_each(|_| purges.note(&tag("b")));
    assert!(!purges.cover(&stored.head, first));
    purges.note(&tag("b"));
    assert!(purges.cover(&stored.head, first));
    assert!(!purges.cover(&stored.head, second));
}

#[test]
fn few_long_names_are_remembered() {
    let (purges, long) = (Purges::default(), "x".repeat(REMEMBERED_BYTES / 4));
    (0..9).for_each(|_| purges.note(&tag(&long)));
    let last = purges.last();
    assert_eq!((last.purges.len(), last.bytes), (4, REMEMBERED_BYTES));
}
