//! What a route asks of its callers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::HeaderName;
use ipnet::{IpNet, Ipv4Net};

use super::super::checked::identity::{Access, Addresses, ApiKeyPlaces, Auth, Lists, Method, Scopes, TokenPlaces};
use super::super::defaults;
use super::super::model::access::{self as written};
use super::super::model::identity::Need;
use super::super::model::{At, Bool, List, Network, OneOrMany, Text, routes};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::{Keys, Reader, list_of};
use super::callers::{Callers, IssuerState};
use super::issuer::{Choice, exactly_one};
use super::{claims, headers, matching, not_empty, observes, scopes, texts};

const METHODS: [&str; 4] = ["issuer", "api_key", "certificate", "any_of"];
/// How many of the mistakes in an issuer or a partner are told again at each route that needs them.
const INHERITED: usize = 3;

/// Closed by default: a route without `auth` is a mistake, never an open door. `used` gathers the issuers that are named.
pub(super) fn check<'a>(
    written: &'a routes::Route,
    callers: &Callers<'_>,
    used: &mut BTreeSet<&'a str>,
    reader: &mut Reader<'_>,
) -> Option<Auth> {
    if !written.keys.is_meant("auth") {
        let name = written.name.as_ref().map_or("this route".into(), |name| format!("route `{}`", name.value.0));
        let message = format!("{name} does not say how its callers are known");
        let mistake =
            Diagnostic::new(Code::NoAuth, written.keys.mapping, message).label("`auth` is missing in this route");
        reader.note(mistake.help("write `auth: none` out loud if everybody may come in"));
    }
    match &written.auth.as_ref()?.value {
        written::Auth::None => Some(Auth::None),
        written::Auth::Required(access) => {
            // Who is told wrongly may be told as somebody else, or as nobody.
            reader.escalate(callers.faults.get(..INHERITED).unwrap_or(&callers.faults));
            self::access(access, callers, used, reader).map(|access| Auth::Required(Box::new(access)))
        }
    }
}

fn access<'a>(
    written: &'a written::Access,
    callers: &Callers<'_>,
    used: &mut BTreeSet<&'a str>,
    reader: &mut Reader<'_>,
) -> Option<Access> {
    let methods = methods(written, callers, used, reader);
    let has_token = methods.as_ref().is_none_or(|all| all.iter().any(|one| matches!(one, Method::Token { .. })));
    if let (false, Some(place)) = (has_token, written.keys.place("claims")) {
        let mistake =
            Diagnostic::new(Code::ClaimsWithoutToken, place, "a caller of this route has no token, so no claims");
        reader.note(mistake.label("no request could ever meet this").help("ask for an `issuer`"));
    }
    let requires_partner = written.partner.as_ref().is_none_or(|partner| partner.value == Need::Required);
    needs_partners(written, methods.as_deref(), requires_partner, callers, reader);
    let scopes = written.scopes.as_ref().map(|scopes| self::scopes_of(scopes, reader)).unwrap_or_default();
    let claims = claims::rules(written.claims.as_ref(), reader);
    let partners = written.partners.as_ref().map(|lists| partners(lists, callers, reader)).unwrap_or_default();
    Some(Access {
        methods: methods?,
        requires_partner,
        scopes,
        claims,
        partners,
        observe: observes(written.mode.as_ref()),
        keep_credential: written.keep_credential.as_ref().is_some_and(|keep| keep.value.0),
    })
}

/// The one method that is written, or those of `any_of`.
fn methods<'a>(
    written: &'a written::Access,
    callers: &Callers<'_>,
    used: &mut BTreeSet<&'a str>,
    reader: &mut Reader<'_>,
) -> Option<Vec<Method>> {
    let mut accepted = Accepted::default();
    let ways = Ways {
        keys: &written.keys,
        issuer: written.issuer.as_ref(),
        token: written.token.as_ref(),
        api_key: written.api_key.as_ref(),
        certificate: written.certificate.as_ref(),
    };
    match one_method(&written.keys, &METHODS, reader)? {
        "any_of" => {}
        _ => return method(&ways, callers, used, &mut accepted, reader).map(|method| vec![method]),
    }
    token_has_issuer(&written.keys, reader);
    let list = written.any_of.as_ref()?;
    not_empty(list, "`any_of`", "without a way to be known nobody could ever come in", reader);
    let mut methods = Vec::new();
    let mut sound = !list.value.0.is_empty();
    for At { value: written, span, .. } in &list.value.0 {
        let ways = Ways {
            keys: &written.keys,
            issuer: written.issuer.as_ref(),
            token: written.token.as_ref(),
            api_key: written.api_key.as_ref(),
            certificate: written.certificate.as_ref(),
        };
        let one = one_method(&written.keys, METHODS.get(..3).unwrap_or_default(), reader);
        match one.and_then(|_| method(&ways, callers, used, &mut accepted, reader)) {
            Some(Method::Certificate) if methods.iter().any(|one| matches!(one, Method::Certificate)) => {
                matching::repeated(*span, "certificate", reader);
            }
            Some(method) => methods.push(method),
            None => sound = false,
        }
    }
    sound.then_some(methods)
}

/// The keys of one way to be known, which `auth` and the entries of `any_of` have in common.
struct Ways<'a> {
    keys: &'a Keys,
    issuer: Option<&'a At<OneOrMany<Text>>>,
    token: Option<&'a At<written::TokenPlaces>>,
    api_key: Option<&'a At<written::ApiKeyPlaces>>,
    certificate: Option<&'a At<Bool>>,
}

fn one_method(keys: &Keys, of: &[&'static str], reader: &mut Reader<'_>) -> Option<&'static str> {
    match exactly_one(keys, of) {
        Choice::One(one) => Some(one),
        Choice::Meant => None,
        Choice::None => {
            let message = format!("callers have to be known by one of {}", list_of(of.iter().copied()));
            let mistake = Diagnostic::new(Code::NoMethod, keys.mapping, message).label("nothing is asked for here");
            reader.note(mistake.help("such as `auth: {issuer: main}`, or `auth: none` if everybody may come in"));
            None
        }
        Choice::Many((one, first), (other, second)) => {
            let message = format!("callers are known by one thing, and here by `{one}` and `{other}`");
            let mistake = Diagnostic::new(Code::ManyMethods, second, message).also(first, "the other one");
            reader.note(mistake.help("when either will do, write a list: `any_of: [{issuer: main}, {api_key: {}}]`"));
            None
        }
    }
}

fn token_has_issuer(keys: &Keys, reader: &mut Reader<'_>) {
    if let (false, Some(token)) = (keys.is_meant("issuer"), keys.place("token")) {
        let mistake = Diagnostic::new(Code::NoEffect, token, "`token` has no effect without `issuer`");
        reader.note(mistake.help("write it beside the `issuer` that it is about"));
    }
}

fn method<'a>(
    ways: &Ways<'a>,
    callers: &Callers<'_>,
    used: &mut BTreeSet<&'a str>,
    accepted: &mut Accepted,
    reader: &mut Reader<'_>,
) -> Option<Method> {
    token_has_issuer(ways.keys, reader);
    if ways.keys.has("issuer") {
        let from = token_places(ways.token, reader);
        let issuers = ways.issuer.map(|list| issuers(list, callers, used, accepted, reader));
        // Written, but not readable.
        let token_is_known = ways.token.is_some() || !ways.keys.has("token");
        return Some(Method::Token { issuers: issuers??, from: from.filter(|_| token_is_known)? });
    }
    if ways.keys.has("api_key") {
        return api_key(ways.api_key?, callers, reader).map(Method::ApiKey);
    }
    let certificate = ways.certificate?;
    if !certificate.value.0 {
        let mistake = Diagnostic::new(Code::Choice, certificate.span, "only `certificate: true` can be asked for");
        reader.note(mistake.help("leave it out when no certificate is asked for"));
        return None;
    }
    Some(Method::Certificate)
}

/// The issuers of a route so far, by their `iss`.
#[derive(Default)]
struct Accepted(HashMap<Option<Arc<str>>, (Arc<str>, Span)>);

fn issuers<'a>(
    list: &'a At<OneOrMany<Text>>,
    callers: &Callers<'_>,
    used: &mut BTreeSet<&'a str>,
    accepted: &mut Accepted,
    reader: &mut Reader<'_>,
) -> Option<Vec<Arc<str>>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut sound = !list.value.0.is_empty();
    for At { value: Text(name), span, .. } in &list.value.0 {
        used.insert(name);
        let Some(IssuerState { faults, issuer }) = callers.issuers.get(&**name) else {
            unknown_issuer(name, *span, callers, reader);
            sound = false;
            continue;
        };
        if names.iter().any(|known| **known == **name) {
            matching::repeated(*span, name, reader);
            continue;
        }
        reader.escalate(faults.get(..INHERITED).unwrap_or(faults));
        let own: Arc<str> = Arc::from(&**name);
        let first = accepted.0.entry(issuer.clone()).or_insert_with(|| (Arc::clone(&own), *span));
        if first.0 != own && faults.is_empty() {
            let message = format!("nothing tells tokens of `{name}` from those of `{}`", first.0);
            let mistake = Diagnostic::new(Code::SameIssuer, *span, message).also(first.1, "accepted here as well");
            reader.note(match issuer {
                Some(issuer) => mistake.note(format!("both have the `issuer` {issuer}")),
                None => mistake.note("neither has an `issuer`, which its tokens would carry as `iss`"),
            });
        }
        names.push(own);
    }
    sound.then_some(names)
}

fn unknown_issuer(name: &str, span: Span, callers: &Callers<'_>, reader: &mut Reader<'_>) {
    let mut mistake = Diagnostic::new(Code::UnknownIssuer, span, format!("there is no issuer `{name}`"));
    if let Some(meant) = reader.suggest(name, callers.issuers.keys().copied()) {
        mistake = mistake.label(format!("did you mean `{meant}`?"));
    } else if callers.issuers.is_empty() {
        mistake = mistake.help("write it under `issuers` at the top of the file");
    }
    reader.note(mistake);
}

fn token_places(written: Option<&At<written::TokenPlaces>>, reader: &mut Reader<'_>) -> Option<TokenPlaces> {
    let Some(At { value: written, span, .. }) = written else {
        return Some(TokenPlaces { authorization: true, query: None, cookie: None, websocket_protocol: false });
    };
    let query = written.query.as_ref().and_then(|query| query_name(query, reader));
    let cookie = written.cookie.as_ref().and_then(|cookie| cookie_name(cookie, reader));
    let places = TokenPlaces {
        authorization: written.authorization.as_ref().is_none_or(|authorization| authorization.value.0),
        query,
        cookie,
        websocket_protocol: written.websocket_protocol.as_ref().is_some_and(|protocol| protocol.value.0),
    };
    let nowhere = !places.authorization
        && !places.websocket_protocol
        && !written.keys.is_meant("query")
        && !written.keys.is_meant("cookie");
    if nowhere {
        reader.note(Diagnostic::new(Code::NoPlace, *span, "a token could stand nowhere in a request"));
    }
    (!nowhere).then_some(places)
}

pub(super) fn query_name(written: &At<Text>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    if written.value.0.is_empty() {
        reader.note(Diagnostic::new(Code::QueryName, written.span, "a query parameter has no name"));
        return None;
    }
    Some(written.value.0.clone())
}

/// A token, as the names of fields are (RFC 6265 §4.1.1).
pub(super) fn cookie_name(written: &At<Text>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let name = &written.value.0;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) && !name.is_empty() {
        return Some(name.clone());
    }
    reader.note(Diagnostic::new(Code::CookieName, written.span, format!("`{name}` is not the name of a cookie")));
    None
}

/// A field of its own: the key in it stays here, and whatever else the field said would be lost or taken for a key.
fn key_header(written: &At<Text>, reader: &mut Reader<'_>) -> Option<HeaderName> {
    let name = headers::free(&written.value.0, written.span, reader)?;
    if !headers::has_meaning(&name) {
        return Some(name);
    }
    let message = format!("header `{name}` means something else already, and cannot carry an API key");
    let mistake = Diagnostic::new(Code::ForbiddenHeader, written.span, message);
    reader.note(mistake.help("choose a name of your own, such as `X-API-Key`"));
    None
}

fn api_key(
    written: &At<written::ApiKeyPlaces>,
    callers: &Callers<'_>,
    reader: &mut Reader<'_>,
) -> Option<ApiKeyPlaces> {
    let places = &written.value;
    let query = places.query.as_ref().and_then(|query| query_name(query, reader));
    let header = match &places.header {
        Some(name) => key_header(name, reader).map(Some),
        None if places.keys.is_meant("query") || places.keys.is_meant("header") => Some(None),
        None => headers::name(defaults::API_KEY_HEADER, written.span, reader).map(Some),
    }?;
    if let (Some(name), Some(place)) = (&header, places.header.as_ref().map(|header| header.span)) {
        callers.not_identity(name, place, reader);
    }
    Some(ApiKeyPlaces { header, query })
}

/// Whoever needs a partner needs one in the file.
fn needs_partners(
    written: &written::Access,
    methods: Option<&[Method]>,
    requires_partner: bool,
    callers: &Callers<'_>,
    reader: &mut Reader<'_>,
) {
    let Some(methods) = methods.filter(|_| callers.has_no_partners()) else { return };
    let is_token = |method: &&Method| matches!(method, Method::Token { .. });
    let (place, what) = if let Some(other) = methods.iter().find(|method| !is_token(method)) {
        let key = if matches!(other, Method::ApiKey(_)) { "api_key" } else { "certificate" };
        let place = written.keys.place(key).or_else(|| written.keys.place("any_of"));
        (place, "API keys and client certificates belong to partners, and this file has none")
    } else if requires_partner {
        let place = written.keys.place("partner").or_else(|| written.keys.place("issuer"));
        (place.or_else(|| written.keys.place("any_of")), "only partners may call this route, and this file has none")
    } else {
        return;
    };
    let place = place.unwrap_or(written.keys.mapping);
    let mistake = Diagnostic::new(Code::NoPartners, place, what).label("every request would be refused");
    let mistake = mistake.help("write them under `partners` at the top of the file");
    reader.note(if methods.iter().all(|method| is_token(&method)) {
        mistake.help("or write `partner: optional` in this `auth` if a good token is enough")
    } else {
        mistake
    });
}

fn scopes_of(written: &At<written::Scopes>, reader: &mut Reader<'_>) -> Scopes {
    let keys = &written.value.keys;
    if !keys.is_meant("all_of") && !keys.is_meant("any_of") {
        let message = "`scopes` needs `all_of` or `any_of`";
        reader.note(Diagnostic::new(Code::MissingKey, written.span, message).label("no scope is asked for here"));
    }
    Scopes {
        all_of: scopes(written.value.all_of.as_ref(), "`all_of`", reader),
        any_of: scopes(written.value.any_of.as_ref(), "`any_of`", reader),
    }
}

fn partners(written: &At<written::PartnerLists>, callers: &Callers<'_>, reader: &mut Reader<'_>) -> Lists<Arc<str>> {
    let lists = &written.value;
    some_list(&lists.keys, "`partners`", reader);
    for At { value: Text(name), span, .. } in
        [&lists.allow, &lists.deny].into_iter().flatten().flat_map(|list| &list.value.0)
    {
        callers.knows_partner(name, *span, reader);
    }
    let all = lists.allow.iter().flat_map(|list| &list.value.0);
    let allowed: HashMap<&str, Span> = all.map(|name| (&*name.value.0, name.span)).collect();
    for At { value: Text(name), span, .. } in lists.deny.iter().flat_map(|list| &list.value.0) {
        if let Some(allow) = allowed.get(&**name) {
            let message = format!("the partner `{name}` is allowed and denied");
            reader
                .note(Diagnostic::new(Code::AllowedAndDenied, *span, message).label("denied").also(*allow, "allowed"));
        }
    }
    Lists {
        allow: texts(lists.allow.as_ref(), "`allow`", "leave it out to allow all partners", reader),
        deny: texts(lists.deny.as_ref(), "`deny`", "leave it out to deny no partner", reader),
    }
}

fn some_list(keys: &Keys, what: &str, reader: &mut Reader<'_>) {
    if !keys.is_meant("allow") && !keys.is_meant("deny") {
        let message = format!("{what} needs `allow` or `deny`");
        reader.note(Diagnostic::new(Code::MissingKey, keys.mapping, message));
    }
}

/// Networks of clients. IPv4 within IPv6 becomes IPv4, as the addresses of clients do.
pub(super) fn addresses(written: &written::Addresses, reader: &mut Reader<'_>) -> Addresses {
    some_list(&written.keys, "`addresses`", reader);
    let allow = networks(written.allow.as_ref(), "`allow`", "leave it out to allow every address", reader);
    let deny = networks(written.deny.as_ref(), "`deny`", "leave it out to deny no address", reader);
    for (network, span) in &allow {
        if let Some((denied, place)) = deny.iter().find(|(denied, _)| denied.contains(network)) {
            let message = format!("`{network}` is allowed, and denied with `{denied}`");
            let mistake = Diagnostic::new(Code::AllowedAndDenied, *span, message).label("no address is left of it");
            reader.note(mistake.also(*place, "denied"));
        }
    }
    let only = |list: Vec<(IpNet, Span)>| list.into_iter().map(|(network, _)| network).collect();
    Addresses { lists: Lists { allow: only(allow), deny: only(deny) }, observe: observes(written.mode.as_ref()) }
}

fn networks(
    written: Option<&At<List<Network>>>,
    what: &str,
    help: &str,
    reader: &mut Reader<'_>,
) -> Vec<(IpNet, Span)> {
    let Some(list) = written else { return Vec::new() };
    not_empty(list, what, help, reader);
    let mut kept: Vec<(IpNet, Span)> = Vec::new();
    for At { value: Network(network), span, .. } in &list.value.0 {
        let network = unmapped(*network);
        if kept.iter().any(|(known, _)| *known == network) {
            matching::repeated(*span, &network.to_string(), reader);
        } else {
            kept.push((network, *span));
        }
    }
    kept
}

fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let length = v6.prefix_len().checked_sub(96);
    let v4 = v6.addr().to_ipv4_mapped().zip(length).and_then(|(v4, length)| Ipv4Net::new(v4, length).ok());
    v4.map_or(network, IpNet::V4)
}
