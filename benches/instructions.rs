//! Work of the engines and of telemetry for `instructions.sh`, which counts its instructions.
//!
//! `instructions find SIZE ROUNDS` builds a table of SIZE routes and looks up every sample request ROUNDS times;
//! `tenants` does so with one path whose routes a header tells apart; `normal` and `dirty` normalise sample paths;
//! `build SIZE` prints how long conflicts and table take; `get` and `post` read a request head, decide about it and write
//! the head that is forwarded. `verify`, `forge`, `hit` and `refuse` check a token of an algorithm that is new, forged, known, or known
//! to be forged; `limits KIND ROUNDS` charges requests to their limits, `partners SIZE` prints how long those of SIZE partners take to build,
//! and `strangers SIZE` has that many addresses come once; `fill COUNT` prints the memory that so many tokens take. `log` and `metrics` write finished requests down, `finish` does both, `records` neither.
//! Without arguments, every kind runs once, as a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, clippy::panic, reason = "a program for the terminal")]

#[path = "instructions/cache.rs"]
mod cache;
#[path = "instructions/limits.rs"]
mod limits;
#[path = "instructions/request.rs"]
mod request;
#[path = "instructions/tokens.rs"]
mod tokens;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use http::{HeaderName, Method};
use sluice::base::clock;
use sluice::base::host_pattern::HostPattern;
use sluice::config::checked;
use sluice::route::{Example, FieldMatch, Lookup, PathPattern, RouteMatch, Table, ValueMatch, conflicts, normalise};
use sluice::telemetry::access_log::Escaped;
use sluice::telemetry::metrics::UpstreamConnection;
use sluice::telemetry::{AccessLog, Metrics, Record};

/// Requests, or paths, in one round; the script divides by it.
const SAMPLES: usize = 64;

const RESOURCES: [&str; 8] = ["orders", "invoices", "shipments", "partners", "claims", "products", "prices", "events"];

const NORMAL: [&str; 4] =
    ["/", "/api/v1/orders/8842", "/svc17/v2/invoices/2026-11-0042/lines/3", "/files/a/b/c/report%20final.pdf"];

const DIRTY: [&str; 4] = [
    "//",
    "/api//v1/./orders/8842",
    "/svc17/v2/x/../invoices/%32026-11-0042/lines/3",
    "/files/a/b/c/report%20%66inal.pdf|",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match (arguments.as_slice(), arguments.get(1).map(|text| text.parse()), arguments.get(2).map(|text| text.parse())) {
        ([], ..) => {
            find(1_000, 1);
            tenants(1_000, 1);
            normalise_all(&NORMAL, 1);
            normalise_all(&DIRTY, 1);
            build(1_000);
            request::serve(request::GET, 1);
            request::serve(request::POST, 1);
            finish(1, true, true);
            for algorithm in ["RS256", "ES256", "EdDSA", "HS256"] {
                for kind in ["verify", "forge", "hit", "refuse"] {
                    token(kind, algorithm, 1);
                }
            }
            tokens::fill(100);
            limits::pass(limits::Kind::Combined, 1);
            limits::pass(limits::Kind::Told, 1);
            limits::build(100);
            limits::flood(1_000);
            cache::keys(1);
            cache::hits(1_000, 1);
        }
        (["find", ..], Some(Ok(size)), Some(Ok(rounds))) => find(size, rounds),
        (["tenants", ..], Some(Ok(size)), Some(Ok(rounds))) => tenants(size, rounds),
        (["normal", ..], Some(Ok(rounds)), None) => normalise_all(&NORMAL, rounds),
        (["dirty", ..], Some(Ok(rounds)), None) => normalise_all(&DIRTY, rounds),
        (["get", ..], Some(Ok(rounds)), None) => request::serve(request::GET, rounds),
        (["post", ..], Some(Ok(rounds)), None) => request::serve(request::POST, rounds),
        (["build", ..], Some(Ok(size)), None) => build(size),
        (["records", ..], Some(Ok(rounds)), None) => finish(rounds, false, false),
        (["log", ..], Some(Ok(rounds)), None) => finish(rounds, true, false),
        (["metrics", ..], Some(Ok(rounds)), None) => finish(rounds, false, true),
        (["finish", ..], Some(Ok(rounds)), None) => finish(rounds, true, true),
        ([kind @ ("verify" | "forge" | "hit" | "refuse"), algorithm, _], _, Some(Ok(rounds))) => {
            token(kind, algorithm, rounds);
        }
        (["fill", ..], Some(Ok(count)), None) => tokens::fill(count),
        (["limits", kind, _], _, Some(Ok(rounds))) => limits::pass(limits::Kind::named(kind), rounds),
        (["key", ..], Some(Ok(rounds)), None) => cache::keys(rounds),
        (["stored", ..], Some(Ok(size)), Some(Ok(rounds))) => cache::hits(size, rounds),
        (["partners", ..], Some(Ok(size)), None) => limits::build(size),
        (["strangers", ..], Some(Ok(size)), None) => limits::flood(size),
        _ => {
            eprintln!(
                "usage: instructions [find|tenants|stored SIZE ROUNDS | normal|dirty|get|post|records|log|metrics|finish|key ROUNDS | verify|forge|hit|refuse ALGORITHM ROUNDS | fill COUNT | limits KIND ROUNDS | build|partners|strangers SIZE]"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn token(kind: &str, algorithm: &str, rounds: usize) {
    let text =
        tokens::of(algorithm).unwrap_or_else(|| panic!("{algorithm} is none of the algorithms that are counted"));
    match kind {
        "verify" => tokens::verify(text, rounds),
        "forge" => tokens::forge(text, rounds),
        "hit" => tokens::hit(text, rounds),
        _ => tokens::refuse(text, rounds),
    }
}

fn find(size: usize, rounds: usize) {
    let rules = rules(size);
    let table = Table::build(&rules.iter().collect::<Vec<_>>());
    let requests: Vec<Example> = (0..SAMPLES).map(|at| request_for(at * size / SAMPLES)).collect();
    look_up(&table, &requests, rounds);
}

fn tenants(size: usize, rounds: usize) {
    let name = HeaderName::from_static("x-tenant");
    let rules: Vec<RouteMatch> = (0..size)
        .map(|tenant| {
            let mut rule = rule(HostPattern::Any, "/api/orders/{id}", Method::GET);
            let value = ValueMatch::Exact(format!("tenant-{tenant}").into());
            rule.headers.push(FieldMatch { name: name.clone(), value });
            rule
        })
        .collect();
    let table = Table::build(&rules.iter().collect::<Vec<_>>());
    let requests: Vec<Example> = (0..SAMPLES)
        .map(|at| Example {
            method: Method::GET,
            host: "api.example.com".into(),
            path: "/api/orders/8842".into(),
            headers: vec![(name.clone(), format!("tenant-{}", at * size / SAMPLES))],
            query: None,
        })
        .collect();
    look_up(&table, &requests, rounds);
}

fn look_up(table: &Table, requests: &[Example], rounds: usize) {
    for _ in 0..rounds {
        for request in requests {
            let found = table.find(black_box(request));
            assert!(matches!(black_box(found), Lookup::Found(_)), "{request}");
        }
    }
}

fn normalise_all(paths: &[&str], rounds: usize) {
    for path in paths.iter().cycle().take(SAMPLES * rounds) {
        assert!(black_box(normalise(black_box(*path))).is_ok(), "{path}");
    }
}

fn build(size: usize) {
    let rules = rules(size);
    let rules: Vec<&RouteMatch> = rules.iter().collect();
    let start = clock::now();
    let found = black_box(conflicts(&rules)).len();
    let checked = clock::now();
    let table = black_box(Table::build(&rules));
    let built = clock::now();
    println!(
        "{size} routes: conflicts ({found}) {:?}, table {:?}, at most {} nodes a look-up",
        checked - start,
        built - checked,
        table.worst_case()
    );
}

/// What a forwarded request leaves behind: begun, its upstream connection counted, ended; as log line, metrics or both.
fn finish(rounds: usize, log: bool, count: bool) {
    let metrics = Metrics::new();
    let target = checked::AccessLogTarget::File("/dev/null".into());
    let config = checked::AccessLog { target, buffer: SAMPLES * (rounds + 1) };
    let access_log = AccessLog::start(&config, 1, &metrics).unwrap_or_else(|error| panic!("{error}"));
    let (route, upstream) = (metrics.route("orders-read"), metrics.upstream("orders"));
    let names = ["orders-read", "orders", "0a1b2c3d4e5f"].map(Escaped::new);
    for at in 0..rounds * SAMPLES {
        let record = black_box(finished(at, &names));
        if count {
            let in_flight = black_box(metrics.request_started());
            upstream.connection(black_box(UpstreamConnection::Reused));
            route.observe(&record);
            drop(in_flight);
        }
        if log {
            access_log.write(&record);
        }
    }
}

fn finished(at: usize, [route, upstream, snapshot]: &[Escaped; 3]) -> Record<'_> {
    let micros = (at % SAMPLES) as u64;
    Record {
        time: Duration::from_micros(1_763_775_907_000_000 + 25 * at as u64),
        request_id: b"4bf92f3577b34da6a3ce929d0e0e4736",
        trace_id: None,
        client: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        listener: "public",
        protocol: "HTTP/1.1",
        tls: None,
        method: b"GET",
        host: b"api.example.com",
        path: b"/api/v1/orders/8842",
        route: Some(route),
        partner: None,
        auth: None,
        subject: None,
        status: 200,
        reason: None,
        limit: None,
        observed: &[],
        anomaly: None,
        cache: None,
        upstream: Some(upstream),
        endpoint: Some(SocketAddr::from(([10, 0, 12, 8], 8080))),
        attempts: 1,
        upstream_reused: true,
        request_bytes: 0,
        response_bytes: 1_024,
        connect: None,
        first_byte: Some(Duration::from_nanos(612_345 + 10_000 * micros)),
        total: Duration::from_nanos(698_765 + 10_000 * micros),
        snapshot,
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    }
}

/// Several hosts of every kind, services below them, collections and items, reading and writing.
fn rules(size: usize) -> Vec<RouteMatch> {
    (0..size)
        .map(|at| {
            let (host, path, method) = parts(at);
            rule(host, &path, method)
        })
        .collect()
}

fn parts(at: usize) -> (HostPattern, String, Method) {
    let host = match at % 5 {
        0 => HostPattern::Any,
        1 => HostPattern::Wildcard("example.com".into()),
        other => HostPattern::Exact(format!("api{other}.example.com").into()),
    };
    let at = at / 5;
    let (shape, at) = (at % 5, at / 5);
    let resource = RESOURCES.get(at % 8).copied().unwrap_or("things");
    let base = format!("/svc{}/v{}/{resource}", at / 16, at / 8 % 2 + 1);
    match shape {
        0 => (host, base, Method::GET),
        1 => (host, base, Method::POST),
        2 => (host, format!("{base}/{{id}}"), Method::GET),
        3 => (host, format!("{base}/{{id}}/lines/{{line}}"), Method::PUT),
        _ => (host, format!("{base}/files/{{rest...}}"), Method::GET),
    }
}

fn rule(host: HostPattern, path: &str, method: Method) -> RouteMatch {
    let path = PathPattern::parse(path).unwrap_or_else(|error| panic!("{error}"));
    RouteMatch { hosts: vec![host], path, methods: vec![method], headers: Vec::new(), query: Vec::new() }
}

fn request_for(at: usize) -> Example {
    let (host, path, method) = parts(at);
    let host = match host {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Wildcard(suffix) => format!("shop.{suffix}"),
        HostPattern::Any => "partner.test".to_owned(),
    };
    let path = path.replace("{id}", "8842").replace("{line}", "3").replace("{rest...}", "2026/11/report.pdf");
    Example { method, host, path, headers: Vec::new(), query: None }
}
