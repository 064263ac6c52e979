use super::*;
use crate::cache::key::{Resource, push_path, push_resource};
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
fn however_many_purges_there_are_each_is_remembered() {
    let (purges, stored) = (Purges::default(), member("key", "r", None, &["a"]));
    let first = purges.mark();
    purges.note(&tag("a"));
    let second = purges.mark();
    (0..PLACES / 16).for_each(|number| purges.note(&tag(&format!("other {number}"))));
    assert!(purges.cover(&stored.head, first));
    let places = |name: &str| std::ptr::from_ref(purges.place(TAG, name.as_bytes()).unwrap());
    let shares = (0..PLACES / 16).any(|number| places(&format!("other {number}")) == places("a"));
    let late = purges.is_late(purges.place(ROUTE, b"r"), second);
    assert_eq!(purges.cover(&stored.head, second), shares || late);
}

#[test]
fn a_path_is_purged_with_all_of_its_queries() {
    let key = |path, query| {
        let mut key = Vec::new();
        push_resource(&Resource { scheme: "https", host: "a.test", path, query }, &mut key);
        key
    };
    let (purges, mut path) = (Purges::default(), Vec::new());
    push_path("https", "a.test", "/a", &mut path);
    purges.note(&Purge::Path(path.into()));
    assert!(purges.may_cover(&key("/a", None), Mark(0)) && purges.may_cover(&key("/a", Some("x")), Mark(0)));
    assert!(!purges.may_cover(&key("/b", None), Mark(0)));
    let since = purges.mark();
    purges.note(&Purge::Resource(key("/a", Some("x")).into()));
    assert!(purges.may_cover(&key("/a", Some("x")), since) && !purges.may_cover(&key("/a", None), since));
    let since = purges.mark();
    purges.note(&tag("any"));
    assert!(purges.may_cover(&key("/b", None), since), "nobody knows its tags yet");
}
