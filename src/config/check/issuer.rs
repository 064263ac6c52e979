//! Who signs tokens, and which of them are good.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::checked::identity::{Algorithm, ClaimNames, Issuer, JwksUrl, KeySource, PemKey, TokenTypes};
use super::super::defaults;
use super::super::model::identity::{self as written, Need, SecretEncoding};
use super::super::model::{At, List, OrOff, Text};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::{Keys, Reader, list_of};
use super::callers::known_partner;
use super::{claims, matching, not_empty, positive, resolve, secret, texts, time};

const SOURCES: [&str; 3] = ["jwks", "public_keys", "secret"];
/// What only belongs to a key set that is fetched.
const FETCHED_ONLY: [&str; 5] = ["ca", "refresh", "overlap", "timeout", "cool_down"];
/// Clocks that are further apart are broken, not late.
const WIDEST_LEEWAY: Duration = Duration::from_secs(600);
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Checks one issuer; only to be used when no error was noted. `known` are the partners that are written.
pub(super) fn check(
    name: &At<Box<str>>,
    written: &written::Issuer,
    known: &HashMap<&str, Span>,
    folder: &Path,
    reader: &mut Reader<'_>,
) -> Option<Issuer> {
    let keys = keys(written, folder, reader);
    let algorithms = algorithms(written, keys.as_ref(), reader);
    let issuer = written.issuer.as_ref().and_then(|issuer| text(issuer, "`issuer`", reader));
    let audiences = match &written.audiences {
        Some(At { value: OrOff::On(list), span, node }) => {
            let list = At { value: list.clone(), span: *span, node: *node };
            texts(Some(&list), "`audiences`", "write `audiences: off` to take tokens for anybody", reader)
        }
        Some(At { value: OrOff::Off, .. }) => Vec::new(),
        None => {
            any_audience(name, written, reader);
            Vec::new()
        }
    };
    let max_lifetime = match &written.max_lifetime {
        Some(At { value: OrOff::On(limit), span, node }) => {
            let limit = At { value: limit.clone(), span: *span, node: *node };
            Some(time(Some(&limit), limit.value.0, Duration::from_secs(1)..=LONGEST_LIFE, reader))
        }
        _ => None,
    };
    let leeway = time(written.leeway.as_ref(), defaults::LEEWAY, Duration::ZERO..=WIDEST_LEEWAY, reader);
    let types = types(written.types.as_ref(), reader);
    let partners = written.partners.as_ref().map(|list| partners(list, known, reader));
    let claims = claim_names(written.claims.as_ref().map(|claims| &claims.value), reader);
    Some(Issuer {
        name: Arc::from(&*name.value),
        issuer,
        audiences,
        keys: keys?,
        algorithms: algorithms?,
        types,
        claims: claims?,
        leeway,
        requires_expiry: written.expiry.as_ref().is_none_or(|expiry| expiry.value == Need::Required),
        max_lifetime,
        partners,
        at: reader.location(name.span),
    })
}

fn text(written: &At<Text>, what: &str, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    if written.value.0.is_empty() {
        reader.note(Diagnostic::new(Code::EmptyText, written.span, format!("{what} is empty")));
        return None;
    }
    Some(Arc::from(&*written.value.0))
}

/// The partners that an issuer may speak for.
fn partners(list: &At<List<Text>>, known: &HashMap<&str, Span>, reader: &mut Reader<'_>) -> BTreeSet<Arc<str>> {
    for At { value: Text(name), span, .. } in list.value.0.iter().filter(|name| !name.value.0.is_empty()) {
        known_partner(name, *span, known, reader);
    }
    let help = "leave it out to let it speak for all of them";
    texts(Some(list), "`partners`", help, reader).into_iter().collect()
}

/// Whoever publishes keys commonly signs for more than one service (RFC 8725 §3.9).
fn any_audience(name: &At<Box<str>>, written: &written::Issuer, reader: &mut Reader<'_>) {
    let signs_for_others = written.keys.has("jwks") || written.keys.has("public_keys");
    if signs_for_others && !written.keys.is_meant("audiences") {
        let message = format!("the issuer `{}` does not say for whom its tokens are meant", name.value);
        let mistake = Diagnostic::new(Code::AnyAudience, name.span, message)
            .label("tokens that it signs for any other service are good here, too");
        reader.note(mistake.help("write `audiences: [sluice]`, as agreed with the issuer, or `audiences: off`"));
    }
}

fn keys(written: &written::Issuer, folder: &Path, reader: &mut Reader<'_>) -> Option<KeySource> {
    if let (false, Some(place)) = (written.keys.is_meant("secret"), written.keys.place("secret_encoding")) {
        reader.note(Diagnostic::new(Code::NoEffect, place, "`secret_encoding` has no effect without `secret`"));
    }
    match exactly_one(&written.keys, &SOURCES) {
        Choice::One("jwks") => written.jwks.as_ref().and_then(|jwks| self::jwks(jwks, folder, reader)),
        Choice::One("public_keys") => {
            written.public_keys.as_ref().and_then(|list| public_keys(list, folder, reader)).map(KeySource::Pem)
        }
        Choice::One(_) => {
            let encoding = written.secret_encoding.as_ref();
            let encoding = encoding.map_or(SecretEncoding::Text, |encoding| encoding.value);
            let secret = written.secret.as_ref();
            secret.and_then(|secret| secret::hmac(secret, encoding, folder, reader)).map(KeySource::Secret)
        }
        Choice::Meant => None,
        Choice::None => {
            let message = format!("an issuer needs one of {}", list_of(SOURCES));
            let mistake = Diagnostic::new(Code::NoKeySource, written.keys.mapping, message);
            reader.note(mistake.label("with which key are its tokens verified?"));
            None
        }
        Choice::Many(first, second) => {
            let message = format!("the keys come from one place, and this issuer has `{}` and `{}`", first.0, second.0);
            let mistake = Diagnostic::new(Code::ManyKeySources, second.1, message).also(first.1, "the other one");
            reader.note(mistake.help("a second issuer with the other keys can stand beside this one"));
            None
        }
    }
}

/// Which of some keys was written.
pub(super) enum Choice {
    One(&'static str),
    Many((&'static str, Span), (&'static str, Span)),
    /// None, but one that is misspelt.
    Meant,
    None,
}

pub(super) fn exactly_one(keys: &Keys, of: &[&'static str]) -> Choice {
    let mut found = of.iter().filter_map(|key| Some((*key, keys.place(key)?)));
    match (found.next(), found.next()) {
        (Some((one, _)), None) => Choice::One(one),
        (Some(first), Some(second)) => Choice::Many(first, second),
        _ if of.iter().any(|key| keys.is_meant(key)) => Choice::Meant,
        _ => Choice::None,
    }
}

fn jwks(written: &At<written::Jwks>, folder: &Path, reader: &mut Reader<'_>) -> Option<KeySource> {
    let jwks = &written.value;
    match exactly_one(&jwks.keys, &["url", "file"]) {
        Choice::One("url") => {}
        Choice::One(_) => {
            for key in FETCHED_ONLY {
                if let (Some(place), Some(file)) = (jwks.keys.place(key), jwks.keys.place("file")) {
                    let mistake =
                        Diagnostic::new(Code::NoEffect, place, format!("`{key}` has no effect without `url`"));
                    reader.note(mistake.also(file, "nothing is fetched here"));
                }
            }
            return jwks.file.as_ref().map(|file| KeySource::File(resolve(folder, &file.value.0)));
        }
        Choice::Meant => return None,
        Choice::None => {
            let mistake = Diagnostic::new(Code::NoKeySource, jwks.keys.mapping, "`jwks` needs `url` or `file`");
            reader.note(mistake);
            return None;
        }
        Choice::Many((_, first), (_, second)) => {
            let message = "a key set comes from one place, and this one has `url` and `file`";
            reader.note(Diagnostic::new(Code::ManyKeySources, second, message).also(first, "the other one"));
            return None;
        }
    }
    let refresh = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
    let overlap = Duration::ZERO..=Duration::from_secs(7 * 86_400);
    let cool_down = Duration::from_millis(100)..=Duration::from_secs(3_600);
    let refresh = time(jwks.refresh.as_ref(), defaults::JWKS_REFRESH, refresh, reader);
    let overlap = time(jwks.overlap.as_ref(), defaults::JWKS_OVERLAP, overlap, reader);
    let timeout = time(jwks.timeout.as_ref(), defaults::JWKS_TIMEOUT, positive(), reader);
    let cool_down = time(jwks.cool_down.as_ref(), defaults::JWKS_COOL_DOWN, cool_down, reader);
    let ca = jwks.ca.as_ref().map(|ca| resolve(folder, &ca.value.0));
    let url = jwks.url.as_ref().and_then(|url| self::url(url, reader))?;
    Some(KeySource::Url(JwksUrl { url, ca, refresh, overlap, timeout, cool_down }))
}

fn url(written: &At<Text>, reader: &mut Reader<'_>) -> Option<http::Uri> {
    let text = &*written.value.0;
    let mistake = |message: &str| Diagnostic::new(Code::JwksUrl, written.span, message);
    let url: Option<http::Uri> = text.parse().ok().filter(|url: &http::Uri| url.scheme().is_some());
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        reader.hide(written.node);
        reader.note(mistake("a URL with a user or password in it").help("key sets are public; take it out"));
        return None;
    }
    let Some((url, host)) =
        url.and_then(|url| Some((url.clone(), url.host().filter(|host| !host.is_empty())?.to_owned())))
    else {
        reader.note(mistake("this is not a URL").help("such as `https://id.example.com/.well-known/jwks.json`"));
        return None;
    };
    if text.contains('#') {
        reader.note(mistake("a URL that is fetched has no fragment"));
        return None;
    }
    match url.scheme_str() {
        Some("https") => Some(url),
        Some("http") if is_loopback(&host) => Some(url),
        Some("http") => {
            let message = "keys that are fetched without TLS can be anybody's";
            reader.note(mistake(message).label("write `https`").note("`http` is for loopback addresses only"));
            None
        }
        _ => {
            reader.note(mistake("only `https` is fetched"));
            None
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

fn public_keys(list: &At<List<written::PublicKey>>, folder: &Path, reader: &mut Reader<'_>) -> Option<Vec<PemKey>> {
    let mut sound = not_empty(list, "`public_keys`", "an issuer needs at least one key", reader);
    let mut keys: Vec<PemKey> = Vec::new();
    for At { value: key, .. } in &list.value.0 {
        let id = key.id.as_ref().map(|id| (Arc::<str>::from(&*id.value.0), id.span));
        if let Some((id, span)) = &id
            && let Some(first) = keys.iter().position(|earlier| earlier.id.as_ref() == Some(id))
        {
            let mut mistake =
                Diagnostic::new(Code::KeyId, *span, format!("two keys have the id `{id}`")).label("again here");
            if let Some(first) = list.value.0.get(first).and_then(|first| first.value.id.as_ref()) {
                mistake = mistake.also(first.span, "first here");
            }
            reader.note(mistake);
        }
        match (&key.file, &key.algorithm) {
            (_, Some(At { value: written::AlgorithmName(Algorithm::Hs256), span, .. })) => {
                reader.note(wrong_family(*span, "HS256 has no public key"));
                sound = false;
            }
            (Some(file), Some(algorithm)) => keys.push(PemKey {
                file: resolve(folder, &file.value.0),
                id: id.map(|(id, _)| id),
                algorithm: algorithm.value.0,
            }),
            _ => sound = false,
        }
    }
    (sound && !keys.is_empty()).then_some(keys)
}

fn wrong_family(span: Span, message: &str) -> Diagnostic {
    Diagnostic::new(Code::AlgorithmFamily, span, message)
        .note("with HS256, whoever can verify a token can also make one; so it belongs to a shared secret, and to nothing else")
}

fn algorithms(written: &written::Issuer, keys: Option<&KeySource>, reader: &mut Reader<'_>) -> Option<Vec<Algorithm>> {
    let by_secret = written.keys.has("secret");
    let of_keys: Vec<Algorithm> = match keys {
        Some(KeySource::Pem(keys)) => keys.iter().map(|key| key.algorithm).collect(),
        _ => Vec::new(),
    };
    let Some(list) = &written.algorithms else {
        let mut default: Vec<Algorithm> = match keys? {
            KeySource::Secret(_) => vec![Algorithm::Hs256],
            KeySource::Pem(_) => of_keys,
            KeySource::Url(_) | KeySource::File(_) => {
                Algorithm::ALL.iter().copied().filter(|algorithm| *algorithm != Algorithm::Hs256).collect()
            }
        };
        default.sort_unstable();
        default.dedup();
        // Written, but not readable.
        return (!written.keys.is_meant("algorithms")).then_some(default);
    };
    not_empty(list, "`algorithms`", "without one no token could be verified", reader);
    let mut kept = Vec::new();
    for At { value: written::AlgorithmName(algorithm), span, .. } in &list.value.0 {
        let name = algorithm.as_str();
        if kept.contains(algorithm) {
            matching::repeated(*span, name, reader);
        } else if by_secret && *algorithm != Algorithm::Hs256 {
            reader.note(wrong_family(*span, &format!("{name} does not verify with a shared secret")));
        } else if !by_secret && *algorithm == Algorithm::Hs256 {
            reader.note(wrong_family(*span, "HS256 does not verify with public keys"));
        } else {
            kept.push(*algorithm);
        }
    }
    if let Some(unused) = of_keys.iter().find(|algorithm| !kept.contains(algorithm)) {
        let message = format!("there is a key for {unused}, which is not listed", unused = unused.as_str());
        let mut mistake = Diagnostic::new(Code::AlgorithmFamily, list.span, message);
        if let Some(place) = written.keys.place("public_keys") {
            mistake = mistake.also(place, "the keys");
        }
        reader.note(mistake.help("leave `algorithms` out; the keys say it"));
    }
    (!kept.is_empty()).then_some(kept)
}

fn types(written: Option<&At<List<Text>>>, reader: &mut Reader<'_>) -> TokenTypes {
    let Some(list) = written else {
        return TokenTypes { named: vec!["at+jwt".into(), "jwt".into()], untyped: true };
    };
    not_empty(list, "`types`", "without one no token could be good", reader);
    let mut types = TokenTypes { named: Vec::new(), untyped: false };
    for At { value: Text(text), span, .. } in &list.value.0 {
        let lower = text.to_ascii_lowercase();
        let name: Box<str> = lower.strip_prefix("application/").unwrap_or(&lower).into();
        let sound = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;<>".contains(&byte));
        if !sound {
            reader.note(Diagnostic::new(Code::Choice, *span, format!("`{text}` is not a `typ` of tokens")));
        } else if types.named.contains(&name) || types.untyped && &*name == "none" {
            matching::repeated(*span, text, reader);
        } else if &*name == "none" {
            types.untyped = true;
        } else {
            types.named.push(name);
        }
    }
    types
}

fn claim_names(written: Option<&written::ClaimNames>, reader: &mut Reader<'_>) -> Option<ClaimNames> {
    let nothing = written::ClaimNames::default();
    let written = written.unwrap_or(&nothing);
    let mut path = |written: &Option<At<Text>>, default: &str| match written {
        Some(At { value: Text(text), span, .. }) => claims::path(text, *span, reader),
        None => claims::path(default, Span::default(), reader),
    };
    let partner = path(&written.partner, defaults::PARTNER_CLAIM);
    let subject = path(&written.subject, defaults::SUBJECT_CLAIM);
    let scopes = path(&written.scopes, defaults::SCOPES_CLAIM);
    let token_id = path(&written.token_id, defaults::TOKEN_ID_CLAIM);
    Some(ClaimNames { partner: partner?, subject: subject?, scopes: scopes?, token_id: token_id? })
}
