use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use proptest::prelude::*;

use super::*;
use crate::config::checked::identity::TokenPlaces;

fn token() -> Method {
    let from = TokenPlaces { authorization: true, query: None, cookie: None, websocket_protocol: false };
    Method::Token { issuers: Vec::new(), from }
}

fn key(header: Option<&'static str>, query: Option<&str>) -> Method {
    Method::ApiKey(ApiKeyPlaces { header: header.map(HeaderName::from_static), query: query.map(Box::from) })
}

fn values(fields: &[(HeaderName, HeaderValue)]) -> Vec<&str> {
    assert!(fields.iter().all(|(name, _)| *name == WWW_AUTHENTICATE));
    fields.iter().map(|(_, value)| value.to_str().unwrap()).collect()
}

fn scopes(all_of: &[&str], any_of: &[&str]) -> Scopes {
    let owned = |scopes: &[&str]| scopes.iter().map(|scope| Arc::from(*scope)).collect();
    Scopes { all_of: owned(all_of), any_of: owned(any_of) }
}

#[test]
fn each_method_has_its_challenge_and_without_a_credential_no_error() {
    let methods = [token(), key(Some("x-api-key"), Some("key")), Method::Certificate];
    let missing = challenge(&methods, Reason::CredentialMissing, "ignored");
    let expected = [
        r#"Bearer realm="sluice""#,
        r#"ApiKey realm="sluice", header="x-api-key", query="key""#,
        r#"ClientCertificate realm="sluice""#,
    ];
    assert_eq!(values(&missing), expected);
}

#[test]
fn what_was_wrong_is_said_to_those_who_tried() {
    let methods = [token(), key(Some("x-api-key"), None)];
    let said = |reason, detail| challenge(&methods, reason, detail);
    assert_eq!(
        values(&said(Reason::JwtExpired, "The token has expired.")),
        [
            r#"Bearer realm="sluice", error="invalid_token", error_description="The token has expired.""#,
            r#"ApiKey realm="sluice", header="x-api-key""#
        ]
    );
    assert_eq!(
        values(&said(Reason::ApiKeyUnknown, "Unknown.")),
        [
            r#"Bearer realm="sluice""#,
            r#"ApiKey realm="sluice", header="x-api-key", error="invalid_key", error_description="Unknown.""#
        ]
    );
    assert_eq!(
        values(&challenge(&[token()], Reason::CredentialRepeated, "")),
        [r#"Bearer realm="sluice", error="invalid_request""#]
    );
}

#[test]
fn every_401_has_a_challenge_and_nothing_else_that_a_credential_would_not_help() {
    for reason in Reason::ALL {
        for method in [token(), key(None, Some("k")), Method::Certificate] {
            let fields = challenge(&[method], *reason, reason.detail());
            assert_eq!(!fields.is_empty(), matches!(reason.status(), 401) || *reason == Reason::CredentialRepeated);
            values(&fields).iter().for_each(|value| drop(read(value)));
        }
    }
}

#[test]
fn the_needed_scopes_are_named() {
    let (name, value) = insufficient_scope(&scopes(&["orders:read", "a"], &["b", "c"]), "It lacks `a`.");
    assert_eq!(name, WWW_AUTHENTICATE);
    assert_ne!(name, AUTHORIZATION);
    assert_eq!(
        value,
        r#"Bearer realm="sluice", error="insufficient_scope", error_description="It lacks `a`.", scope="orders:read a b c""#
    );
    let (_, value) = insufficient_scope(&scopes(&["two words", "qu\"ote", "back\\slash", "ü"], &[""]), "x");
    assert_eq!(value, r#"Bearer realm="sluice", error="insufficient_scope", error_description="x""#);
}

/// A challenge by the grammar of RFC 9110 §11.3 with quoted values, and of RFC 6750 §3 for the values.
fn read(value: &str) -> (String, BTreeMap<String, String>) {
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let (scheme, mut rest) = value.split_once(' ').unwrap();
    assert!(is_token(scheme), "{value}");
    let mut parameters = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        let (text, after) = after.split_once('"').unwrap();
        assert!(is_token(name), "{value}");
        for character in text.chars() {
            let allowed = matches!(character, '\x20'..='\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
            assert!(allowed, "{character:?} in {value}");
        }
        if name == "scope" {
            assert!(text.split(' ').all(|scope| !scope.is_empty()), "{value}");
        }
        assert!(parameters.insert(name.to_owned(), text.to_owned()).is_none(), "{value}: more than once (RFC 6750 §3)");
        match after.strip_prefix(", ") {
            Some(more) => rest = more,
            None => {
                assert_eq!(after, "", "{value}");
                return (scheme.to_owned(), parameters);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_said_the_grammar_holds(detail in "\\PC{0,40}|[\\x00-\\x7f]{0,40}", names in prop::collection::vec("\\PC{0,8}|[!-~]{1,8}", 0..5)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for reason in Reason::ALL {
            for (_, value) in challenge(&[token(), key(Some("k"), Some(&detail))], *reason, &detail) {
                let (_, parameters) = read(value.to_str().unwrap());
                prop_assert_eq!(&parameters["realm"], "sluice");
            }
        }
        let (_, value) = insufficient_scope(&scopes(&names, &names), &detail);
        let (_, parameters) = read(value.to_str().unwrap());
        prop_assert_eq!(&parameters["error"], "insufficient_scope");
    }
}

#[test]
fn an_authentication_that_is_too_old_is_told_how_old_it_may_be() {
    let field = insufficient_authentication(Duration::from_millis(5_900), "More recent authentication is \"needed\".");
    let expected = concat!(
        r#"Bearer realm="sluice", error="insufficient_user_authentication", "#,
        r#"error_description="More recent authentication is 'needed'.", max_age="5""#,
    );
    assert_eq!(values(&[field]), [expected]);
}
