use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use proptest::prelude::*;
use regex::bytes::Regex;
use serde_json::json;

use super::*;
use crate::config::checked::identity::Method;

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn access() -> Access {
    Access {
        methods: vec![Method::Certificate],
        requires_partner: false,
        scopes: Scopes::default(),
        claims: Vec::new(),
        partners: Lists::default(),
        observe: false,
        keep_credential: false,
    }
}

fn token(scopes: &[&str], claims: &[(&[&str], Value)]) -> Token {
    let mut scopes: Vec<Box<str>> = scopes.iter().map(|scope| Box::from(*scope)).collect();
    scopes.sort();
    Token {
        issuer: "main".into(),
        subject: None,
        partner: None,
        id: None,
        scopes: scopes.into(),
        issued_at: None,
        expires: None,
        ends: Duration::MAX,
        claims: claims.iter().map(|(path, value)| (claim(path), value.clone())).collect(),
    }
}

fn claim(path: &[&str]) -> ClaimPath {
    ClaimPath(path.iter().map(|name| Box::from(*name)).collect())
}

fn by_token(access: &Access, token: &Token) -> Result<(), Rejection> {
    authorize(access, &Rights { partner: None, scopes: ScopeList::OfToken(&token.scopes), token: Some(token) })
}

fn by_key(access: &Access, partner: Option<&str>, scopes: &[&str]) -> Result<(), Rejection> {
    authorize(access, &Rights { partner, scopes: ScopeList::OfPartner(&names(scopes)), token: None })
}

fn reason(done: Result<(), Rejection>) -> Option<Reason> {
    done.err().map(|rejection| rejection.reason)
}

#[test]
fn nothing_asked_is_nothing_refused() {
    assert_eq!(by_key(&access(), None, &[]), Ok(()));
    assert_eq!(by_token(&access(), &token(&[], &[])), Ok(()));
}

#[test]
fn scopes_are_needed_all_or_one_of_some() {
    let mut access = access();
    access.scopes = Scopes { all_of: names(&["a", "b"]), any_of: names(&["x", "y"]) };
    for (has, good) in [
        (&["a", "b", "x"][..], true),
        (&["y", "b", "a"], true),
        (&["a", "b", "x", "y", "z"], true),
        (&["a", "b"], false),
        (&["a", "x"], false),
        (&["x", "y"], false),
        (&["A", "B", "X"], false),
        (&["a b x"], false),
        (&[], false),
    ] {
        let expected = (!good).then_some(Reason::ScopeMissing);
        assert_eq!(reason(by_token(&access, &token(has, &[]))), expected, "{has:?}");
        assert_eq!(reason(by_key(&access, Some("acme"), has)), expected, "{has:?}");
    }
}

#[test]
fn the_missing_scopes_are_named() {
    let refused = |all_of: &[&str], any_of: &[&str]| {
        let mut access = access();
        access.scopes = Scopes { all_of: names(all_of), any_of: names(any_of) };
        by_token(&access, &token(&["has"], &[])).unwrap_err()
    };
    for (all_of, any_of, detail) in [
        (&["has", "a"][..], &[][..], "The credential lacks the scope `a`."),
        (&["a", "has", "b"], &["x"], "The credential lacks the scopes `a` and `b`."),
        (&["a", "b", "c"], &[], "The credential lacks the scopes `a`, `b` and `c`."),
        (&["has"], &["x"], "The credential lacks the scope `x`."),
        (&[], &["x", "y"], "The credential needs one of the scopes `x` or `y`."),
        (&[], &["x", "y", "z"], "The credential needs one of the scopes `x`, `y` or `z`."),
    ] {
        assert_eq!(refused(all_of, any_of).detail, detail);
    }
    let (name, value) = refused(&["has", "a"], &["x"]).fields.swap_remove(0);
    assert_eq!(name, WWW_AUTHENTICATE);
    assert!(
        value.to_str().unwrap().ends_with(
            r#"error="insufficient_scope", error_description="The credential lacks the scope `a`.", scope="has a x""#
        ),
        "{value:?}"
    );
}

#[test]
fn who_has_no_token_is_not_asked_for_a_better_one() {
    let mut access = access();
    access.scopes.all_of = names(&["a"]);
    let refused = by_key(&access, Some("acme"), &["b"]).unwrap_err();
    assert_eq!((&*refused.detail, refused.fields.len()), ("The credential lacks the scope `a`.", 0));
}

#[test]
fn of_partners_denial_wins_and_who_is_none_is_not_allowed_by_name() {
    let with = |allow: &[&str], deny: &[&str]| {
        let mut access = access();
        access.partners = Lists { allow: names(allow), deny: names(deny) };
        [Some("acme"), Some("globex"), Some("Acme"), None].map(|partner| by_key(&access, partner, &[]).is_ok())
    };
    assert_eq!(with(&[], &[]), [true, true, true, true]);
    assert_eq!(with(&["acme"], &[]), [true, false, false, false]);
    assert_eq!(with(&[], &["acme"]), [false, true, true, true]);
    assert_eq!(with(&["acme", "globex"], &["acme"]), [false, true, false, false]);
    let mut access = access();
    access.partners.deny = names(&["acme"]);
    assert_eq!(reason(by_key(&access, Some("acme"), &[])), Some(Reason::PartnerDenied));
}

fn meets_rule(condition: ClaimCondition, value: Value) -> bool {
    let mut access = access();
    access.claims = vec![ClaimRule { claim: claim(&["tenant"]), condition }];
    by_token(&access, &token(&[], &[(&["other"], json!(true)), (&["tenant"], value)])).is_ok()
}

#[test]
fn a_claim_equals_by_value() {
    let equals = |written: Value, claim: Value| meets_rule(ClaimCondition::Equals(written), claim);
    for (written, claim) in [
        (json!("eu"), json!("eu")),
        (json!("eu"), json!(["us", "eu"])),
        (json!(1), json!(1.0)),
        (json!(1.0), json!(1)),
        (json!(0), json!(-0.0)),
        (json!(u64::MAX), json!(u64::MAX)),
        (json!(1e300), json!(1e300)),
        (json!(2.5), json!([1, 2.5])),
        (json!(true), json!(true)),
        (json!(null), json!(null)),
        (json!({"a": 1, "b": [2]}), json!({"b": [2.0], "a": 1.0})),
        (json!(["a", "b"]), json!(["a", "b"])),
        (json!([]), json!([])),
    ] {
        assert!(equals(written.clone(), claim.clone()), "{written} {claim}");
    }
    for (written, claim) in [
        (json!("eu"), json!("EU")),
        (json!("eu"), json!(["us"])),
        (json!("eu"), json!([["eu"]])),
        (json!("eu"), json!([])),
        (json!("eu"), json!({"eu": "eu"})),
        (json!("1"), json!(1)),
        (json!(1), json!(true)),
        (json!(null), json!(false)),
        (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992.0)),
        (json!(u64::MAX), json!(18_446_744_073_709_551_616.0)),
        (json!(i64::MIN), json!(9_223_372_036_854_775_808_u64)),
        (json!({"a": 1}), json!({"a": 1, "b": 2})),
        (json!(["a", "b"]), json!(["b", "a"])),
    ] {
        assert!(!equals(written.clone(), claim.clone()), "{written} {claim}");
    }
}

#[test]
fn a_claim_is_one_of_several() {
    let one_of = |claim| meets_rule(ClaimCondition::In(vec![json!("eu"), json!("us"), json!(3)]), claim);
    assert!(one_of(json!("us")) && one_of(json!(3.0)) && one_of(json!(["asia", "eu"])));
    assert!(!one_of(json!("asia")) && !one_of(json!(["asia"])) && !one_of(json!("3")));
    assert!(!meets_rule(ClaimCondition::In(Vec::new()), json!("eu")));
}

#[test]
fn a_claim_matches_as_a_whole() {
    let matches = |expression: &str, claim| meets_rule(ClaimCondition::Matches(Regex::new(expression).unwrap()), claim);
    for expression in ["^(?:eu-[0-9]+)$", "eu-[0-9]+"] {
        assert!(matches(expression, json!("eu-12")) && matches(expression, json!(["us", "eu-1"])), "{expression}");
        for claim in [json!("xeu-12"), json!("eu-12x"), json!("eu-12\n"), json!("eu-1\nx"), json!(""), json!(12)] {
            assert!(!matches(expression, claim.clone()), "{expression} {claim}");
        }
    }
    assert!(!matches("(?m)^a$", json!("a\nb")));
    assert!(!matches("[0-9]+", json!(12)), "only text matches");
}

#[test]
fn a_claim_that_is_not_there_meets_nothing() {
    let mut access = access();
    access.claims = vec![ClaimRule { claim: claim(&["realm", "a/b"]), condition: ClaimCondition::Equals(Value::Null) }];
    let refused = by_token(&access, &token(&[], &[(&["realm"], json!(null))])).unwrap_err();
    assert_eq!(refused.reason, Reason::ClaimDenied);
    assert_eq!(refused.detail, "The claim `/realm/a~1b` does not meet the conditions of this route.");
    assert_eq!(reason(by_key(&access, Some("acme"), &[])), Some(Reason::ClaimDenied), "without a token, no claims");
    assert_eq!(by_token(&access, &token(&[], &[(&["realm", "a/b"], json!(null))])), Ok(()));
    let name = ClaimRule { claim: claim(&["tenant"]), condition: ClaimCondition::Equals(json!(1)) };
    access.claims.push(name);
    let refused = by_token(&access, &token(&[], &[(&["realm", "a/b"], json!(null))])).unwrap_err();
    assert_eq!(refused.detail, "The claim `tenant` does not meet the conditions of this route.");
}

proptest! {
    /// Few names, so that they meet; many scopes, so that both ways of looking are gone.
    #[test]
    fn scopes_are_found_whichever_way_they_are_looked_for(
        has in prop::collection::btree_set("[a-c]{1,3}", 0..40),
        all_of in prop::collection::vec("[a-c]{1,3}", 0..3),
        any_of in prop::collection::vec("[a-c]{1,3}", 0..3),
    ) {
        let has: Vec<&str> = has.iter().map(String::as_str).collect();
        let owned = |scopes: &[String]| scopes.iter().map(|scope| Arc::from(&**scope)).collect();
        let mut access = access();
        access.scopes = Scopes { all_of: owned(&all_of), any_of: owned(&any_of) };
        let good = all_of.iter().all(|scope| has.contains(&&**scope))
            && (any_of.is_empty() || any_of.iter().any(|scope| has.contains(&&**scope)));
        prop_assert_eq!(by_token(&access, &token(&has, &[])).is_ok(), good);
        let backwards: Vec<&str> = has.iter().rev().copied().collect();
        prop_assert_eq!(by_key(&access, None, &backwards).is_ok(), good, "of a partner, in any order");
    }

    #[test]
    fn numbers_are_the_same_when_their_values_are(one in any::<i64>(), other in any::<i64>()) {
        prop_assert_eq!(is_same(&json!(one), &json!(other)), one == other);
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "that is what is asked")]
        {
            let float = one as f64;
            prop_assert_eq!(is_same(&json!(one), &json!(float)), float as i128 == i128::from(one));
        }
    }
}
