//! The end of every request, good or bad: one record for the access log and the metrics.

use http::{Method, Version};

use super::anomaly;
use super::caller::Caller;
use super::exchange::Exchange;
use super::verdict::Answer;
use crate::anomaly::Outcome;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::telemetry::Record;
use crate::telemetry::access_log::AccessLog;

/// Notes an answer of ours, and whether the client took it.
pub fn answered(exchange: &Exchange, answer: &Answer, taken: bool) {
    let mut progress = exchange.progress();
    progress.status = answer.status.as_u16();
    if let Some(reason) = answer.reason {
        progress.reason.get_or_insert(reason);
    }
    if taken {
        let bodyless = answer.is_bodyless() || exchange.facts.method == Method::HEAD.as_str();
        progress.response_bytes = if bodyless { 0 } else { answer.body.len() as u64 };
    } else {
        progress.reason.get_or_insert(Reason::ClientClosed);
    }
}

/// Writes the record of a request that has ended.
pub fn finish(exchange: &Exchange, access_log: &AccessLog) {
    let progress = exchange.progress();
    let facts = &exchange.facts;
    let route = exchange.route();
    let caller = facts.caller.as_ref();
    let partner = caller.and_then(|caller| caller.partner.as_deref());
    let status = match progress.reason {
        // Nobody was told anything.
        Some(reason) if progress.status == 0 => reason.status(),
        _ => progress.status,
    };
    let outcome = exchange.cache.as_ref().and_then(|part| part.outcome);
    // An answer from memory may have a plan, to be fetched anew by.
    let forwarded = exchange.plan.as_ref().filter(|_| !outcome.is_some_and(|outcome| outcome.kind.is_from_memory()));
    let total = clock::now() - facts.started;
    let record = Record {
        time: facts.started_at,
        request_id: facts.request_id.as_bytes(),
        trace_id: facts.trace_id.as_deref(),
        client: facts.client,
        listener: &exchange.connection.listener,
        protocol: match facts.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        },
        tls: exchange.connection.tls.as_ref().map(|tls| tls.version),
        method: facts.method.as_bytes(),
        host: facts.host.as_bytes(),
        path: facts.path.as_bytes(),
        route: route.map(|route| &route.log_name),
        partner: partner.map(|partner| &partner.log_name),
        auth: caller.map(Caller::method),
        subject: caller.and_then(Caller::subject),
        status,
        reason: progress.reason,
        limit: facts.limit.as_deref(),
        observed: &facts.observed,
        anomaly: exchange.anomaly.as_ref().map(anomaly::unusual),
        cache: outcome.map(|outcome| outcome.kind.as_str()),
        upstream: forwarded.map(|plan| &plan.upstream.log_name),
        endpoint: progress.endpoint,
        attempts: progress.attempts,
        upstream_reused: progress.reused,
        request_bytes: progress.request_bytes,
        response_bytes: progress.response_bytes,
        connect: progress.connect,
        first_byte: progress.first_byte,
        total,
        snapshot: &exchange.snapshot.log_version,
        user_agent: facts.user_agent(),
    };
    access_log.write(&record);
    anomaly::leave(
        exchange,
        &Outcome {
            at: clock::since_start(facts.started) + total,
            duration: total,
            status,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            is_failure: status >= 500
                || progress.status == 0
                || progress.reason.is_some_and(|reason| reason.status() >= 500),
        },
    );
    exchange.metrics().observe(&record);
    if let Some(partner) = partner {
        partner.metrics.observe(status);
    }
}
