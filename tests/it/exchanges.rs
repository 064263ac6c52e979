//! The memory of one request serves the next: nothing of the first may be seen in the second, or kept alive by it.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use sluice::config::checked::{AccessLog as AccessLogSettings, AccessLogTarget};
use sluice::config::{default_bootstrap, read_routes};
use sluice::listener::client_io::ConnectionFacts;
use sluice::listener::request::{Read, Request};
use sluice::listener::worker::{Drain, Settings, Worker};
use sluice::pipeline::Given;
use sluice::pipeline::exchange::Exchange;
use sluice::snapshot::{Builder, LongLived, Snapshots};
use sluice::telemetry::access_log::AccessLog;
use sluice::telemetry::metrics::Metrics;
use sluice::upstream::Resolve;

const ROUTES: &str = r#"
version: 1
upstreams:
  plain: { endpoints: ["192.0.2.1:80"] }
  second: { endpoints: ["192.0.2.2:80"] }
routes:
  - { name: bare, match: { path: /bare }, auth: none, upstream: plain }
  - name: edited
    match: { path: "/edited/{rest...}" }
    auth: none
    upstream: second
    host: internal.test
    rewrite: { strip_prefix: /edited }
    max_body: 1KiB
    timeouts: { total: 5s }
    request_headers: { remove: [via, x-out], set: { x-set: "1" }, add: { x-add: "2" } }
  - { name: answered, match: { path: /answered }, auth: none, respond: { content_type: text/plain, body: hello } }
"#;

const REQUESTS: [&str; 7] = [
    "GET /bare HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /bare HTTP/1.0\r\n\r\n",
    concat!(
        "POST /edited/a/b?c=d HTTP/1.1\r\nHost: www.Example.COM:8080\r\nUser-Agent: agent/1\r\nAccept: text/plain\r\n",
        "X-Request-Id: of-the-client\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        "X-Out: 1\r\nX-Forwarded-Port: 1\r\nContent-Length: 3\r\n\r\nabc",
    ),
    "GET /bare HTTP/1.1\r\nHost: a.test\r\nUser-Agent:\r\n\r\n",
    "GET /answered HTTP/1.1\r\nHost: a.test\r\nUser-Agent: other\r\n\r\n",
    "PROPFIND /none//of/../these HTTP/1.1\r\nHost: a.test\r\nAccept: text/plain\r\n\r\n",
    "GET /not a head\r\n\r\n",
];

struct Nowhere;

#[async_trait]
impl Resolve for Nowhere {
    async fn resolve(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn worker() -> Worker {
    let bootstrap = default_bootstrap();
    let metrics = Metrics::new();
    let reading = read_routes(ROUTES, "routes.yaml");
    assert!(reading.report.is_ok(), "{}", reading.report);
    let runtime = tokio::runtime::Handle::current();
    let builder = Builder {
        metrics: metrics.clone(),
        resolver: Arc::new(Nowhere),
        runtime,
        lasting: LongLived::new(1 << 20, 1 << 20),
    };
    let snapshots = Arc::new(Snapshots::new(builder.build(reading.routes.unwrap(), reading.report, None)));
    let off = AccessLogSettings { target: AccessLogTarget::Off, buffer: 1 };
    let access_log = Arc::new(AccessLog::start(&off, 1, &metrics).unwrap());
    let settings = Arc::new(Settings::of(&bootstrap));
    Worker::new(settings, &bootstrap.pool, snapshots, metrics, access_log, Arc::new(Drain::default()))
}

fn connection() -> Arc<ConnectionFacts> {
    let client = SocketAddr::from(([203, 0, 113, 7], 50_000));
    Arc::new(ConnectionFacts { listener: Arc::from("http"), client, tls: None })
}

fn begin(worker: &Worker, connection: &Arc<ConnectionFacts>, bytes: &str) -> (Arc<Exchange>, Vec<u8>) {
    let mut buffer = bytes.as_bytes().to_vec();
    match Request::read(&mut buffer, worker, connection, false, &worker.deadlines.register(), &Given::default()) {
        Read::Request(request) => (request.exchange, request.carried.head),
        Read::Refused(refused) => (refused.exchange, Vec::new()),
        Read::Partial | Read::Awaits(_) => panic!("nothing was decided"),
    }
}

/// All that an exchange says, but for the time and for an id that was made for it.
fn said(exchange: &Exchange, head: &[u8]) -> String {
    let facts = &exchange.facts;
    let plan = exchange.plan.as_ref().map(|plan| {
        let added = String::from_utf8_lossy(plan.added.as_bytes()).into_owned();
        let withheld = ["via", "x-out", "x-set", "x-forwarded-port"].map(|name| plan.withholds(name));
        (plan.target.clone(), plan.host.clone(), added, withheld, plan.max_body, plan.timeouts.clone())
    });
    let said = format!(
        "{:?} {} {:?} {} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?}",
        facts.trace_id.as_deref(),
        facts.client,
        facts.method,
        facts.plain,
        facts.host,
        facts.path,
        facts.version,
        facts.user_agent(),
        facts.request_id.as_str(),
        exchange.route,
        plan,
        *exchange.progress(),
        String::from_utf8_lossy(head),
    );
    let id = facts.request_id.as_str();
    if id == "of-the-client" { said } else { said.replace(id, "<new>") }
}

/// On a thread of its own, where no request has been before.
fn fresh(worker: &Worker, bytes: &str) -> String {
    let of_its_own = || {
        let (exchange, head) = begin(worker, &connection(), bytes);
        said(&exchange, &head)
    };
    std::thread::scope(|scope| scope.spawn(of_its_own).join().unwrap())
}

#[tokio::test]
async fn nothing_of_an_earlier_request_is_seen_in_a_later_one() {
    let (worker, connection) = (worker(), connection());
    for first in REQUESTS {
        for second in REQUESTS {
            let (exchange, _) = begin(&worker, &connection, first);
            exchange.fail(sluice::base::reason::Reason::UpstreamReset);
            exchange.progress().failed.push(SocketAddr::from(([192, 0, 2, 9], 1)));
            exchange.prompt.store(true, std::sync::atomic::Ordering::Relaxed);
            let place = Arc::as_ptr(&exchange);
            Exchange::recycle(exchange);
            let (exchange, head) = begin(&worker, &connection, second);
            assert_eq!(Arc::as_ptr(&exchange), place, "the memory serves again");
            assert_eq!(said(&exchange, &head), fresh(&worker, second), "{second:?} after {first:?}");
            assert!(!exchange.prompt.load(std::sync::atomic::Ordering::Relaxed));
            Exchange::recycle(exchange);
        }
    }
}

#[tokio::test]
async fn a_finished_request_keeps_nothing_alive() {
    let (worker, connection) = (worker(), connection());
    let snapshot = worker.snapshots.load();
    let upstreams = || snapshot.upstreams.values().map(Arc::strong_count).sum::<usize>();
    let before = (Arc::strong_count(&snapshot), Arc::strong_count(&connection), upstreams());
    for bytes in REQUESTS {
        let (exchange, _) = begin(&worker, &connection, bytes);
        assert!(Arc::strong_count(&snapshot) > before.0);
        let deadline = Arc::downgrade(&exchange.deadline);
        Exchange::recycle(exchange);
        assert_eq!((Arc::strong_count(&snapshot), Arc::strong_count(&connection), upstreams()), before);
        assert!(deadline.upgrade().is_none());
    }
}

#[tokio::test]
async fn what_somebody_still_holds_is_left_alone() {
    let (worker, connection) = (worker(), connection());
    let (exchange, head) = begin(&worker, &connection, REQUESTS[2]);
    let held = Arc::clone(&exchange);
    let before = said(&held, &head);
    Exchange::recycle(exchange);
    let (next, _) = begin(&worker, &connection, REQUESTS[0]);
    assert!(!Arc::ptr_eq(&next, &held));
    assert_eq!(said(&held, &head), before);
}
