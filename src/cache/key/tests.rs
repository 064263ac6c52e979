use http::HeaderName;
use http::header::{ACCEPT, COOKIE};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::base::query::decoded;
use crate::config::checked::cache::{CacheKey, CacheScope, QueryRule};

/// What a key is made of, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    resource: [String; 3],
    query: Option<String>,
    scope: OwnedScope,
    fields: Vec<(HeaderName, Option<Vec<u8>>)>,
    variant: Vec<(HeaderName, Option<Vec<u8>>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedScope {
    Everyone,
    Public,
    Partner(String),
    Subject(Option<String>, String, String),
}

impl Made {
    fn base(&self) -> Vec<u8> {
        let [scheme, host, path] = &self.resource;
        let mut key = Vec::new();
        push_resource(&Resource { scheme, host, path, query: self.query.as_deref() }, &mut key);
        let scope = match &self.scope {
            OwnedScope::Everyone => Scope::Everyone,
            OwnedScope::Public => Scope::Public,
            OwnedScope::Partner(partner) => Scope::Partner(partner),
            OwnedScope::Subject(partner, by, subject) => Scope::Subject { partner: partner.as_deref(), by, subject },
        };
        push_scope(scope, &mut key);
        self.fields.iter().for_each(|(name, value)| push_field(name, value.as_deref(), &mut key));
        key
    }

    fn key(&self) -> Vec<u8> {
        let mut key = self.base();
        for (name, value) in &self.variant {
            push_variant(name, &mut key, |out| {
                out.extend_from_slice(value.as_deref().unwrap_or_default());
                value.is_some()
            });
        }
        key
    }

    fn described(&self) -> String {
        Key::from(&*self.key()).to_string()
    }
}

/// Short, and of few characters, among them those that a key is written with: whatever could be taken for something else.
fn text() -> impl Strategy<Value = String> {
    "[a\0\u{1}\u{4}\u{e}\u{f}]{0,3}"
}

fn fields() -> impl Strategy<Value = Vec<(HeaderName, Option<Vec<u8>>)>> {
    let name = prop_oneof![Just(ACCEPT), Just(COOKIE), Just(HeaderName::from_static("a"))];
    vec((name, option::of(text().prop_map(String::into_bytes))), 0..3)
}

fn made() -> impl Strategy<Value = Made> {
    let scope = prop_oneof![
        Just(OwnedScope::Everyone),
        Just(OwnedScope::Public),
        text().prop_map(OwnedScope::Partner),
        (option::of(text()), text(), text())
            .prop_map(|(partner, by, subject)| OwnedScope::Subject(partner, by, subject)),
    ];
    ([text(), text(), text()], option::of(text()), scope, fields(), fields())
        .prop_map(|(resource, query, scope, fields, variant)| Made { resource, query, scope, fields, variant })
}

fn example() -> Made {
    Made {
        resource: ["https", "api.example.com", "/orders/1"].map(str::to_owned),
        query: Some("x=1".to_owned()),
        scope: OwnedScope::Subject(Some("acme".to_owned()), "main".to_owned(), "7".to_owned()),
        fields: Vec::new(),
        variant: Vec::new(),
    }
}

#[test]
fn keys_are_shown_without_what_opens_doors() {
    let mut made = example();
    assert_eq!(made.described(), "https://api.example.com/orders/1?x=1 for partner acme, subject 7 (main)");
    let field = |name, value: &str| (HeaderName::from_static(name), Some(value.as_bytes().to_vec()));
    made.fields =
        vec![field("x-tenant", "a\n\u{e9}\u{1b}"), field("authorization", "Bearer abc"), field("cookie", "abc")];
    made.variant = vec![(ACCEPT, None), field("x-api-key", "abc"), field("x-raw", "")];
    made.scope = OwnedScope::Everyone;
    made.query = None;
    assert_eq!(
        made.described(),
        "https://api.example.com/orders/1 for everyone, with x-tenant: a\\n\u{e9}\\u{1b}, with authorization, with cookie, \
         without accept, with x-api-key, with x-raw: "
    );
    assert_eq!(Key::from(&b"\xFF"[..]).to_string(), " (and what is no part of a key)");
}

#[test]
fn scopes_do_not_meet() {
    let scopes = [
        OwnedScope::Everyone,
        OwnedScope::Public,
        OwnedScope::Partner("a".to_owned()),
        OwnedScope::Subject(None, "a".to_owned(), "a".to_owned()),
        OwnedScope::Subject(Some("a".to_owned()), "a".to_owned(), "a".to_owned()),
        OwnedScope::Subject(Some(String::new()), "a".to_owned(), "a".to_owned()),
    ];
    for (at, one) in scopes.iter().enumerate() {
        for other in scopes.iter().skip(at + 1) {
            let [one, other] = [one, other].map(|scope| Made { scope: scope.clone(), ..example() }.base());
            assert!(!one.starts_with(&other) && !other.starts_with(&one));
        }
    }
}

fn rule(query: QueryRule, sort_query: bool) -> CacheKey {
    CacheKey { per: CacheScope::Everyone, headers: Vec::new(), query, sort_query }
}

fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

#[test]
fn the_query_that_counts() {
    let all = || QueryRule::Ignore(Vec::new());
    let ignored = || QueryRule::Ignore(names(&["utm_*", "a b", "flag"]));
    let only = || QueryRule::Only(names(&["id", "p*"]));
    for (query, rule_of_query, sort, counted_query) in [
        ("", all(), false, Some("")),
        ("", all(), true, None),
        ("", ignored(), false, None),
        ("", only(), false, None),
        ("b=2&&a", all(), false, Some("b=2&&a")),
        ("b=2&&a", all(), true, Some("a&b=2")),
        ("a&b=2", all(), true, Some("a&b=2")),
        ("a=2&%61=1&a", all(), true, Some("a=2&%61=1&a")),
        ("b&a=2&c&%61=1&a", all(), true, Some("a=2&%61=1&a&b&c")),
        ("&", all(), true, None),
        ("x=1&y=flag", ignored(), false, Some("x=1&y=flag")),
        ("utm_source=1&x=1&utm_=&%75tm_a&utm=5&a+b=3&a%20b&flag", ignored(), false, Some("x=1&utm=5")),
        ("UTM_source=1&Flag", ignored(), false, Some("UTM_source=1&Flag")),
        ("utm_a&flag=1", ignored(), true, None),
        ("y=1&x=2&flag", ignored(), true, Some("x=2&y=1")),
        ("x=1&id=7&%70age=2&ids=1&p", only(), false, Some("id=7&%70age=2&p")),
        ("x=1", only(), true, None),
        ("x=1", QueryRule::Only(Vec::new()), false, None),
        ("x=1", QueryRule::Ignore(names(&["*"])), false, None),
    ] {
        let rule = rule(rule_of_query, sort);
        assert_eq!(counted(query, &rule, &mut String::new()), counted_query, "{query} by {rule:?}");
    }
}

#[test]
fn a_query_that_counts_whole_is_not_copied() {
    for rule in [
        rule(QueryRule::Ignore(Vec::new()), false),
        rule(QueryRule::Ignore(names(&["utm_*"])), true),
        rule(QueryRule::Only(names(&["a", "b"])), true),
    ] {
        let (query, mut room) = ("a=1&b=2", String::new());
        assert!(counted(query, &rule, &mut room).is_some_and(|counted| std::ptr::eq(counted, query)));
        assert_eq!(room.capacity(), 0);
    }
}

proptest! {
    #[test]
    fn different_requests_have_different_keys(one in made(), other in made()) {
        prop_assert_eq!(one.key() == other.key(), one == other);
        // Variants of one never lie where another one's answer or variants do.
        let same_base = Made { variant: Vec::new(), ..one.clone() } == Made { variant: Vec::new(), ..other.clone() };
        if !same_base && one.key().starts_with(&other.key()) {
            let [longer, shorter] = [&one, &other];
            prop_assert!(shorter.variant.is_empty() && longer.fields.len() > shorter.fields.len());
        }
    }

    #[test]
    fn nearly_the_same_request_has_another_key(one in made(), other in made(), which in 0..5) {
        let mut near = one.clone();
        match which {
            0 => near.resource = other.resource,
            1 => near.query = other.query,
            2 => near.scope = other.scope,
            3 => near.fields = other.fields,
            _ => near.variant = other.variant,
        }
        prop_assert_eq!(one.key() == near.key(), one == near);
    }

    #[test]
    fn what_is_purged_by_url_is_the_beginning_of_its_keys(one in made(), other in made()) {
        let key = one.key();
        let resource = resource_of(&key).expect("a key begins with its resource");
        prop_assert!(key.starts_with(resource));
        prop_assert_eq!(
            other.key().starts_with(resource),
            (&other.resource, &other.query) == (&one.resource, &one.query)
        );
    }

    #[test]
    fn any_bytes_are_shown_on_one_line(bytes in vec(any::<u8>(), 0..60), made in made(), cut in 0_usize..80) {
        let key = made.key();
        for bytes in [&*bytes, &key[..cut.min(key.len())]] {
            let shown = Key::from(bytes).to_string();
            prop_assert!(!shown.contains(char::is_control));
            prop_assert!(resource_of(bytes).is_none_or(|resource| bytes.starts_with(resource)));
        }
    }

    #[test]
    fn only_the_order_of_one_name_matters_in_a_sorted_query(pairs in vec("[ab%61=]{0,5}", 0..6), at in 0_usize..6) {
        let rule = rule(QueryRule::Ignore(names(&["b*"])), true);
        let name_of = |pair: &String| decoded(pair.split('=').next().unwrap_or_default().as_bytes()).collect::<Vec<_>>();
        let mut turned = pairs.clone();
        if let Some([one, other]) = turned.get_mut(at..at + 2)
            && name_of(one) != name_of(other)
        {
            std::mem::swap(one, other);
        }
        let of = |pairs: &[String]| {
            let (query, mut room) = (pairs.join("&"), String::new());
            counted(&query, &rule, &mut room).map(str::to_owned)
        };
        prop_assert_eq!(of(&pairs), of(&turned));
        let once = of(&pairs);
        let again = once.as_ref().and_then(|query| of(std::slice::from_ref(query)));
        prop_assert_eq!(again, once);
    }
}
