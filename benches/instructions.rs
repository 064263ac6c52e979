//! Work of the engines for `instructions.sh`, which counts its instructions.
//!
//! `instructions find SIZE ROUNDS` builds a table of SIZE routes and looks up every sample request ROUNDS times;
//! `tenants` does so with one path whose routes a header tells apart; `normal` and `dirty` normalise sample paths;
//! `build SIZE` prints how long conflicts and table take; `get` and `post` read a request head, decide about it and write
//! the head that is forwarded. Without arguments, every kind runs once, as a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, clippy::panic, reason = "a program for the terminal")]

#[path = "instructions/request.rs"]
mod request;

use std::hint::black_box;
use std::process::ExitCode;

use http::{HeaderName, Method};
use sluice::base::clock;
use sluice::base::host_pattern::HostPattern;
use sluice::route::{Example, FieldMatch, Lookup, PathPattern, RouteMatch, Table, ValueMatch, conflicts, normalise};

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
        }
        (["find", ..], Some(Ok(size)), Some(Ok(rounds))) => find(size, rounds),
        (["tenants", ..], Some(Ok(size)), Some(Ok(rounds))) => tenants(size, rounds),
        (["normal", ..], Some(Ok(rounds)), None) => normalise_all(&NORMAL, rounds),
        (["dirty", ..], Some(Ok(rounds)), None) => normalise_all(&DIRTY, rounds),
        (["get", ..], Some(Ok(rounds)), None) => request::serve(request::GET, rounds),
        (["post", ..], Some(Ok(rounds)), None) => request::serve(request::POST, rounds),
        (["build", ..], Some(Ok(size)), None) => build(size),
        _ => {
            eprintln!("usage: instructions [find|tenants SIZE ROUNDS | normal|dirty|get|post ROUNDS | build SIZE]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
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
