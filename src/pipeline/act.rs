//! What a route does with a request: the plan for forwarding it, or the answer.

use std::mem::take;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue};

use super::admit::Admitted;
use super::exchange::Undecided;
use super::rescue::REQUEST_ID;
use super::respond::via;
use super::verdict::{Answer, Forward};
use super::view::RequestView;
use crate::base::field::{Known, KnownSet};
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::{HostRewrite, RouteTarget};
use crate::route::Params;
use crate::snapshot::{CompiledAction, CompiledUpstream, Target};
use crate::transform::headers;
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

impl Admitted<'_> {
    pub(super) fn act<V: RequestView>(
        &self,
        action: &CompiledAction,
        request: &V,
        path: &str,
        params: &Params,
        undecided: Undecided<'_>,
    ) -> Result<Option<Answer>, Rejection> {
        let Undecided { facts, plan, spare, .. } = undecided;
        let request_id = &facts.request_id;
        let param = |position| params.get(path, position).unwrap_or_default();
        Ok(Some(match (&action.target, &action.written.target) {
            (Target::Forward { upstream, rewrite }, RouteTarget::Forward { host, .. }) => {
                let mut target = take(&mut spare.target);
                write_target(&mut target, rewrite.as_ref(), path, request.query(), param);
                let to = Destination { upstream, host, target };
                *plan =
                    Some(self.forward(action, to, FieldLines::reusing(take(&mut spare.added)), request_id, request));
                return Ok(None);
            }
            (Target::Redirect { location: template }, RouteTarget::Redirect { status, .. }) => {
                let mut location = String::new();
                template.render(param, request.query(), &mut location);
                let location = HeaderValue::try_from(location).map_err(|_| Rejection::new(Reason::Internal))?;
                answer(action, *status, vec![(LOCATION, location)], Bytes::new(), request_id)
            }
            (_, RouteTarget::Respond { status, content_type, body }) => answer(
                action,
                *status,
                vec![(CONTENT_TYPE, content_type.clone())],
                Bytes::from_owner(Arc::clone(body)),
                request_id,
            ),
            _ => return Err(Reason::Internal.into()),
        }))
    }

    fn forward<V: RequestView>(
        &self,
        action: &CompiledAction,
        Destination { upstream, host, target }: Destination<'_>,
        mut added: FieldLines,
        request_id: &RequestId,
        request: &V,
    ) -> Forward {
        let edits = &action.request_edits;
        let mut withheld = edits.withheld.clone();
        withheld.known = withheld.known.union(REPLACED);
        if !self.chain.trusted {
            withheld.known.insert(Known::Claim);
        }
        let facts = &self.chain.facts;
        // What the route withholds, it withholds from us, too.
        let ours = |field| !edits.withheld.known.contains(field);
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
            added.push("x-request-id", request_id.as_bytes());
        }
        if ours(Known::Via) {
            added.push("via", via(request.version()).as_bytes());
        }
        added.extend(&edits.lines);
        let host = match host {
            HostRewrite::Set(value) => Some(value.clone()),
            // An HTTP/1.0 client may have sent none, which no HTTP/1.1 upstream accepts.
            HostRewrite::Keep if request.authority().is_none() => upstream.fallback_host.clone(),
            HostRewrite::Keep => None,
        };
        Forward {
            target,
            host,
            withheld,
            added,
            upstream: Arc::clone(upstream),
            timeouts: action.written.timeouts.clone(),
            max_body: action.written.max_body,
            engine: action.written.engine,
        }
    }
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
) -> Answer {
    let mut edited: http::HeaderMap = fields.into_iter().collect();
    if let Ok(id) = HeaderValue::from_str(request_id.as_str()) {
        edited.insert(REQUEST_ID, id);
    }
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
