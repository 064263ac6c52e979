//! The keys of `routes.yaml`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::access::{Addresses, Auth};
use super::anomaly::{AnomalySettings, RouteAnomaly};
use super::cache::RouteCache;
use super::expectation::Test;
use super::identity::{Identity, Issuer, Partner};
use super::limits::{Concurrency, LimitFields, Plan, Quota, RateLimit};
use super::{Bool, Count, Duration, Guarded, Host, List, Name, Named, OneOrMany, OrOff, Size, Text, choices, model};
use crate::config::defaults::{self, size, time};
use crate::config::report::{Code, Diagnostic};
use crate::config::yaml::{Kind, NodeId, Read, Reader};

model! {
    /// The routes of a Sluice gateway: what is read again while it runs.
    RoutesFile "the routes file" OPEN {
        /// The version of this format: 1.
        required version: Count,
        /// What holds for every route that does not say otherwise.
        optional defaults: Defaults,
        /// Who signs tokens, by name.
        optional issuers: Named<Guarded<Box<Issuer>>>,
        /// What partners have agreed on, by name.
        optional plans: Named<Guarded<Plan>>,
        /// Everybody who is known, by name.
        optional partners: Named<Guarded<Partner>>,
        /// How upstreams learn who calls.
        optional identity: Identity,
        /// How models of what is usual are made, and how much may follow from them.
        optional anomaly: AnomalySettings,
        /// The services behind the gateway, by name.
        optional upstreams: Named<Guarded<Upstream>>,
        /// What to do with which requests. The most specific route wins, wherever it stands.
        required routes: List<Guarded<Route>>,
    }

    /// What holds for every route that does not say otherwise.
    Defaults "`defaults`" {
        /// How long upstreams may take.
        optional timeouts: Timeouts,
        /// The largest request body; `off` for no limit.
        optional max_body: OrOff<Size> = size(defaults::MAX_BODY),
        /// Who forwards.
        optional engine: Engine = "auto",
        /// Which answer fields tell clients about their limits.
        optional rate_limit_fields: LimitFields = "standard",
        /// What is done about unusual requests; an action alone is its `action`. Nothing when not written.
        optional anomaly: OrOff<Box<RouteAnomaly>> = "off",
    }

    /// How long an upstream may take.
    Timeouts "`timeouts`" {
        /// TCP and TLS connection.
        optional connect: Duration = time(defaults::CONNECT),
        /// From the request sent to the first byte of the answer.
        optional first_byte: Duration = time(defaults::FIRST_BYTE),
        /// Between two reads or two writes.
        optional idle: Duration = time(defaults::IDLE),
        /// The whole request; `off` for no limit.
        optional total: OrOff<Duration> = "off",
    }

    /// A service behind the gateway.
    Upstream "an upstream" {
        /// Where it listens, as `host:port`.
        required endpoints: List<Text>,
        /// The HTTP version to speak; `auto` asks by ALPN and needs `tls`.
        optional protocol: Protocol = "http1",
        /// Connect with TLS.
        optional tls: UpstreamTls,
        /// How often the names of endpoints are resolved again.
        optional dns_refresh: Duration = time(defaults::DNS_REFRESH),
    }

    /// TLS to an upstream; its certificate is always verified.
    UpstreamTls "`tls` of an upstream" {
        /// The name that is asked for (SNI) and that the certificate has to carry.
        checked server_name: Text,
        /// A PEM file of authorities to trust instead of the system's, from the folder of this file.
        optional ca: Text,
    }

    /// What to do with some requests: exactly one of `upstream`, `redirect` and `respond`.
    Route "a route" {
        /// Unique; appears in logs, metrics and errors.
        required name: Name,
        /// Which requests are meant.
        required r#match: Guarded<Box<Match>>,
        /// How callers are known. Has to be written; `none` asks nobody.
        checked auth: Auth,
        /// Which addresses of clients may call it.
        optional addresses: Box<Addresses>,
        /// How often callers may.
        optional rate_limit: OneOrMany<RateLimit>,
        /// How many requests a calendar period has.
        optional quota: OneOrMany<Quota>,
        /// How many requests may be on their way at the same time.
        optional concurrency: OneOrMany<Concurrency>,
        /// What one request counts for in rates and quotas.
        optional cost: Count = 1,
        /// Which answer fields tell clients about their limits: `RateLimit` and `RateLimit-Policy` (`standard`), the older
        /// `X-RateLimit-*` too (`both`), or none. As `defaults` say when not written.
        optional rate_limit_fields: LimitFields,
        /// What is done about unusual requests; an action alone is its `action`. `off` looks at none. As `defaults` say when not
        /// written.
        optional anomaly: OrOff<Box<RouteAnomaly>>,
        /// Forward to this upstream.
        optional upstream: Text,
        /// Send the client elsewhere.
        optional redirect: Box<Redirect>,
        /// Answer at once.
        optional respond: Box<Respond>,
        /// The path that the upstream sees; what the client sent when not written.
        optional rewrite: Box<Rewrite>,
        /// The Host that the upstream sees: `keep`, or a host.
        optional host: Text = "keep",
        /// Changes to the request's header before it is forwarded.
        optional request_headers: Box<HeaderEdits>,
        /// Changes to the answer's header.
        optional response_headers: Box<HeaderEdits>,
        /// Keeps answers and gives them again; a duration alone is its `ttl`. `off` keeps nothing, as if it were not written.
        optional cache: OrOff<Box<RouteCache>>,
        /// Tags whose answers are purged when a request that changes something succeeds, with `{name}` from the matched path.
        optional invalidates: OneOrMany<Text>,
        /// How long the upstream may take.
        optional timeouts: Box<Timeouts>,
        /// The largest request body; `off` for no limit.
        optional max_body: OrOff<Size>,
        /// Let `%2F`, `%5C` and `%00` in the path through to the upstream.
        optional allow_encoded_slash: Bool = false,
        /// Who forwards: `auto` is Sluice's own forwarder where it can, else Pingora; `pingora` is always Pingora; `direct` is
        /// `auto`, and an error with an upstream that has to be Pingora's. As `defaults` say when not written.
        optional engine: Engine,
        /// What `sluice test` tries. A mistake in here does not close the route.
        optional tests: Guarded<List<Test>>,
    }

    /// Which requests are meant. All of what is written has to hold.
    Match "`match`" {
        /// Any of these hosts: a name, `*.` and a name, or `*`. Every host when not written.
        optional hosts: List<Host>,
        /// `/a/b` is that path; `{name}` is one segment; `{name...}` at the end is all the rest.
        required path: Text,
        /// Any of these methods. Every method when not written.
        optional methods: List<Text>,
        /// Request fields by name: the exact value, or `{present: true}`.
        optional headers: Named<Condition>,
        /// Query parameters by name, decoded: the exact value, or `{present: true}`.
        optional query: Named<Condition>,
    }

    /// Sends the client elsewhere.
    Redirect "`redirect`" {
        /// 301, 302, 303, 307 or 308.
        optional status: Count = defaults::REDIRECT_STATUS,
        /// A path or an absolute URL, with `{name}` from the matched path and `{?}` for the query.
        required location: Text,
    }

    /// A fixed answer.
    Respond "`respond`" {
        /// 200 to 599.
        optional status: Count = defaults::RESPOND_STATUS,
        /// The media type of the body.
        optional content_type: Text = defaults::CONTENT_TYPE,
        /// The body as text.
        optional body: Text,
    }

    /// The path that the upstream sees: one of the two.
    Rewrite "`rewrite`" {
        /// Take this off the front of the path.
        optional strip_prefix: Text,
        /// Make the path anew, with `{name}` from the matched path. The query is kept.
        optional path: Text,
    }

    /// Changes to a header, in this order: remove, set, add.
    HeaderEdits "an edit of headers" {
        /// Take these away.
        optional remove: List<Text>,
        /// Replace these, or add them where they are not there.
        optional set: Named<Text>,
        /// Add these beside what is there.
        optional add: Named<Text>,
    }
}

choices! {
    Protocol "a protocol" {
        Http1 "http1",
        Http2 "http2",
        Auto "auto",
    }

    Engine "an engine" {
        Auto "auto",
        Direct "direct",
        Pingora "pingora",
    }
}

/// What a header field or query parameter has to be.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Present,
    Exact(Box<str>),
}

impl Read for Condition {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.kind(node)? != Kind::Mapping {
            return reader.text(node, "text or `{present: true}`").map(|text| Self::Exact(text.into()));
        }
        let presence = Presence::read(node, reader)?;
        match presence.present {
            Some(present) if present.value.0 => Some(Self::Present),
            Some(present) => {
                let mistake = Diagnostic::new(Code::Choice, present.span, "only `present: true` can be asked for");
                reader.note(mistake.help("a request without it is the business of a less specific route"));
                None
            }
            None => None,
        }
    }
}

model! {
    /// Asks that something is there, whatever its value.
    Presence "a condition" {
        /// Always `true`.
        required present: Bool,
    }
}

impl JsonSchema for Condition {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<Presence>()] })
    }
}
