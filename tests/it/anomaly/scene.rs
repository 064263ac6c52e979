//! What the tests of anomaly checks have in common: a route that has learned what is usual, and requests that are not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::cache::support::answer;
pub use crate::limits::scene::{BOTH, Caller, File, Partner, Version, build};
use crate::support::client::Response;
use crate::support::gateway::Builder;
use crate::support::upstream::Recorded;
use crate::support::{TestGateway, Upstream, eventually};

/// Requests before a first model.
pub const WARM_UP: usize = 512;
/// Of usual requests, what scores higher than all of so few.
pub const SHARE: &str = "contamination: 0.6%";
/// What most of these tests say for all routes: nothing is held back.
pub const SETTINGS: &str = "warm_up: 512, max_blocked: 100%";
/// What upstreams are told in.
pub const SCORE: &str = "x-anomaly-score";

/// A field that says who calls.
pub type Credential = (&'static str, String);

/// What a gateway is started with: a route `orders`, and who calls it.
pub struct Setup {
    pub builder: Builder,
    pub upstream: Upstream,
    /// Eight partners with keys, for a start.
    pub callers: Vec<Credential>,
    pub file: File,
    /// Keys of the route besides `anomaly`.
    pub route: String,
    pub settings: String,
}

/// A gateway with checks on its route `orders`.
pub struct Scene {
    pub gateway: TestGateway,
    pub upstream: Upstream,
    pub callers: Vec<Credential>,
    pub file: File,
    pub route: String,
    pub settings: String,
}

impl Setup {
    pub fn new() -> Self {
        let upstream = upstream();
        let partners = ["acme", "globex", "hooli", "initech", "stark", "tyrell", "umbrella", "wayne"].map(Partner::new);
        let file = partners.iter().fold(File::new(upstream.address()), |file, partner| file.partner("", partner));
        let callers = partners.map(|partner| ("x-api-key", partner.key)).into();
        let (route, settings) = ("auth: { api_key: {} }, upstream: app".to_owned(), SETTINGS.to_owned());
        Self { builder: build(), upstream, callers, file, route, settings }
    }

    /// With these checks, which know nothing.
    pub async fn start(self, anomaly: &str) -> Scene {
        let Self { builder, upstream, callers, file, route, settings } = self;
        let gateway = builder.start(&written(&file, &route, anomaly, &settings)).await;
        Scene { gateway, upstream, callers, file, route, settings }
    }

    /// With these checks, and a model of what is usual.
    pub async fn trained(self, anomaly: &str) -> Scene {
        let scene = self.start(anomaly).await;
        scene.send_usual(WARM_UP + 30).await;
        train(&scene.gateway).await;
        scene
    }
}

/// A routes file with these checks.
pub fn written(file: &File, route: &str, anomaly: &str, settings: &str) -> String {
    let file = file.clone().route("orders", &format!("{route}, anomaly: {anomaly}"));
    format!("{file}anomaly: {{ {settings} }}\n")
}

impl Scene {
    /// The usual setup, that has learned.
    pub async fn trained(anomaly: &str) -> Self {
        Setup::new().trained(anomaly).await
    }

    /// The routes file with other checks.
    pub fn with(&self, anomaly: &str) -> String {
        written(&self.file, &self.route, anomaly, &self.settings)
    }

    /// Loads the routes with other checks.
    pub async fn reload(&self, anomaly: &str) {
        self.gateway.reload_with(&self.with(anomaly)).await;
    }

    /// So many usual requests or a few more, by all callers; returns when they were learned from.
    pub async fn send_usual(&self, count: usize) {
        let before = seen(&self.gateway).await;
        let each = count.div_ceil(self.callers.len());
        join_all(self.callers.iter().zip(BOTH.into_iter().cycle()).map(async |(who, version)| {
            let mut caller = self.caller(version).await;
            for at in 0..each {
                let response = if at % 8 == 7 { rare(&mut caller, who).await } else { usual(&mut caller, who).await };
                assert!(matches!(response.status, 200 | 404), "{}", response.text());
            }
        }))
        .await;
        self.has_learned(before + each * self.callers.len()).await;
    }

    /// So many requests like no other, by one caller on several connections; returns when they were learned from.
    pub async fn flood(&self, who: &Credential, count: usize) {
        let before = seen(&self.gateway).await;
        let each = count.div_ceil(8);
        join_all((0..8).map(async |_| {
            let mut caller = self.caller(Version::One).await;
            for _ in 0..each {
                assert_eq!(odd(&mut caller, who).await.status, 200);
            }
        }))
        .await;
        self.has_learned(before + each * 8).await;
    }

    pub async fn caller(&self, version: Version) -> Caller {
        Caller::connect(&self.gateway, version).await
    }

    /// An answer, and what the access log says of it.
    pub async fn log_of(&self, asked: impl Future<Output = Response>) -> (Response, Value) {
        let response = asked.await;
        let of_it = format!("\"request_id\":\"{}\"", response.field("x-request-id").unwrap());
        let path = self.gateway.folder().join("access.log");
        let line = eventually("a line of the access log", async || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let whole = text.get(..text.rfind('\n')?)?;
            whole.lines().rfind(|line| line.contains(&of_it)).map(str::to_owned)
        });
        let line = line.await;
        (response, serde_json::from_str(&line).unwrap())
    }

    /// What the upstream was told of the last request that it got.
    pub fn told(&self, field: &str) -> Option<String> {
        self.last().head.field(field).map(str::to_owned)
    }

    /// The last request at the upstream.
    pub fn last(&self) -> Recorded {
        self.upstream.requests().pop().unwrap()
    }

    /// A metric of the route, when it has this value.
    pub async fn counts(&self, metric: &str, value: f64) {
        self.gateway.metric_reaches(&format!(r#"sluice_anomaly_{metric}{{route="orders"}}"#), value).await;
    }

    /// Requests about which this was done, when they are so many.
    pub async fn done(&self, action: &str, value: f64) {
        let sample = format!(r#"sluice_anomaly_requests_total{{route="orders",action="{action}"}}"#);
        self.gateway.metric_reaches(&sample, value).await;
    }

    /// Waits until so many requests were learned from; who comes while somebody else learns, or looks, is left out.
    async fn has_learned(&self, count: usize) {
        let enough = count - 25;
        eventually("requests are learned from", async || (seen(&self.gateway).await >= enough).then_some(())).await;
    }
}

/// Answers everything with `good`, but for what is to `fail`, to be `broken` or to break off `half`-way, after as long as may be: so what a busy machine adds is nothing that never was.
fn upstream() -> Upstream {
    Upstream::scripted(async |mut conn| {
        while let Some(request) = conn.request().await? {
            let pause = Duration::from_secs_f32(fastrand::f32().mul_add(4.6, -6.9).exp());
            tokio::time::interval_at(Instant::now() + pause, pause).tick().await;
            if request.target.ends_with("half") {
                return conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
            }
            if request.target.ends_with("broken") {
                conn.send(answer("500 Internal Server Error", "Cache-Control: no-store", "bad")).await?;
                continue;
            }
            let status = if request.target.ends_with("fail") { "404 Not Found" } else { "200 OK" };
            conn.send(answer(status, "Cache-Control: max-age=600", "good")).await?;
        }
        Ok(())
    })
}

fn usual_target() -> String {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let at = SENT.fetch_add(1, Ordering::Relaxed);
    format!("/orders/{}?page={}&sort={}", 1_000 + at % 37, at % 9, ["name", "date"][at % 2])
}

/// What nearly all requests are like.
pub async fn usual(caller: &mut Caller, who: &Credential) -> Response {
    usual_with(caller, &[(who.0, &who.1)]).await
}

pub async fn usual_with(caller: &mut Caller, fields: &[(&str, &str)]) -> Response {
    let accept = if fastrand::bool() { "application/json" } else { "*/*" };
    let fields = [&[("user-agent", "orders/2.1"), ("accept", accept)], fields].concat();
    caller.get(&usual_target(), &fields).await
}

/// What comes now and then: one thing is not as usual.
async fn rare(caller: &mut Caller, who: &Credential) -> Response {
    let long = "A".repeat(fastrand::usize(200..6_000));
    let target = usual_target();
    let (target, field) = match fastrand::u8(..7) {
        0 => (target, ("x-note", long.as_str())),
        1 => (format!("{target}&name=O%27Brien%20%28jr%29"), ("accept", "*/*")),
        2 => (format!("{target}&a=1&b=2&c=3&d=4&e=5"), ("accept", "*/*")),
        3 => (target.replace('?', "/items/7/history?"), ("accept", "*/*")),
        4 => (target + "&fail", ("accept", "*/*")),
        5 => (target, ("content-type", "application/xml")),
        _ => (target, ("user-agent", "orders/2.2-rc1")),
    };
    caller.get(&target, &[field, (who.0, &who.1)]).await
}

/// An injection, where no such path was.
pub const ODD: &str = "/orders/a/b/c/d?page=1%27%20UNION%20SELECT%20name%2C%28SELECT%20secret%20FROM%20keys%29%20FROM%20users\
    %20WHERE%20%271%27%3D%271%27%3B%20--%20%3Cscript%3Ealert%28%22%22%29%3C%2Fscript%3E&x=%7B%7B7*7%7D%7D&y=..%2F..%2F..%2Fetc\
    %2Fpasswd&z=%24%28id%29";

/// What nobody sends: an injection with a lot of huge fields.
pub async fn odd(caller: &mut Caller, who: &Credential) -> Response {
    odd_with(caller, &[(who.0, &who.1)]).await
}

pub async fn odd_with(caller: &mut Caller, fields: &[(&str, &str)]) -> Response {
    let huge = "A".repeat(900);
    let names: Vec<String> = (0..12).map(|at| format!("x-odd-{at}")).collect();
    let mut all: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), huge.as_str())).collect();
    all.extend([("user-agent", "sqlmap/1.8"), ("content-type", "application/xml")]);
    all.extend_from_slice(fields);
    caller.get(ODD, &all).await
}

/// `GET /anomaly`.
pub async fn anomaly(gateway: &TestGateway) -> Value {
    json_of(gateway, "/anomaly").await
}

pub async fn json_of(gateway: &TestGateway, path: &str) -> Value {
    let (status, text) = gateway.admin_get(path).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// What `GET /anomaly` says of the route.
pub async fn orders(gateway: &TestGateway) -> Value {
    let mut all = anomaly(gateway).await;
    let routes = all["routes"].as_array_mut().unwrap();
    let at = routes.iter().position(|one| one["route"] == "orders").unwrap_or_else(|| panic!("not in {routes:?}"));
    routes.swap_remove(at)
}

/// Requests that the route has learned from.
pub async fn seen(gateway: &TestGateway) -> usize {
    usize::try_from(orders(gateway).await["seen"].as_u64().unwrap()).unwrap()
}

/// The version of the model that judges.
pub async fn version(gateway: &TestGateway) -> Option<String> {
    orders(gateway).await["model"]["version"].as_str().map(str::to_owned)
}

/// Makes a model, and returns its version.
pub async fn train(gateway: &TestGateway) -> String {
    let (status, text) = gateway.admin_send("POST", "/anomaly/train?route=orders", "").await;
    assert_eq!(status, 200, "{text}");
    let said: Value = serde_json::from_str(&text).unwrap();
    let said = &said["trained"][0];
    assert_eq!((&said["route"], &said["result"]), (&"orders".into(), &"made".into()), "{said}");
    said["version"].as_str().unwrap().to_owned()
}
