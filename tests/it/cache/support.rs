//! What the tests of the cache have in common: an upstream that says what it is told to, and a gateway with a route before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use crate::identity::scene::build;
use crate::support::client::Response;
use crate::support::gateway::{Builder, endpoint, routes};
use crate::support::upstream::Recorded;
use crate::support::{Gate, H2Client, TestGateway, Upstream};

/// What an upstream answers.
#[derive(Clone)]
pub enum Says {
    /// These bytes; the connection goes on. HEAD gets the head.
    Whole(Vec<u8>),
    /// These bytes, and the end of the connection.
    Cut(Vec<u8>),
    /// These bytes, and RST when the gate opens.
    Reset(Vec<u8>, Gate),
    /// These bytes, and the rest when the gate opens.
    Halves(Vec<u8>, Gate, Vec<u8>),
}

impl<T: Into<Vec<u8>>> From<T> for Says {
    fn from(bytes: T) -> Self {
        Self::Whole(bytes.into())
    }
}

#[derive(Default)]
struct Script {
    once: VecDeque<Says>,
    always: Option<Says>,
}

/// An upstream double whose next answer is whatever the test wants; it fails the test when it has nothing to say.
pub struct Origin {
    script: Arc<Mutex<Script>>,
    pub upstream: Upstream,
}

impl Origin {
    pub fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let told = Arc::clone(&script);
        let upstream = Upstream::scripted(move |mut conn| {
            let told = Arc::clone(&told);
            async move {
                while let Some(request) = conn.request().await? {
                    let says = {
                        let mut told = told.lock().unwrap();
                        told.once.pop_front().or_else(|| told.always.clone())
                    };
                    match says.expect("the upstream was told what to say") {
                        Says::Whole(bytes) if request.method == "HEAD" => conn.send(head_of(&bytes)).await?,
                        Says::Whole(bytes) => conn.send(bytes).await?,
                        Says::Cut(bytes) => return conn.send(bytes).await,
                        Says::Reset(bytes, gate) => {
                            conn.send(bytes).await?;
                            gate.pass().await;
                            return conn.reset();
                        }
                        Says::Halves(begin, gate, rest) => {
                            conn.send(begin).await?;
                            gate.pass().await;
                            conn.send(rest).await?;
                        }
                    }
                }
                Ok(())
            }
        });
        Self { script, upstream }
    }

    /// What it answers from now on, after what it [`says_next`](Self::says_next).
    pub fn says(&self, says: impl Into<Says>) {
        self.script.lock().unwrap().always = Some(says.into());
    }

    /// What it answers next, once; several are said in their order.
    pub fn says_next(&self, says: impl Into<Says>) {
        self.script.lock().unwrap().once.push_back(says.into());
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.upstream.requests().len()
    }

    /// The last request that came.
    pub fn last(&self) -> Recorded {
        self.upstream.requests().pop().expect("a request at the upstream")
    }
}

fn head_of(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    &answer[..end + 4]
}

/// An answer with `Content-Length`; `fields` are lines with `\n` between them.
pub fn answer(status: &str, fields: &str, body: &str) -> String {
    let length = match status.get(..3) {
        Some("204" | "304") => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    format!("HTTP/1.1 {status}\r\n{}{length}\r\n{body}", lines(fields))
}

/// A 200 with these fields.
pub fn good(fields: &str) -> String {
    answer("200 OK", fields, "good")
}

/// Field lines on the wire.
pub fn lines(fields: &str) -> String {
    fields.lines().filter(|line| !line.is_empty()).map(|line| format!("{}\r\n", line.trim())).collect()
}

/// An `IMF-fixdate` so many seconds from now.
pub fn date(from_now: i64) -> String {
    let distance = Duration::from_secs(from_now.unsigned_abs());
    let now = UNIX_EPOCH + sluice::base::clock::since_epoch();
    httpdate::fmt_http_date(if from_now < 0 { now - distance } else { now + distance })
}

/// A gateway with a cache before an upstream that says what it is told to. Its listener speaks both protocols.
pub struct Scene {
    pub gateway: TestGateway,
    pub origin: Origin,
    paths: AtomicUsize,
}

impl Scene {
    /// One route to all paths, with this `cache`, in flow style.
    pub async fn start(cache: &str) -> Self {
        Self::with_route(&format!("auth: none, cache: {cache}")).await
    }

    /// One route to all paths with these keys, in flow style.
    pub async fn with_route(keys: &str) -> Self {
        Self::build(build(), |address| {
            let route = format!(r#"{{ name: all, match: {{ path: "/{{rest...}}" }}, upstream: app, {keys} }}"#);
            routes(&[("app", endpoint(address))], &[route])
        })
        .await
    }

    /// Of this routes file, made with the address of the upstream.
    pub async fn build(builder: Builder, file: impl FnOnce(std::net::SocketAddr) -> String) -> Self {
        let origin = Origin::start();
        let gateway = builder.start(&file(origin.upstream.address())).await;
        Self { gateway, origin, paths: AtomicUsize::new(0) }
    }

    /// A path that nobody has asked for.
    pub fn path(&self) -> String {
        format!("/{}", self.paths.fetch_add(1, Ordering::Relaxed))
    }

    /// A request with these field lines, on a connection of its own.
    pub async fn send(&self, method: &str, target: &str, fields: &str) -> Response {
        self.gateway.request(format!("{method} {target} HTTP/1.1\r\nHost: api.test\r\n{}\r\n", lines(fields))).await
    }

    /// A GET with these field lines, on a connection of its own.
    pub async fn get(&self, target: &str, fields: &str) -> Response {
        self.send("GET", target, fields).await
    }

    pub async fn h2(&self) -> H2Client {
        H2Client::connect(self.gateway.address()).await
    }

    /// What two GETs of a path of their own get, one after the other, when the upstream says this to both.
    pub async fn twice(&self, says: impl Into<Says>, fields: &str) -> Twice {
        self.twice_with(says, fields, fields).await
    }

    /// As [`twice`](Self::twice), with other fields in the second.
    pub async fn twice_with(&self, says: impl Into<Says>, fields: &str, then: &str) -> Twice {
        let before = self.origin.count();
        self.origin.says(says);
        let path = self.path();
        let first = self.get(&path, fields).await;
        let second = self.get(&path, then).await;
        Twice { first, second, asked: self.origin.count() - before }
    }
}

/// See [`Scene::twice`].
#[derive(Debug)]
pub struct Twice {
    pub first: Response,
    pub second: Response,
    /// Requests at the upstream for both.
    pub asked: usize,
}

impl Twice {
    /// Fails unless the first was stored and the second was answered from memory with the same.
    #[track_caller]
    pub fn kept(&self, case: &str) {
        assert_eq!(self.asked, 1, "requests at the upstream for: {case}\n{self:#?}");
        assert_eq!(x_cache(&self.first), "MISS", "{case}");
        assert!(status_of(&self.first).has("stored"), "{case}: {:?}", status_of(&self.first));
        assert_hit(&self.second, case);
        assert_eq!((self.first.status, self.first.text()), (self.second.status, self.second.text()), "{case}");
    }

    /// Fails unless both were answered by the upstream, and nothing is said to be stored.
    #[track_caller]
    pub fn not_kept(&self, case: &str) {
        assert_eq!(self.asked, 2, "requests at the upstream for: {case}\n{self:#?}");
        for response in [&self.first, &self.second] {
            assert!(matches!(x_cache(response), "MISS" | "BYPASS"), "{case}: {}", x_cache(response));
            let status = status_of(response);
            assert!(!status.has("stored") && !status.has("hit") && status.get("fwd").is_some(), "{case}: {status:?}");
        }
        assert_eq!((self.first.status, self.first.text()), (self.second.status, self.second.text()), "{case}");
    }

    /// Fails unless the first was stored and the upstream was asked about it again before the second was answered.
    #[track_caller]
    pub fn asked_again(&self, case: &str) {
        assert_eq!(self.asked, 2, "requests at the upstream for: {case}\n{self:#?}");
        assert!(status_of(&self.first).has("stored"), "{case}: {:?}", status_of(&self.first));
        assert!(!status_of(&self.second).has("hit"), "{case}: {:?}", status_of(&self.second));
        assert_eq!(status_of(&self.second).get("fwd"), Some("stale"), "{case}");
    }
}

/// Fails unless an answer is from memory, fresh.
#[track_caller]
pub fn assert_hit(response: &Response, case: &str) {
    assert_eq!(x_cache(response), "HIT", "{case}");
    let status = status_of(response);
    assert!(status.has("hit") && status.get("fwd").is_none(), "{case}: {status:?}");
    assert!(status.get("ttl").is_some_and(|ttl| !ttl.starts_with('-')), "{case}: {status:?}");
    assert!(response.field("age").is_some(), "{case}: no Age (RFC 9111 §5.1)");
}

#[track_caller]
pub fn x_cache(response: &Response) -> &str {
    response.field("x-cache").unwrap_or_default()
}

/// The member of `Cache-Status` that is ours: the last (RFC 9211 §2). It fails the test when it is no member.
#[track_caller]
pub fn status_of(response: &Response) -> Status {
    let whole = response.head.all("cache-status").join(", ");
    Status::read(whole.rsplit(',').next().unwrap_or_default().trim())
}

/// A member of `Cache-Status`.
#[derive(Debug, PartialEq, Eq)]
pub struct Status(pub Vec<(String, Option<String>)>);

impl Status {
    #[track_caller]
    pub fn read(member: &str) -> Self {
        let mut parts = member.split(';').map(str::trim);
        assert_eq!(parts.next(), Some("sluice"), "the name of the cache in {member:?}");
        let parameters = parts.map(|part| match part.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (part.to_owned(), None),
        });
        Self(parameters.collect())
    }

    /// Whether a flag is there.
    pub fn has(&self, flag: &str) -> bool {
        self.0.contains(&(flag.to_owned(), None))
    }

    pub fn get(&self, parameter: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == parameter).and_then(|(_, value)| value.as_deref())
    }
}
