//! What a route does with a request: the plan for forwarding it, or the answer.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, VIA};
use http::{HeaderName, HeaderValue};

use super::admit::{Admitted, forwarded_name};
use super::rescue::REQUEST_ID;
use super::respond::via;
use super::verdict::{Answer, Forward, Verdict};
use super::view::RequestView;
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::{HeaderEdits, HostRewrite, RouteTarget};
use crate::route::Params;
use crate::snapshot::{CompiledAction, CompiledUpstream, Target};
use crate::transform::rewrite::CompiledRewrite;
use crate::transform::{forwarded, headers};

/// Believed by many services although nothing specifies it; theirs is made of the same facts as `X-Forwarded-For`.
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

impl Admitted<'_> {
    pub(super) fn act<V: RequestView>(
        &self,
        action: &CompiledAction,
        request: &V,
        path: &str,
        params: &Params,
    ) -> Result<Verdict, Rejection> {
        let param = |position| params.get(path, position).unwrap_or_default();
        Ok(match (&action.target, &action.written.target) {
            (Target::Forward { upstream, rewrite }, RouteTarget::Forward { host, .. }) => {
                let target = forwarded_target(rewrite.as_ref(), path, request.query(), param);
                Verdict::Forward(Box::new(self.forward(action, upstream, host, target, request)))
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
        request: &V,
    ) -> Forward {
        let HeaderEdits { remove, set, add } = &action.written.request_headers;
        let mut removed: Vec<Cow<'static, HeaderName>> = vec![Cow::Owned(REQUEST_ID)];
        let mut append = Vec::with_capacity(8 + set.len() + add.len());
        for field in forwarded::Field::ALL {
            let name = forwarded_name(field);
            removed.push(Cow::Borrowed(name));
            let mut value = Vec::new();
            match field {
                forwarded::Field::For => self.chain.write_for(&mut value),
                forwarded::Field::Forwarded => self.chain.write_forwarded(&mut value),
                forwarded::Field::Proto => value.extend_from_slice(self.chain.facts.proto.as_bytes()),
                forwarded::Field::Host => value.extend_from_slice(self.chain.facts.host.as_bytes()),
            }
            if let Some(value) =
                HeaderValue::from_maybe_shared(Bytes::from(value)).ok().filter(|value| !value.is_empty())
            {
                append.push((name.clone(), value));
            }
        }
        let told = self.chain.trusted && request.values(&REAL_IP).next().is_some();
        if let (false, Ok(client)) = (told, HeaderValue::try_from(self.chain.facts.client.to_string())) {
            removed.push(Cow::Owned(REAL_IP));
            append.push((REAL_IP, client));
        }
        if let Ok(id) = HeaderValue::from_str(self.request_id.as_str()) {
            append.push((REQUEST_ID, id));
        }
        append.push((VIA, via(request.version())));
        for name in remove.iter().chain(set.iter().map(|(name, _)| name)) {
            append.retain(|(ours, _)| ours != name);
            removed.push(Cow::Owned(name.clone()));
        }
        append.extend(set.iter().chain(add).cloned());
        let host = match host {
            HostRewrite::Set(value) => Some(value.clone()),
            // An HTTP/1.0 client may have sent none, which no HTTP/1.1 upstream accepts.
            HostRewrite::Keep if request.authority().is_none() => upstream.fallback_host.clone(),
            HostRewrite::Keep => None,
        };
        Forward {
            target,
            host,
            remove: removed,
            trusted: self.chain.trusted,
            append,
            upstream: Arc::clone(upstream),
            timeouts: action.written.timeouts.clone(),
            max_body: action.written.max_body,
            engine: action.written.engine,
        }
    }
}

fn forwarded_target<'p>(
    rewrite: Option<&CompiledRewrite>,
    path: &str,
    query: Option<&str>,
    param: impl Fn(usize) -> &'p str,
) -> String {
    let mut target = String::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
    match rewrite {
        Some(rewrite) => rewrite.apply(path, query, param, &mut target),
        None => {
            target.push_str(path);
            if let Some(query) = query {
                target.push('?');
                target.push_str(query);
            }
        }
    }
    target
}
