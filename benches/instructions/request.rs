//! One request head read, decided about and written anew, as a worker thread does it for a kept-alive connection.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use sluice::base::deadline::Deadline;
use sluice::config;
use sluice::config::checked::{AccessLog as AccessLogSettings, AccessLogTarget};
use sluice::listener::buffers;
use sluice::listener::client_io::ConnectionFacts;
use sluice::listener::request::{Read, Request};
use sluice::listener::worker::{Drain, Settings, Worker};
use sluice::pipeline::Given;
use sluice::pipeline::exchange::Exchange;
use sluice::snapshot::{Builder, LongLived, Snapshots};
use sluice::telemetry::access_log::AccessLog;
use sluice::telemetry::metrics::Metrics;
use sluice::upstream::Resolve;

use super::SAMPLES;

pub const GET: &str = concat!(
    "GET /api/orders/8842?expand=lines HTTP/1.1\r\n",
    "Host: api.example.com\r\n",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n",
    "Accept: application/json\r\n",
    "Accept-Encoding: gzip, deflate, br\r\n",
    "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI4ODQyIn0.c2lnbmF0dXJl\r\n",
    "\r\n",
);

pub const POST: &str = concat!(
    "POST /api/orders HTTP/1.1\r\n",
    "Host: api.example.com\r\n",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n",
    "Accept: application/json\r\n",
    "Content-Type: application/json\r\n",
    "Content-Length: 15\r\n",
    "\r\n",
    "{\"partner\": 42}",
);

const ROUTES: &str = r#"
version: 1
upstreams:
  orders: { endpoints: ["192.0.2.1:8080"] }
routes:
  - { name: order, match: { path: "/api/orders/{id}", methods: [GET] }, auth: none, upstream: orders }
  - { name: orders, match: { path: /api/orders, methods: [GET, POST] }, auth: none, upstream: orders }
"#;

/// Where nothing has to be resolved.
struct Nowhere;

#[async_trait]
impl Resolve for Nowhere {
    async fn resolve(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

struct Bench {
    worker: Worker,
    connection: Arc<ConnectionFacts>,
    deadline: Arc<Deadline>,
}

impl Bench {
    fn new(runtime: &tokio::runtime::Runtime) -> Self {
        let bootstrap = config::default_bootstrap();
        let metrics = Metrics::new();
        let reading = config::read_routes(ROUTES, "routes.yaml");
        let Some(routes) = reading.routes else { panic!("{}", reading.report.render_text(false)) };
        let builder = Builder {
            metrics: metrics.clone(),
            resolver: Arc::new(Nowhere),
            runtime: runtime.handle().clone(),
            lasting: LongLived::new(1 << 20, 1 << 20),
        };
        let snapshots = Arc::new(Snapshots::new(builder.build(routes, reading.report, None)));
        let off = AccessLogSettings { target: AccessLogTarget::Off, buffer: 1 };
        let access_log = AccessLog::start(&off, 1, &metrics).unwrap_or_else(|error| panic!("{error}"));
        let drain = Arc::new(Drain::default());
        let settings = Arc::new(Settings::of(&bootstrap));
        let worker = Worker::new(settings, &bootstrap.pool, snapshots, metrics, Arc::new(access_log), drain);
        let deadline = worker.deadlines.register();
        let connection = ConnectionFacts {
            listener: Arc::from("http"),
            client: SocketAddr::from(([203, 0, 113, 7], 50_000)),
            tls: None,
        };
        Self { worker, connection: Arc::new(connection), deadline }
    }

    fn serve(&self, bytes: &[u8]) {
        let mut buffer = buffers::take();
        buffer.extend_from_slice(bytes);
        let read = Request::read(&mut buffer, &self.worker, &self.connection, false, &self.deadline, &Given::default());
        buffers::give(buffer);
        let Read::Request(request) = black_box(read) else { panic!("the request was not taken") };
        assert!(request.verdict.is_none() && request.carried.head.ends_with(&bytes[bytes.len() - 4..]));
        buffers::give(request.carried.head);
        Exchange::recycle(request.exchange);
    }
}

/// Serves the bytes of one request, head and body, `rounds` times [`SAMPLES`] times.
pub fn serve(bytes: &str, rounds: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    let bench = {
        let _on = runtime.enter();
        Bench::new(&runtime)
    };
    // What a thread makes once is made before it is counted.
    bench.serve(bytes.as_bytes());
    for _ in 0..rounds * SAMPLES {
        bench.serve(bytes.as_bytes());
    }
}
