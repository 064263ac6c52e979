use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::capped::Capped;
use super::*;
use crate::base::reason::Reason;
use crate::telemetry::Record;
use crate::telemetry::access_log::Escaped;

fn record(status: u16, reason: Option<Reason>) -> Record<'static> {
    static VERSION: LazyLock<Escaped> = LazyLock::new(|| Escaped::new("0a1b2c3d4e5f"));
    Record {
        time: Duration::ZERO,
        request_id: b"r-1",
        trace_id: None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        listener: "public",
        protocol: "HTTP/1.1",
        tls: None,
        method: b"GET",
        host: b"api.example.com",
        path: b"/secret-path",
        route: None,
        partner: None,
        auth: None,
        subject: None,
        status,
        reason,
        limit: None,
        observed: &[],
        anomaly: None,
        cache: None,
        upstream: None,
        endpoint: None,
        attempts: 0,
        upstream_reused: false,
        request_bytes: 10,
        response_bytes: 200,
        connect: None,
        first_byte: Some(Duration::from_millis(2)),
        total: Duration::from_millis(3),
        snapshot: &VERSION,
        user_agent: None,
    }
}

/// The value of the one series with this name and these labels, as the exposition writes them.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.encode();
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next().unwrap().parse().ok()
}

#[test]
fn the_exposition_has_exactly_what_the_catalogue_says() {
    let metrics = Metrics::new();
    metrics.route("orders").observe(&Record { cache: Some("hit"), ..record(200, None) });
    metrics.listener("public").refused();
    let anomaly = metrics.anomaly("orders");
    anomaly.compared(true, false);
    anomaly.set(&AnomalyNumbers { model: Some((Duration::from_secs(1), 1)), warm_up: 0.5, drift: Some(0.1) });
    metrics.partner("acme").observe(200);
    metrics.set_limits(["standard.rate_limit"].into_iter());
    metrics.decisions().limited("standard.rate_limit");
    metrics.upstream("orders").set_endpoints(1);
    metrics.issuer("main").set_keys(1);
    metrics.set_revocations(1, 1, 0);
    metrics.started(&Published { version: "v1", at: Duration::from_secs(1), routes: 1, faulty: 0 });
    metrics.set_certificates("public", &[("example.com", Duration::from_secs(1))]);

    let text = metrics.encode();
    let exposed: BTreeMap<_, _> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let listed: BTreeMap<_, _> =
        FAMILIES.iter().chain(PROCESS).map(|family| (family.name, family.kind.as_str())).collect();
    assert_eq!(exposed, listed);
    assert_eq!(listed.len(), FAMILIES.len() + PROCESS.len(), "names are unique");
    assert!(!text.contains("secret-path"));
}

#[test]
fn every_label_is_described_and_every_description_used() {
    let used: BTreeSet<_> = FAMILIES.iter().flat_map(|family| family.labels).copied().collect();
    let described: BTreeSet<_> = LABELS.iter().map(|label| label.name).collect();
    assert_eq!(used, described);
    assert!(LABELS.iter().any(|label| label.values.contains(&MAX_ROUTES.to_string())));
    assert!(LABELS.iter().any(|label| label.values.contains(&MAX_UPSTREAMS.to_string())));
    assert!(LABELS.iter().any(|label| label.values.contains(&MAX_PARTNERS.to_string())));
    assert!(LABELS.iter().any(|label| label.values.contains(&MAX_LIMITS.to_string())));
    assert!(LABELS.iter().any(|label| label.values.contains(&MAX_ISSUERS.to_string())));
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    for family in FAMILIES {
        assert!(family.name.starts_with("sluice_"), "{}", family.name);
        assert_eq!(family.name.ends_with("_total"), matches!(family.kind, Kind::Counter), "{}", family.name);
        assert!(family.help.ends_with('.'), "{}", family.name);
    }
}

#[test]
fn a_request_is_counted_by_route_class_and_reason() {
    let metrics = Metrics::new();
    let route = metrics.route("orders");
    route.observe(&record(200, None));
    route.observe(&record(204, None));
    route.observe(&record(503, Some(Reason::Internal)));
    route.observe(&record(499, Some(Reason::ClientClosed)));
    route.observe(&record(999, None));
    metrics.unrouted().observe(&record(404, Some(Reason::RouteNotFound)));

    for (series, expected) in [
        ("sluice_requests_total{route=\"orders\",status_class=\"2xx\"}", 2.0),
        ("sluice_requests_total{route=\"orders\",status_class=\"5xx\"}", 1.0),
        ("sluice_requests_total{route=\"orders\",status_class=\"other\"}", 1.0),
        ("sluice_requests_total{route=\"none\",status_class=\"4xx\"}", 1.0),
        ("sluice_request_bytes_total{route=\"orders\"}", 50.0),
        ("sluice_response_bytes_total{route=\"orders\"}", 1000.0),
        ("sluice_request_duration_seconds_count{route=\"orders\"}", 5.0),
        ("sluice_upstream_first_byte_seconds_bucket{route=\"orders\",le=\"0.0025\"}", 5.0),
        ("sluice_upstream_first_byte_seconds_bucket{route=\"orders\",le=\"0.001\"}", 0.0),
        ("sluice_reasons_total{reason=\"ROUTE_NOT_FOUND\"}", 1.0),
        ("sluice_reasons_total{reason=\"INTERNAL\"}", 1.0),
        ("sluice_reasons_total{reason=\"CLIENT_CLOSED\"}", 1.0),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
}

#[test]
fn every_reason_is_there_from_the_start() {
    let metrics = Metrics::new();
    for (place, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, place, "counters are found by this number");
        assert_eq!(value(&metrics, &format!("sluice_reasons_total{{reason=\"{reason}\"}}")), Some(0.0));
    }
}

#[test]
fn a_route_keeps_its_counters_over_a_reload_and_loses_them_with_its_name() {
    let metrics = Metrics::new();
    metrics.route("kept").observe(&record(200, None));
    metrics.route("kept").observe(&record(200, None));
    metrics.route("gone").observe(&record(200, None));
    metrics.upstream("gone").set_endpoints(3);
    metrics.retain_routes(&["kept"]);
    metrics.retain_upstreams(&["kept"]);

    assert_eq!(value(&metrics, "sluice_requests_total{route=\"kept\",status_class=\"2xx\"}"), Some(2.0));
    assert!(!metrics.encode().contains("\"gone\""));
    metrics.route("gone").observe(&record(200, None));
    assert_eq!(value(&metrics, "sluice_requests_total{route=\"gone\",status_class=\"2xx\"}"), Some(1.0));
}

#[test]
fn names_beyond_the_bound_share_one_series() {
    let capped = Capped::new("things", 2);
    let next = AtomicUsize::new(0);
    let make = || next.fetch_add(1, Ordering::Relaxed);
    assert_eq!(["a", "b", "c", "d", "a"].map(|name| capped.get(name, make)), [0, 1, 2, 2, 0]);
    assert_eq!(capped.all().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "other"].map(Into::into));
    capped.retain(&["a"]);
    assert_eq!(["c", "d"].map(|name| capped.get(name, make)), [3, 2], "a place is free again");
}

#[test]
fn a_route_has_as_many_series_as_the_bound_reckons_with() {
    let metrics = Metrics::new();
    metrics.route("orders").observe(&record(200, None));
    metrics.upstream("payments").set_endpoints(1);
    let count = |label: &str| metrics.encode().lines().filter(|line| line.contains(label)).count();
    assert_eq!(count("route=\"orders\""), 46);
    assert_eq!(count("upstream=\"payments\""), 7);
    metrics.route("orders").observe(&Record { cache: Some("miss"), ..record(200, None) });
    assert_eq!(count("route=\"orders\""), 46 + CACHE_RESULTS.len());
}

#[test]
fn reloads_show_what_is_live() {
    let metrics = Metrics::new();
    metrics.started(&Published { version: "v1", at: Duration::from_secs(100), routes: 5, faulty: 0 });
    assert_eq!(value(&metrics, "sluice_reload_last_successful"), Some(1.0));
    metrics.reload_failed();
    assert_eq!(value(&metrics, "sluice_reload_last_successful"), Some(0.0));
    assert_eq!(value(&metrics, "sluice_reload_last_success_timestamp_seconds"), Some(100.0));
    metrics.reload_succeeded(&Published { version: "v2", at: Duration::from_secs(200), routes: 6, faulty: 1 });

    assert_eq!(value(&metrics, "sluice_config_info{version=\"v2\"}"), Some(1.0));
    assert!(!metrics.encode().contains("version=\"v1\""));
    assert_eq!(value(&metrics, "sluice_routes_faulty"), Some(1.0));
    assert_eq!(value(&metrics, "sluice_reloads_total{result=\"success\"}"), Some(1.0));
    assert_eq!(value(&metrics, "sluice_reloads_total{result=\"failure\"}"), Some(1.0));
    metrics.reload_succeeded(&Published { version: "v2", at: Duration::from_secs(300), routes: 6, faulty: 1 });
    assert_eq!(value(&metrics, "sluice_config_info{version=\"v2\"}"), Some(1.0), "the same version again");
}

#[test]
fn connections_and_requests_are_open_as_long_as_their_guards() {
    let metrics = Metrics::new();
    let listener = metrics.listener("public");
    let connection = listener.accepted();
    let request = metrics.request_started();
    assert_eq!(value(&metrics, "sluice_connections_open{listener=\"public\"}"), Some(1.0));
    assert_eq!(value(&metrics, "sluice_requests_in_flight"), Some(1.0));
    drop((connection, request));
    assert_eq!(value(&metrics, "sluice_connections_open{listener=\"public\"}"), Some(0.0));
    assert_eq!(value(&metrics, "sluice_connections_total{listener=\"public\"}"), Some(1.0));
    assert_eq!(value(&metrics, "sluice_requests_in_flight"), Some(0.0));

    listener.handshake(Handshake::TimedOut);
    let series = "sluice_tls_handshakes_total{listener=\"public\",result=\"timeout\",version=\"none\"}";
    assert_eq!(value(&metrics, series), Some(1.0));
    metrics.upstream("orders").connection(UpstreamConnection::TlsFailed);
    assert_eq!(value(&metrics, "sluice_upstream_connections_total{result=\"tls\",upstream=\"orders\"}"), Some(1.0));
}

#[test]
fn certificates_that_are_gone_take_their_series_with_them() {
    let metrics = Metrics::new();
    let day = |day: u64| Duration::from_secs(day * 86_400);
    metrics.set_certificates("public", &[("a.example", day(1)), ("b.example", day(2))]);
    metrics.set_certificates("internal", &[("a.example", day(3))]);
    metrics.set_certificates("public", &[("b.example", day(4))]);
    let name = |listener, name| {
        format!("sluice_certificate_expiry_timestamp_seconds{{listener=\"{listener}\",name=\"{name}\"}}")
    };
    assert_eq!(value(&metrics, &name("public", "a.example")), None);
    assert_eq!(value(&metrics, &name("public", "b.example")), Some(4.0 * 86_400.0));
    assert_eq!(value(&metrics, &name("internal", "a.example")), Some(3.0 * 86_400.0));
}

#[test]
fn callers_are_counted_by_partner_credential_and_limit() {
    let metrics = Metrics::new();
    let (partner, decisions) = (metrics.partner("acme"), metrics.decisions());
    partner.observe(200);
    partner.observe(429);
    decisions.credential(Credential::TokenCached);
    decisions.credential(Credential::CertificateRefused);
    metrics.set_limits(["standard.rate_limit", "x"].into_iter());
    decisions.limited("standard.rate_limit");
    metrics.set_limits(["standard.rate_limit"].into_iter());
    decisions.observed(Reason::ScopeMissing);
    metrics.retain_partners(&["acme"]);
    for series in [
        "sluice_partner_requests_total{partner=\"acme\",status_class=\"2xx\"}",
        "sluice_partner_requests_total{partner=\"acme\",status_class=\"4xx\"}",
        "sluice_credentials_total{method=\"jwt\",result=\"cached\"}",
        "sluice_credentials_total{method=\"certificate\",result=\"refused\"}",
        "sluice_limit_refusals_total{limit=\"standard.rate_limit\"}",
        "sluice_observed_refusals_total{reason=\"SCOPE_MISSING\"}",
    ] {
        assert_eq!(value(&metrics, series), Some(1.0), "{series}");
    }
    metrics.retain_partners(&[]);
    assert_eq!(value(&metrics, "sluice_partner_requests_total{partner=\"acme\",status_class=\"2xx\"}"), None);
}

#[test]
fn an_issuer_shows_what_it_has_counted_itself() {
    let metrics = Metrics::new();
    let issuer = metrics.issuer("main");
    issuer.set_fetches(3, 2);
    issuer.set_keys(4);
    issuer.set_last_success(1_700_000_000);
    metrics.issuer("gone").set_keys(1);
    metrics.retain_issuers(&["main"]);

    for (series, expected) in [
        ("sluice_issuer_fetches_total{issuer=\"main\",result=\"success\"}", 3.0),
        ("sluice_issuer_fetches_total{issuer=\"main\",result=\"failure\"}", 2.0),
        ("sluice_issuer_keys{issuer=\"main\"}", 4.0),
        ("sluice_issuer_last_success_timestamp_seconds{issuer=\"main\"}", 1_700_000_000.0),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
    assert!(!metrics.encode().contains("\"gone\""));
}

#[test]
fn a_request_is_counted_by_what_the_cache_did() {
    let metrics = Metrics::new();
    let route = metrics.route("orders");
    route.observe(&record(200, None));
    for result in CACHE_RESULTS.into_iter().chain(["hit"]) {
        route.observe(&Record { cache: Some(result), ..record(200, None) });
    }
    for result in CACHE_RESULTS {
        let series = format!("sluice_cache_requests_total{{result=\"{result}\",route=\"orders\"}}");
        assert_eq!(value(&metrics, &series), Some(if result == "hit" { 2.0 } else { 1.0 }), "{series}");
        let described = LABELS.iter().find(|label| label.name == "result").unwrap().values;
        assert!(described.contains(&format!("`{result}`")), "{result}");
    }
}

#[test]
fn the_cache_shows_what_it_has_counted_itself_and_what_is_counted_for_it() {
    let metrics = Metrics::new();
    let cache = metrics.cache();
    cache.set(&CacheNumbers { entries: 1, bytes: 2, budget: 3, evicted: 4, purged: 5 });
    cache.collapsed();
    cache.background(Background::RefreshAhead);
    for age in [Duration::ZERO, Duration::from_secs(1), Duration::from_millis(1_001), Duration::MAX / 4] {
        cache.given(age);
    }
    for (series, expected) in [
        ("sluice_cache_entries", 1.0),
        ("sluice_cache_bytes", 2.0),
        ("sluice_cache_budget_bytes", 3.0),
        ("sluice_cache_evicted_total", 4.0),
        ("sluice_cache_purged_total", 5.0),
        ("sluice_cache_collapsed_total", 1.0),
        ("sluice_cache_background_total{why=\"refresh_ahead\"}", 1.0),
        ("sluice_cache_background_total{why=\"revalidate\"}", 0.0),
        ("sluice_cache_age_seconds_bucket{le=\"1\"}", 2.0),
        ("sluice_cache_age_seconds_bucket{le=\"5\"}", 3.0),
        ("sluice_cache_age_seconds_bucket{le=\"604800\"}", 3.0),
        ("sluice_cache_age_seconds_bucket{le=\"+Inf\"}", 4.0),
        ("sluice_cache_age_seconds_count", 4.0),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
    assert_eq!(cache.collapsed_so_far(), 1);
}

#[test]
fn anomaly_checks_are_counted_by_what_was_done() {
    use crate::config::checked::anomaly::Action;

    let metrics = Metrics::new();
    let route = metrics.anomaly("orders");
    route.scored(Action::Observe);
    route.scored(Action::Observe);
    route.scored(Action::Block);
    route.held_back();
    route.unusual();
    route.refused();
    let requests = |action: &str| format!("sluice_anomaly_requests_total{{action=\"{action}\",route=\"orders\"}}");
    let agreement =
        |agreement: &str| format!("sluice_anomaly_shadow_total{{agreement=\"{agreement}\",route=\"orders\"}}");
    assert_eq!(value(&metrics, &agreement("both")), None, "there is no shadow");
    assert_eq!(value(&metrics, "sluice_anomaly_model_timestamp_seconds{route=\"orders\"}"), None);
    assert_eq!(value(&metrics, "sluice_anomaly_drift_index{route=\"orders\"}"), None);
    for (by_model, by_shadow) in [(true, true), (true, false), (false, true), (false, true), (false, false)] {
        route.compared(by_model, by_shadow);
    }
    route.set(&AnomalyNumbers { model: Some((Duration::from_secs(7), 2_000)), warm_up: 1.0, drift: Some(0.5) });
    metrics.trained(Training::Made, Duration::from_millis(2));
    metrics.damaged_models(2);
    for (series, expected) in [
        (requests("observe"), 2.0),
        (requests("tag"), 0.0),
        (requests("block"), 1.0),
        (requests("held_back"), 1.0),
        (agreement("both"), 1.0),
        (agreement("only_model"), 1.0),
        (agreement("only_shadow"), 2.0),
        (agreement("neither"), 1.0),
        ("sluice_anomaly_unusual_total{route=\"orders\"}".to_owned(), 1.0),
        ("sluice_anomaly_refused_total{route=\"orders\"}".to_owned(), 1.0),
        ("sluice_anomaly_model_timestamp_seconds{route=\"orders\"}".to_owned(), 7.0),
        ("sluice_anomaly_model_rows{route=\"orders\"}".to_owned(), 2000.0),
        ("sluice_anomaly_warm_up_ratio{route=\"orders\"}".to_owned(), 1.0),
        ("sluice_anomaly_drift_index{route=\"orders\"}".to_owned(), 0.5),
        ("sluice_anomaly_trainings_total{result=\"made\"}".to_owned(), 1.0),
        ("sluice_anomaly_trainings_total{result=\"too_few\"}".to_owned(), 0.0),
        ("sluice_anomaly_training_seconds_count".to_owned(), 1.0),
        ("sluice_anomaly_damaged_models_total".to_owned(), 2.0),
    ] {
        assert_eq!(value(&metrics, &series), Some(expected), "{series}");
    }
    assert_eq!(route.counts().actions, [2, 0, 0, 0, 1]);
    metrics.retain_anomalies(&[]);
    assert_eq!(value(&metrics, &requests("observe")), None);
}
