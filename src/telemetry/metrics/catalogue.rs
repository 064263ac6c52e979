//! Every metric, once: registration and `docs/metrics.md` are both made from this table.

/// A metric and all its series.
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub unit: &'static str,
    pub help: &'static str,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Counter,
    Gauge,
    /// With these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As the exposition format calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    /// Upper bounds of a histogram, without the infinite one.
    pub(super) const fn buckets(self) -> &'static [f64] {
        match self {
            Self::Histogram(buckets) => buckets,
            Self::Counter | Self::Gauge => &[],
        }
    }
}

/// From what the gateway answers by itself up to the longest ordinary time limit, in seconds.
pub const LATENCY_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// From what was stored just now up to what is kept for a week, in seconds.
pub const AGE_BUCKETS: &[f64] = &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];

macro_rules! families {
    ($( $id:ident $name:literal $kind:expr, [$($label:literal),*] $unit:literal $help:literal; )*) => {
        $( pub(super) const $id: Family = Family { name: $name, kind: $kind, labels: &[$($label),*], unit: $unit, help: $help }; )*

        /// What the gateway registers itself.
        pub const FAMILIES: &[Family] = &[$( $id ),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

families! {
    REQUESTS "sluice_requests_total" Counter, ["route", "status_class"] "requests" "Finished requests.";
    REQUEST_DURATION "sluice_request_duration_seconds" Histogram(LATENCY_BUCKETS), ["route"] "seconds" "Time from the head of a request read to the last byte of its answer.";
    FIRST_BYTE "sluice_upstream_first_byte_seconds" Histogram(LATENCY_BUCKETS), ["route"] "seconds" "Time from a request's head read to the first byte of the upstream's answer, connecting included.";
    REQUEST_BYTES "sluice_request_bytes_total" Counter, ["route"] "bytes" "Bytes of request bodies, without framing.";
    RESPONSE_BYTES "sluice_response_bytes_total" Counter, ["route"] "bytes" "Bytes of response bodies, without framing.";
    REASONS "sluice_reasons_total" Counter, ["reason"] "requests" "Requests that were refused or failed, by reason.";
    CACHE_REQUESTS "sluice_cache_requests_total" Counter, ["route", "result"] "requests" "Finished requests of routes with a cache, by what it did; a route has these series from its first such request on.";
    CACHE_ENTRIES "sluice_cache_entries" Gauge, [] "answers" "Answers that are stored.";
    CACHE_BYTES "sluice_cache_bytes" Gauge, [] "bytes" "Memory of what is stored, as the budget counts it.";
    CACHE_BUDGET "sluice_cache_budget_bytes" Gauge, [] "bytes" "Memory that may be used, `cache.memory`.";
    CACHE_EVICTED "sluice_cache_evicted_total" Counter, [] "answers" "Answers that had to go for want of room, or were not let in.";
    CACHE_PURGED "sluice_cache_purged_total" Counter, [] "answers" "Answers that were purged.";
    CACHE_COLLAPSED "sluice_cache_collapsed_total" Counter, [] "requests" "Requests that waited for an answer that another one had asked for, so that the upstream was asked once.";
    CACHE_BACKGROUND "sluice_cache_background_total" Counter, ["why"] "requests" "Requests to upstreams that no client waited for.";
    CACHE_AGE "sluice_cache_age_seconds" Histogram(AGE_BUCKETS), [] "seconds" "Age of the answers that were given from memory.";
    ANOMALY_REQUESTS "sluice_anomaly_requests_total" Counter, ["route", "action"] "requests" "Requests that were scored, by what was done about them.";
    ANOMALY_UNUSUAL "sluice_anomaly_unusual_total" Counter, ["route"] "requests" "Requests that were scored and reached a rung of the ladder, whatever is done there; with `observe` too.";
    ANOMALY_REFUSED "sluice_anomaly_refused_total" Counter, ["route"] "requests" "Requests that were refused for being unusual: throttled, challenged or blocked.";
    ANOMALY_MODEL_MADE "sluice_anomaly_model_timestamp_seconds" Gauge, ["route"] "seconds since 1970" "When the model that judges a route was made; not there before the first one.";
    ANOMALY_MODEL_ROWS "sluice_anomaly_model_rows" Gauge, ["route"] "requests" "Requests that the model was made from.";
    ANOMALY_WARM_UP "sluice_anomaly_warm_up_ratio" Gauge, ["route"] "0 to 1" "Requests learned from since start, of the `warm_up` that a model needs, the first or another.";
    ANOMALY_DRIFT "sluice_anomaly_drift_index" Gauge, ["route"] "index" "How far scores have moved from what the model has learned (population stability index); above 0.25 is drift; not there while too few were scored.";
    ANOMALY_SHADOW "sluice_anomaly_shadow_total" Counter, ["route", "agreement"] "requests" "Requests that a model and its shadow have both scored, by which of them takes them for unusual; a route has these series from its first such request on.";
    ANOMALY_TRAININGS "sluice_anomaly_trainings_total" Counter, ["result"] "models" "Attempts to make a model.";
    ANOMALY_TRAINING_SECONDS "sluice_anomaly_training_seconds" Histogram(LATENCY_BUCKETS), [] "seconds" "Time that an attempt to make a model took, away from requests.";
    ANOMALY_DAMAGED "sluice_anomaly_damaged_models_total" Counter, [] "files" "Files of the folder of models that could not be read.";
    PARTNER_REQUESTS "sluice_partner_requests_total" Counter, ["partner", "status_class"] "requests" "Finished requests of known partners.";
    CREDENTIALS "sluice_credentials_total" Counter, ["method", "result"] "credentials" "Credentials that came with requests, by how they fared.";
    LIMITED "sluice_limit_refusals_total" Counter, ["limit"] "requests" "Requests that a limit refused, or would have refused, were it not only observed.";
    OBSERVED "sluice_observed_refusals_total" Counter, ["reason"] "requests" "Requests that passed because a policy is only observed, by the reason it would have refused them for.";
    REQUESTS_IN_FLIGHT "sluice_requests_in_flight" Gauge, [] "requests" "Requests that have begun and not ended.";
    CONNECTIONS_OPEN "sluice_connections_open" Gauge, ["listener"] "connections" "Open client connections.";
    CONNECTIONS "sluice_connections_total" Counter, ["listener"] "connections" "Accepted client connections.";
    CONNECTIONS_REFUSED "sluice_connections_refused_total" Counter, ["listener"] "connections" "Client connections that were closed at once because of a limit or a bad PROXY header.";
    TLS_HANDSHAKES "sluice_tls_handshakes_total" Counter, ["listener", "result", "version"] "handshakes" "TLS handshakes with clients.";
    UPSTREAM_CONNECTIONS "sluice_upstream_connections_total" Counter, ["upstream", "result"] "connections" "Connections taken for a request to an upstream, new or kept, and attempts that failed.";
    UPSTREAM_ENDPOINTS "sluice_upstream_endpoints" Gauge, ["upstream"] "endpoints" "Resolved endpoints that can be tried.";
    DNS_FAILURES "sluice_dns_failures_total" Counter, ["upstream"] "lookups" "Lookups of an upstream's names that failed; the last good answer stays in use.";
    ISSUER_FETCHES "sluice_issuer_fetches_total" Counter, ["issuer", "result"] "fetches" "Attempts to get the keys of an issuer, by fetching them or by reading files that have changed; after a failure the last good keys stay in use.";
    ISSUER_KEYS "sluice_issuer_keys" Gauge, ["issuer"] "keys" "Keys that tokens of an issuer are verified with now, those that it no longer publishes included; 0 means that its tokens get 503.";
    ISSUER_LAST_SUCCESS "sluice_issuer_last_success_timestamp_seconds" Gauge, ["issuer"] "seconds since 1970" "When the keys of an issuer were last had; 0 before.";
    RELOADS "sluice_reloads_total" Counter, ["result"] "reloads" "Reloads of the routes after start.";
    RELOAD_LAST_SUCCESS "sluice_reload_last_success_timestamp_seconds" Gauge, [] "seconds since 1970" "When the present configuration went live.";
    RELOAD_LAST_SUCCESSFUL "sluice_reload_last_successful" Gauge, [] "0 or 1" "Whether the last attempt to load the routes went live.";
    ROUTES "sluice_routes" Gauge, [] "routes" "Configured routes, faulty ones included.";
    ROUTES_FAULTY "sluice_routes_faulty" Gauge, [] "routes" "Routes that are closed because their configuration has an error.";
    CONFIG_INFO "sluice_config_info" Gauge, ["version"] "always 1" "Version of the routes that are live.";
    CERTIFICATE_EXPIRY "sluice_certificate_expiry_timestamp_seconds" Gauge, ["listener", "name"] "seconds since 1970" "When a served certificate ends; `name` is its first DNS name.";
    CERTIFICATE_RELOAD_FAILURES "sluice_certificate_reload_failures_total" Counter, [] "reloads" "Certificates that could not be loaded again; the old ones stay in use.";
    REVOCATIONS "sluice_revocations" Gauge, ["source"] "revocations" "Revocations in force, by where they come from; one that both name counts in both.";
    REVOCATIONS_UNSAVED "sluice_revocations_unsaved" Gauge, [] "changes" "Changes by the admin API that hold and that a restart would lose.";
    REVOCATION_FILE_FAILURES "sluice_revocation_file_failures_total" Counter, [] "readings" "Readings of the file of revocations that failed; what it revoked before stays revoked.";
    STORE_ERRORS "sluice_store_errors_total" Counter, [] "errors" "Failed attempts to read or write the store; what was to be kept stays in memory and is tried again.";
    ACCESS_LOG_DROPPED "sluice_access_log_dropped_total" Counter, [] "lines" "Access log lines that were lost because the buffer was full or could not be written.";
    ACCESS_LOG_ERRORS "sluice_access_log_errors_total" Counter, [] "errors" "Failed attempts to write or reopen the access log.";
    BUILD_INFO "sluice_build_info" Gauge, ["version"] "always 1" "Version of the program.";
    READY "sluice_ready" Gauge, [] "0 or 1" "What `/ready` says.";
}

macro_rules! process {
    ($( $name:literal $kind:expr, $unit:literal $help:literal; )*) => {
        /// What the process collector of the `prometheus` crate adds on Linux.
        pub const PROCESS: &[Family] = &[$( Family { name: $name, kind: $kind, labels: &[], unit: $unit, help: $help } ),*];
    };
}

process! {
    "process_cpu_seconds_total" Counter, "seconds" "CPU time of the process.";
    "process_open_fds" Gauge, "descriptors" "Open file descriptors.";
    "process_max_fds" Gauge, "descriptors" "Limit of open file descriptors.";
    "process_virtual_memory_bytes" Gauge, "bytes" "Virtual memory.";
    "process_resident_memory_bytes" Gauge, "bytes" "Resident memory.";
    "process_start_time_seconds" Gauge, "seconds since 1970" "When the process was started.";
    "process_threads" Gauge, "threads" "Threads of the process.";
}

/// A label whose values form a closed set, named in the documentation.
pub struct Label {
    pub name: &'static str,
    pub values: &'static str,
}

pub const LABELS: &[Label] = &[
    Label { name: "route", values: "name of a route, `none` when no route matched, `other` beyond 2000 routes" },
    Label { name: "status_class", values: "`1xx`, `2xx`, `3xx`, `4xx`, `5xx`, `other`" },
    Label { name: "reason", values: "every code of [reasons](reasons.md), present from the start" },
    Label { name: "partner", values: "name of a partner, `other` beyond 1000 partners" },
    Label { name: "limit", values: "name of a limit, `other` beyond 1000 limits" },
    Label {
        name: "action",
        values: "`observe`, `tag`, `throttle`, `challenge`, `block`; `held_back` when `max_blocked` did not let it happen",
    },
    Label { name: "agreement", values: "`both`, `only_model`, `only_shadow`, `neither`" },
    Label { name: "method", values: "`jwt`, `api_key`, `certificate`" },
    Label { name: "listener", values: "name of a listener" },
    Label { name: "upstream", values: "name of an upstream, `other` beyond 1000 upstreams" },
    Label { name: "issuer", values: "name of an issuer, `other` beyond 200 issuers" },
    Label {
        name: "result",
        values: "cache: `hit`, `miss`, `stale`, `stale_error`, `revalidated`, `expired`, `vary_miss`, `refetch`, `bypass`, `method`; credentials: `cached` (a token that was verified before), `accepted`, `refused`; handshakes: `ok`, `failed`, `timeout`; upstream connections: `opened`, `reused`, `refused`, `timeout`, `tls`; keys of issuers and reloads: `success`, `failure`; models: `made`, `unsaved` (it judges, and a restart loses it), `too_few` (requests to learn from)",
    },
    Label {
        name: "version",
        values: "handshakes: `TLSv1.2`, `TLSv1.3`, `none` when it failed; information metrics: one value, the present one",
    },
    Label {
        name: "why",
        values: "`revalidate` (a stale answer was given meanwhile), `refresh_ahead` (a popular one was about to expire)",
    },
    Label { name: "source", values: "`file`, `api`" },
    Label { name: "name", values: "first DNS name of a certificate" },
];
