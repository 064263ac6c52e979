//! What a route does with a request: the plan for forwarding it, or the answer.

use std::borrow::Cow;
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue};

use super::admit::Admitted;
use super::anomaly::Tag;
use super::cached::{Found, Question};
use super::caller::Caller;
use super::credential::{self, BEARER};
use super::exchange::Undecided;
use super::facts::Facts;
use super::rescue::REQUEST_ID;
use super::respond::{tell_limits, via};
use super::verdict::{Answer, Forward};
use super::view::RequestView;
use crate::base::field::{Known, KnownSet};
use crate::base::query;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::{HostRewrite, RouteTarget};
use crate::rate_limit::Granted;
use crate::route::Params;
use crate::snapshot::{CompiledAction, CompiledIdentity, CompiledRoute, CompiledUpstream, Gate, Snapshot, Target};
use crate::transform::headers::{self, Withheld};
use crate::transform::lines::FieldLines;
use crate::transform::request_id::RequestId;
use crate::transform::rewrite::CompiledRewrite;

/// What the gateway says itself and no client says for it.
const REPLACED: KnownSet = KnownSet::of(&[
    Known::RequestId,
    Known::ForwardedFor,
    Known::ForwardedProto,
    Known::ForwardedHost,
    Known::Forwarded,
]);

/// What of its target a route looks at.
pub(super) struct Resource<'a> {
    /// In normal form.
    pub path: &'a str,
    /// Without the credentials that stay here.
    pub query: Option<&'a str>,
    pub params: &'a Params,
}

impl Admitted<'_> {
    pub(super) fn act<V: RequestView>(
        &self,
        snapshot: &Snapshot,
        index: usize,
        request: &V,
        &Resource { path, query, params }: &Resource<'_>,
        undecided: Undecided<'_>,
    ) -> Result<Option<Answer>, Rejection> {
        let Some(CompiledRoute { name, action: Ok(action), .. }) = snapshot.routes.get(index) else {
            return Err(Reason::Internal.into());
        };
        let Undecided { facts, plan, cache, anomaly, granted, spare, .. } = undecided;
        let facts = &*facts;
        let request_id = &facts.request_id;
        let param = |position| params.get(path, position).unwrap_or_default();
        Ok(Some(match (&action.target, &action.written.target) {
            (Target::Forward { upstream, rewrite }, RouteTarget::Forward { host, .. }) => {
                let lasting = &snapshot.gate.lasting.cache;
                let question = Question { admitted: self, action, lasting, request, path, query, route: name };
                let tag = Tag::of(action, anomaly.as_ref());
                let mut found = question.look_up(&mut spare.key, facts)?;
                if tag.is_some() {
                    found = found.without_asking();
                }
                if let Found::Stored { part, stored: None } = found {
                    *cache = Some(part);
                    return Ok(None);
                }
                let mut target = take(&mut spare.target);
                write_target(&mut target, rewrite.as_ref(), path, query, param);
                let to = Destination { upstream, host, target };
                let mut added = FieldLines::reusing(take(&mut spare.added));
                if let Some(tag) = tag {
                    tag.write(&mut added);
                }
                let planned = self.forward(&snapshot.gate, action, to, added, facts, request)?;
                *cache = question.part(found, snapshot.caches, &spare.key, &planned, facts, param);
                *plan = Some(planned);
                return Ok(None);
            }
            (Target::Redirect { location: template }, RouteTarget::Redirect { status, .. }) => {
                let mut location = String::new();
                template.render(param, query, &mut location);
                let location = HeaderValue::try_from(location).map_err(|_| Rejection::new(Reason::Internal))?;
                answer(action, *status, vec![(LOCATION, location)], Bytes::new(), request_id, granted)
            }
            (_, RouteTarget::Respond { status, content_type, body }) => answer(
                action,
                *status,
                vec![(CONTENT_TYPE, content_type.clone())],
                Bytes::from_owner(Arc::clone(body)),
                request_id,
                granted,
            ),
            _ => return Err(Reason::Internal.into()),
        }))
    }

    fn forward<V: RequestView>(
        &self,
        gate: &Gate,
        action: &CompiledAction,
        Destination { upstream, host, target }: Destination<'_>,
        mut added: FieldLines,
        known: &Facts,
        request: &V,
    ) -> Result<Forward, Reason> {
        let edits = &action.request_edits;
        let mut withheld = edits.withheld.clone();
        withheld.known = withheld.known.union(REPLACED);
        if !self.chain.trusted {
            withheld.known.insert(Known::Claim);
        }
        let facts = &self.chain.facts;
        // What the route withholds, it withholds from us, too.
        let ours = |field| !edits.own.known.contains(field);
        if ours(Known::ForwardedFor) {
            added.push_with("x-forwarded-for", |out| self.chain.write_for(out));
        }
        if ours(Known::ForwardedProto) {
            added.push("x-forwarded-proto", facts.proto.as_bytes());
        }
        if ours(Known::ForwardedHost) && !facts.host.is_empty() {
            added.push("x-forwarded-host", facts.host.as_bytes());
        }
        if ours(Known::Forwarded) {
            added.push_with("forwarded", |out| self.chain.write_forwarded(out));
        }
        let told = self.chain.trusted && request.known(Known::RealIp).next().is_some();
        if !told {
            withheld.known.insert(Known::RealIp);
            if ours(Known::RealIp) {
                added.push_with("x-real-ip", |out| self.chain.write_client(out));
            }
        }
        if ours(Known::RequestId) {
            added.push("x-request-id", known.request_id.as_bytes());
        }
        if ours(Known::Via) {
            added.push("via", via(request.version()).as_bytes());
        }
        let agrees_to_bearer = keep_credentials_here(action, request, &mut withheld, &mut added);
        if let Some(caller) = known.caller.as_ref().filter(|caller| caller.vouched) {
            write_identity(gate, caller, &edits.own, upstream.cluster.name(), known.started_at, &mut added)?;
        }
        added.extend(&edits.lines);
        let host = match host {
            HostRewrite::Set(value) => Some(value.clone()),
            // An HTTP/1.0 client may have sent none, which no HTTP/1.1 upstream accepts.
            HostRewrite::Keep if request.authority().is_none() => upstream.fallback_host.clone(),
            HostRewrite::Keep => None,
        };
        Ok(Forward {
            target,
            host,
            withheld,
            added,
            upstream: Arc::clone(upstream),
            timeouts: action.written.timeouts.clone(),
            max_body: action.written.max_body,
            engine: action.written.engine,
            agrees_to_bearer,
        })
    }
}

/// The query without the credentials that stay here.
pub(super) fn left_of_query<'q>(action: &CompiledAction, query: Option<&'q str>) -> Option<Cow<'q, str>> {
    let query = query?;
    let withheld = &action.guard.withheld_parameters;
    if withheld.is_empty() {
        return Some(Cow::Borrowed(query));
    }
    query::without(query, withheld.iter().map(|name| &**name)).map(Cow::Owned)
}

/// Takes credentials out of fields that also carry other things; whether a WebSocket client offered one as a protocol.
fn keep_credentials_here<V: RequestView>(
    action: &CompiledAction,
    request: &V,
    withheld: &mut Withheld,
    added: &mut FieldLines,
) -> bool {
    let (places, own) = (&action.guard.withheld_places, &action.request_edits.own);
    // Each field is written once, whatever the number of methods that look into it.
    let cookies = || places.iter().filter_map(|place| place.cookie.as_deref());
    if cookies().next().is_some() && request.known(Known::Cookie).next().is_some() {
        withheld.known.insert(Known::Cookie);
        let is_ours = |crumb: &[u8]| cookies().any(|name| credential::of_crumb(crumb, name).is_some());
        let left = request.known(Known::Cookie).flat_map(credential::crumbs);
        if !own.known.contains(Known::Cookie) {
            push_list(added, "cookie", b"; ", left.filter(|crumb| !is_ours(crumb)));
        }
    }
    let mut offered = false;
    if places.iter().any(|place| place.websocket_protocol) && request.known(Known::WebSocketProtocol).next().is_some() {
        withheld.known.insert(Known::WebSocketProtocol);
        let mut is_token = false;
        let left = request.known(Known::WebSocketProtocol).flat_map(credential::offers).filter(|protocol| {
            let is_bearer = !is_token && protocol.eq_ignore_ascii_case(BEARER.as_bytes());
            let stays = !is_bearer && !is_token;
            (is_token, offered) = (is_bearer, offered | is_bearer);
            stays
        });
        let left = left.collect::<Vec<_>>();
        if !own.known.contains(Known::WebSocketProtocol) {
            push_list(added, "sec-websocket-protocol", b", ", left.into_iter());
        }
    }
    offered
}

/// A field with these members, unless there are none.
fn push_list<'v>(added: &mut FieldLines, name: &str, between: &[u8], members: impl Iterator<Item = &'v [u8]>) {
    let mut members = members.peekable();
    if members.peek().is_none() {
        return;
    }
    added.push_with(name, |out| {
        for (at, member) in members.enumerate() {
            out.extend_from_slice(if at > 0 { between } else { b"" });
            out.extend_from_slice(member);
        }
    });
}

/// Tells the upstream who calls, but for what the route withholds.
fn write_identity(
    gate: &Gate,
    caller: &Caller,
    own: &Withheld,
    upstream: &str,
    now: Duration,
    added: &mut FieldLines,
) -> Result<(), Reason> {
    let CompiledIdentity { written: identity, signer } = &gate.identity;
    let is_told = |name: &&HeaderName| !own.contains(Known::Other, name.as_str());
    let [partner, subject, scopes] =
        [&identity.partner, &identity.subject, &identity.scopes].map(|name| name.as_ref().filter(is_told));
    if let (Some(name), Some(partner)) = (partner, &caller.partner) {
        added.push_text(name.as_str(), &partner.name);
    }
    if let (Some(name), Some(subject)) = (subject, caller.subject()) {
        added.push_text(name.as_str(), subject);
    }
    if let Some(name) = scopes
        && caller.scopes().next().is_some()
    {
        added.push_texts(name.as_str(), caller.scopes());
    }
    if let (Some(signer), Some(token)) = (signer, identity.token.as_ref().filter(|token| is_told(&&token.header))) {
        let partner = caller.partner.as_ref().map(|partner| &*partner.name);
        let signed = signer.token_for(upstream, partner, caller.subject(), caller.scopes(), now);
        let signed = signed.map_err(|_| Reason::Internal)?;
        added.push(token.header.as_str(), signed.as_bytes());
    }
    Ok(())
}

/// Where a request goes.
struct Destination<'a> {
    upstream: &'a Arc<CompiledUpstream>,
    host: &'a HostRewrite,
    target: String,
}

fn answer(
    action: &CompiledAction,
    status: http::StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    request_id: &RequestId,
    granted: &Granted,
) -> Answer {
    let mut edited: http::HeaderMap = fields.into_iter().collect();
    if let Ok(id) = HeaderValue::from_str(request_id.as_str()) {
        edited.insert(REQUEST_ID, id);
    }
    tell_limits(granted, action.written.limit_fields, &mut edited);
    headers::apply(&action.written.response_headers, &mut edited);
    let fields = edited.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Answer { status, fields, body, reason: None }
}

fn write_target<'p>(
    target: &mut String,
    rewrite: Option<&CompiledRewrite>,
    path: &str,
    query: Option<&str>,
    param: impl Fn(usize) -> &'p str,
) {
    match rewrite {
        Some(rewrite) => rewrite.apply(path, query, param, target),
        None => {
            target.push_str(path);
            if let Some(query) = query {
                target.push('?');
                target.push_str(query);
            }
        }
    }
}
