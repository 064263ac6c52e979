//! What upstreams are told about callers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::super::checked::identity::{Algorithm, Identity, IdentityToken};
use super::super::defaults;
use super::super::model::identity as written;
use super::super::model::{At, OrOff, Text};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::{headers, resolve, time};

/// A token that lives longer is no statement about a request.
const LONGEST_LIFE: Duration = Duration::from_secs(3_600);

type Fields = Vec<(HeaderName, Option<Span>)>;

/// What is said, and in which fields; these have their place where it is written.
pub(super) fn check(
    written: Option<&At<written::Identity>>,
    folder: &Path,
    reader: &mut Reader<'_>,
) -> (Identity, Fields) {
    let headers = written.and_then(|identity| identity.value.headers.as_ref()).map(|headers| &headers.value);
    let mut fields = Fields::new();
    let partner = headers.and_then(|headers| headers.partner.as_ref());
    let partner = field(partner, defaults::PARTNER_HEADER, &mut fields, reader);
    let subject = headers.and_then(|headers| headers.subject.as_ref());
    let subject = field(subject, defaults::SUBJECT_HEADER, &mut fields, reader);
    let scopes = headers.and_then(|headers| headers.scopes.as_ref());
    let scopes = field(scopes, defaults::SCOPES_HEADER, &mut fields, reader);
    let token = written.and_then(|identity| identity.value.token.as_ref());
    let token = token.and_then(|token| self::token(&token.value, &mut fields, folder, reader));
    (Identity { partner, subject, scopes, token }, fields)
}

fn field(
    written: Option<&At<OrOff<Text>>>,
    default: &str,
    fields: &mut Fields,
    reader: &mut Reader<'_>,
) -> Option<HeaderName> {
    match written {
        Some(At { value: OrOff::Off, .. }) => None,
        Some(At { value: OrOff::On(Text(name)), span, .. }) => named(name, Some(*span), fields, reader),
        None => named(default, None, fields, reader),
    }
}

fn named(text: &str, place: Option<Span>, fields: &mut Fields, reader: &mut Reader<'_>) -> Option<HeaderName> {
    let span = place.unwrap_or_default();
    let name = headers::free(text, span, reader)?;
    if headers::has_meaning(&name) {
        let mistake = Diagnostic::new(Code::IdentityHeader, span, format!("`{name}` means something else already"));
        reader.note(mistake.help("choose a name of your own, such as `X-Partner`"));
        return None;
    }
    if let Some((_, first)) = fields.iter().find(|(field, _)| *field == name) {
        let message = format!("`{name}` would tell upstreams two things about the caller");
        let mut mistake = match place {
            Some(span) => Diagnostic::new(Code::IdentityHeader, span, message),
            // The default comes into the way of what is written.
            None => Diagnostic::new(Code::IdentityHeader, first.unwrap_or_default(), message),
        };
        mistake = match (place, first) {
            (Some(_), Some(first)) => mistake.also(*first, "the other one"),
            _ => mistake.note("one of them is what holds when nothing is written"),
        };
        reader.note(mistake);
        return None;
    }
    fields.push((name.clone(), place));
    Some(name)
}

fn token(
    written: &written::IdentityToken,
    fields: &mut Fields,
    folder: &Path,
    reader: &mut Reader<'_>,
) -> Option<IdentityToken> {
    let header = match &written.header {
        Some(name) => named(&name.value.0, Some(name.span), fields, reader),
        None => named(defaults::TOKEN_HEADER, None, fields, reader),
    };
    let algorithm = written.algorithm.as_ref().map_or(Algorithm::Es256, |algorithm| algorithm.value.0);
    if let (Algorithm::Hs256 | Algorithm::Es512, Some(place)) = (algorithm, &written.algorithm) {
        let message = format!("the gateway does not sign with {}", algorithm.as_str());
        let mistake = Diagnostic::new(Code::AlgorithmFamily, place.span, message);
        reader.note(mistake.help("write `ES256`, or what fits the key: RSA, P-256, P-384 or Ed25519"));
    }
    let lifetime = Duration::from_secs(1)..=LONGEST_LIFE;
    let lifetime = time(written.lifetime.as_ref(), defaults::TOKEN_LIFETIME, lifetime, reader);
    let mut text = |written: &Option<At<Text>>| {
        let written = written.as_ref()?;
        if written.value.0.is_empty() {
            reader.note(Diagnostic::new(Code::EmptyText, written.span, "a claim of the token would be empty"));
        }
        Some(Arc::<str>::from(&*written.value.0))
    };
    let key_id = text(&written.key_id);
    let issuer = text(&written.issuer).unwrap_or_else(|| Arc::from(defaults::TOKEN_ISSUER));
    let audience = text(&written.audience);
    let key = resolve(folder, &written.key.as_ref()?.value.0);
    Some(IdentityToken { header: header?, key, algorithm, key_id, issuer, audience, lifetime })
}
