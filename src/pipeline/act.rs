//! What a route does with a request: the plan for forwarding it, or the answer.

use std::mem::take;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue};

use super::admit::Admitted;
use super::rescue::REQUEST_ID;
use super::respond::via;
use super::shelf::Memory;
use super::verdict::{Answer, Forward, Verdict};
use super::view::RequestView;
use crate::base::field::{Known, KnownSet};
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::{HostRewrite, RouteTarget};
use crate::route::Params;
use crate::snapshot::{CompiledAction, CompiledUpstream, Target};
use crate::transform::headers;
use crate::transform::lines::FieldLines;
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
        memory: &mut Memory,
    ) -> Result<Verdict, Rejection> {
        let param = |position| params.get(path, position).unwrap_or_default();
        Ok(match (&action.target, &action.written.target) {
            (Target::Forward { upstream, rewrite }, RouteTarget::Forward { host, .. }) => {
                let mut target = take(&mut memory.target);
                write_target(&mut target, rewrite.as_ref(), path, request.query(), param);
                let added = FieldLines::reusing(take(&mut memory.added));
                Verdict::Forward(self.forward(action, upstream, host, target, added, request))
            }
            (Target::Redirect { location: template }, RouteTarget::Redirect { status, .. }) => {
                let mut location = String::new();
                template.render(param, request.query(), &mut location);
                let location = HeaderValue::try_from(location).map_err(|_| Rejection::new(Reason::Internal))?;
                self.answer(action, *status, vec![(LOCATION, location)], Bytes::new())
            }
            (_, RouteTarget::Respond { status, content_type, body }) => self.answer(
                action,
                *status,
                vec![(CONTENT_TYPE, content_type.clone())],
                Bytes::from_owner(Arc::clone(body)),
            ),
            _ => return Err(Reason::Internal.into()),
        })
    }

    fn answer(
        &self,
        action: &CompiledAction,
        status: http::StatusCode,
        fields: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Verdict {
        let mut edited: http::HeaderMap = fields.into_iter().collect();
        if let Ok(id) = HeaderValue::from_str(self.request_id.as_str()) {
            edited.insert(REQUEST_ID, id);
        }
        headers::apply(&action.written.response_headers, &mut edited);
        let fields = edited.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Verdict::Answer(Answer { status, fields, body, reason: None })
    }

    fn forward<V: RequestView>(
        &self,
        action: &CompiledAction,
        upstream: &Arc<CompiledUpstream>,
        host: &HostRewrite,
        target: String,
        mut added: FieldLines,
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
            added.push("x-request-id", self.request_id.as_bytes());
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
