//! The whole gateway, started in this process on ports of its own, with its files in a folder of its own.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use sluice::app::Running;
use sluice::config::load_bootstrap;

use super::certificates::Issued;
use super::client::{Client, Response};
use super::{eventually, within};

/// One upstream `app` behind every path.
pub fn forward_all(upstream: SocketAddr) -> String {
    forward_with(upstream, "", "")
}

/// [`forward_all`] with further keys of the upstream and of the route, in flow style: `timeouts: { idle: 100ms }`.
pub fn forward_with(upstream: SocketAddr, upstream_keys: &str, route_keys: &str) -> String {
    let upstreams = [("app", format!(r#"{{ endpoints: ["{upstream}"], {upstream_keys} }}"#))];
    routes(
        &upstreams,
        &[format!(r#"{{ name: all, match: {{ path: "/{{rest...}}" }}, auth: none, upstream: app, {route_keys} }}"#)],
    )
}

/// A routes file of these upstreams and routes, each in flow style.
pub fn routes(upstreams: &[(&str, impl Display)], routes: &[impl Display]) -> String {
    let mut file = "version: 1\n".to_owned();
    if !upstreams.is_empty() {
        file.push_str("upstreams:\n");
    }
    for (name, upstream) in upstreams {
        file.push_str(&format!("  {name}: {upstream}\n"));
    }
    file.push_str("routes:\n");
    for route in routes {
        file.push_str(&format!("  - {route}\n"));
    }
    file
}

/// No upstreams, for [`routes`].
pub const NONE: [(&str, &str); 0] = [];

/// An upstream of one endpoint, for [`routes`].
pub fn endpoint(address: SocketAddr) -> String {
    format!(r#"{{ endpoints: ["{address}"] }}"#)
}

/// The engine that this run of the suite is for: `SLUICE_TEST_ENGINE` is `direct`, which is what routes have anyway, or
/// `pingora`.
pub fn engine_under_test() -> &'static str {
    match std::env::var("SLUICE_TEST_ENGINE").as_deref() {
        Err(_) | Ok("direct") => "direct",
        Ok("pingora") => "pingora",
        Ok(other) => panic!("SLUICE_TEST_ENGINE is `direct` or `pingora`, not `{other}`"),
    }
}

/// The routes, forwarded by the engine under test unless they name one. What is added stands at the end, so that no
/// place in the file moves.
fn for_engine(routes: &str) -> String {
    let mut routes = routes.to_owned();
    if engine_under_test() == "pingora" && !routes.lines().any(|line| line.starts_with("defaults:")) {
        routes.push_str("\ndefaults: { engine: pingora }\n");
    }
    routes
}

/// Writes beside the file and renames over it, so that a reader sees the old or the new and nothing between.
pub fn replace_file(path: &Path, content: &str) {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let draft = path.with_extension(format!("draft{}", WRITTEN.fetch_add(1, Ordering::Relaxed)));
    std::fs::write(&draft, content).unwrap();
    std::fs::rename(&draft, path).unwrap();
}

/// A fresh folder, removed with everything in it on drop.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("sluice-it-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// What `gateway.yaml` will say.
pub struct Builder {
    folder: Folder,
    settings: BTreeMap<&'static str, String>,
    listeners: Vec<(String, String)>,
}

impl Builder {
    /// Sets a top-level key, replacing the builder's own default: `set("deadlines", "{ head: 200ms }")`.
    pub fn set(mut self, key: &'static str, value: &str) -> Self {
        self.settings.insert(key, value.to_owned());
        self
    }

    /// Adds a plaintext listener with further keys in flow style; without any, there is one named `http`.
    pub fn listener(mut self, name: &str, keys: &str) -> Self {
        self.listeners.push((name.to_owned(), keys.to_owned()));
        self
    }

    /// Adds a TLS listener; the certificates lie in [`folder`](Self::folder) as `<listener>-<index>.crt` and `.key`.
    pub fn tls_listener(self, name: &str, certificates: &[&Issued], tls_keys: &str, keys: &str) -> Self {
        let files: Vec<String> = certificates
            .iter()
            .enumerate()
            .map(|(index, issued)| {
                let (certificate, key) = issued.write(&self.folder.0, &format!("{name}-{index}"));
                format!(r#"{{ certificate: "{}", key: "{}" }}"#, certificate.display(), key.display())
            })
            .collect();
        self.listener(name, &format!("tls: {{ certificates: [{}], {tls_keys} }}, {keys}", files.join(", ")))
    }

    /// Where both configuration files will lie.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Writes a file beside the configuration and returns its path.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.0.join(name);
        replace_file(&path, content);
        path
    }

    pub async fn start(self, routes: &str) -> TestGateway {
        self.try_start(routes).await.unwrap_or_else(|complaint| panic!("{complaint}"))
    }

    /// The error is the report or the start error, for people.
    pub async fn try_start(mut self, routes: &str) -> Result<TestGateway, String> {
        // Another test may have been first; the provider is the same.
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if self.listeners.is_empty() {
            self.listeners.push(("http".to_owned(), String::new()));
        }
        let folder = &self.folder.0;
        replace_file(&folder.join("routes.yaml"), &for_engine(routes));
        let mut file = "version: 1\nlisteners:\n".to_owned();
        for (name, keys) in &self.listeners {
            file.push_str(&format!("  - {{ name: {name}, address: \"127.0.0.1:0\", {keys} }}\n"));
        }
        for (key, value) in &self.settings {
            file.push_str(&format!("{key}: {value}\n"));
        }
        let bootstrap = folder.join("gateway.yaml");
        replace_file(&bootstrap, &file);
        let bootstrap = load_bootstrap(&bootstrap).map_err(|report| format!("{report:?}\n{file}"))?;
        let running = sluice::app::start(bootstrap).await.map_err(|error| format!("{error:?}\n{file}\n{routes}"))?;
        let first = self.listeners.swap_remove(0).0;
        Ok(TestGateway { running, first, folder: self.folder })
    }
}

/// A running gateway; dropping it stops it at once and removes its files.
pub struct TestGateway {
    running: Running,
    first: String,
    folder: Folder,
}

impl TestGateway {
    /// One plaintext listener, one thread, an admin listener, no watching.
    pub async fn start(routes: &str) -> Self {
        Self::build().start(routes).await
    }

    pub fn build() -> Builder {
        let folder = Folder::new();
        let access_log = format!(r#"{{ target: "{}" }}"#, folder.0.join("access.log").display());
        let settings = [
            ("threads", "1".to_owned()),
            ("admin", r#"{ address: "127.0.0.1:0" }"#.to_owned()),
            ("routes", "routes.yaml".to_owned()),
            ("reload", "{ watch: false }".to_owned()),
            ("access_log", access_log),
            ("log", "{ level: warn }".to_owned()),
            ("drain", "{ delay: 0s, timeout: 5s }".to_owned()),
        ];
        Builder { folder, settings: settings.into(), listeners: Vec::new() }
    }

    /// The first listener's address.
    pub fn address(&self) -> SocketAddr {
        self.listener(&self.first)
    }

    pub fn listener(&self, name: &str) -> SocketAddr {
        self.running.address(name).expect("a listener of this name")
    }

    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    pub fn routes_file(&self) -> PathBuf {
        self.folder.0.join("routes.yaml")
    }

    /// A new connection to the first listener.
    pub async fn client(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// A GET on a connection of its own.
    pub async fn get(&self, target: &str) -> Response {
        self.client().await.get(target).await
    }

    /// These bytes on a connection of its own, and their answer.
    pub async fn request(&self, request: impl AsRef<[u8]>) -> Response {
        self.client().await.request(request).await
    }

    /// Replaces `routes.yaml` in one step.
    pub fn write_routes(&self, routes: &str) {
        replace_file(&self.routes_file(), &for_engine(routes));
    }

    /// `POST /reload` on the admin listener.
    pub async fn reload(&self) -> (u16, String) {
        self.admin("POST", "/reload").await
    }

    /// Replaces the routes and loads them; anything but success fails the test.
    pub async fn reload_with(&self, routes: &str) {
        self.write_routes(routes);
        let (status, body) = self.reload().await;
        assert!((200..300).contains(&status), "{status} {body}");
    }

    pub async fn admin_get(&self, path: &str) -> (u16, String) {
        self.admin("GET", path).await
    }

    async fn admin(&self, method: &str, path: &str) -> (u16, String) {
        self.admin_send(method, path, "").await
    }

    /// A request with a body of JSON, if it is not empty, to the admin listener.
    pub async fn admin_send(&self, method: &str, path: &str, json: &str) -> (u16, String) {
        let kind = if json.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = json.len();
        let fields = format!("Host: localhost\r\n{kind}Content-Length: {length}\r\nConnection: close\r\n");
        let response = self.admin_request(format!("{method} {path} HTTP/1.1\r\n{fields}\r\n{json}")).await;
        (response.status, response.text().to_owned())
    }

    /// These bytes on a connection of their own to the admin listener, and their answer.
    pub async fn admin_request(&self, request: impl AsRef<[u8]>) -> Response {
        Client::connect(self.admin_address()).await.request(request).await
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.running.admin().expect("an admin listener")
    }

    /// The sum of all samples of a metric that carry all of these labels: `sluice_x{route="a"}`; 0 when there is none.
    pub async fn metrics_value(&self, sample: &str) -> f64 {
        let (status, text) = self.admin_get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        let (name, wanted) = split_sample(sample);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let value = |line: &str| -> Option<f64> {
            let (head, value) = line.rsplit_once(' ')?;
            let (line_name, labels) = split_sample(head);
            (line_name == name && wanted.iter().all(|label| labels.contains(label))).then(|| value.parse().unwrap())
        };
        samples.filter_map(value).sum()
    }

    /// Waits until a metric has this value.
    pub async fn metric_reaches(&self, sample: &str, value: f64) {
        eventually(sample, async || (self.metrics_value(sample).await == value).then_some(())).await;
    }

    /// Waits for so many access-log lines in all, and returns them.
    pub async fn access_log(&self, count: usize) -> Vec<Value> {
        let path = self.folder.0.join("access.log");
        eventually("access-log lines", async || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let lines: Vec<Value> =
                whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }

    /// Waits for the first request's line and fails unless it carries this reason.
    pub async fn logged_reason(&self, reason: &str) -> Value {
        let line = self.access_log(1).await.swap_remove(0);
        assert_eq!(line["reason"], reason, "{line}");
        line
    }

    /// As SIGTERM.
    pub fn terminate(&self) {
        self.running.terminate();
    }

    /// As SIGINT.
    pub fn interrupt(&self) {
        self.running.interrupt();
    }

    pub async fn stopped(&self) {
        within("the gateway stops", self.running.stopped()).await;
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.running.interrupt();
    }
}

fn split_sample(sample: &str) -> (&str, Vec<&str>) {
    match sample.split_once('{') {
        None => (sample, Vec::new()),
        Some((name, labels)) => (name, labels.trim_end_matches('}').split(',').collect()),
    }
}
