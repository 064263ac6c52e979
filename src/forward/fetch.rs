//! Asking an upstream on behalf of the cache: there is no client, and the answer goes into a [`Filling`].

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING};

use super::is_direct;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::cache::{Filling, Moment};
use crate::listener::worker::Worker;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::respond;
use crate::pipeline::verdict::FetchRequest;

/// Asks the upstream of the plan, within the time-outs of the plan, and gives its answer to `filling`: to the end, or to where and
/// why it ends before. What there is to log of it stands in the exchange afterwards.
pub async fn fetch(worker: &Worker, exchange: Arc<Exchange>, mut request: FetchRequest, filling: Filling) {
    drop_hop_by_hop(&mut request.fields);
    match &exchange.plan {
        Some(plan) if is_direct(plan) => worker.direct.fetch(&exchange, plan, &request, filling).await,
        Some(plan) => worker.pingora.fetch(&exchange, plan, request, filling).await,
        None => fail(&exchange, filling, Reason::Internal),
    }
}

/// Ends a question without an answer, or without the rest of one.
pub(super) fn fail(exchange: &Exchange, filling: Filling, reason: Reason) {
    exchange.fail(reason);
    filling.fail(reason, now());
}

pub(super) fn now() -> Moment {
    Moment { at: clock::now(), wall: clock::since_epoch() }
}

/// Takes off what was for the connection of the client (RFC 9110 §7.6.1), and what is about a body, which there is not.
fn drop_hop_by_hop(fields: &mut HeaderMap) {
    for name in respond::hop_by_hop(fields).iter().chain(&[HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER]) {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_for_one_connection_or_about_a_body_does_not_go_on() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-own"),
            ("x-own", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic a"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-sum"),
            ("content-length", "3"),
            ("host", "a.test"),
            ("accept", "text/html"),
            ("authorization", "Bearer a"),
            ("if-none-match", "\"a\""),
        ] {
            fields.append(name, HeaderValue::from_static(value));
        }
        drop_hop_by_hop(&mut fields);
        let mut left: Vec<_> = fields.keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "authorization", "if-none-match"]);
    }
}
