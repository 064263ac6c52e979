//! What the cache asks an upstream, without a client: through our forwarder and through Pingora.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, DATE, TRAILER};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use sluice::base::clock;
use sluice::base::reason::Reason;
use sluice::cache::fill::{Begun, Part, Reader};
use sluice::cache::filling::Want;
use sluice::cache::flights::Joined;
use sluice::cache::key::Key;
use sluice::cache::storable::ForRequest;
use sluice::cache::store::Slot;
use sluice::cache::stored::{Groups, Head, Stored};
use sluice::cache::{Cache, Fields, Filling, Moment};
use sluice::config::checked::cache::{CacheKey, CachePolicy, CacheScope};
use sluice::config::checked::{AccessLog as AccessLogSettings, AccessLogTarget};
use sluice::config::{default_bootstrap, read_routes};
use sluice::forward::fetch::fetch;
use sluice::listener::client_io::ConnectionFacts;
use sluice::listener::request::{Read, Request};
use sluice::listener::worker::{Drain, Settings, Worker};
use sluice::pipeline::Given;
use sluice::pipeline::exchange::{Exchange, Stage};
use sluice::pipeline::verdict::FetchRequest;
use sluice::snapshot::{Builder, LongLived, Snapshots};
use sluice::telemetry::access_log::AccessLog;
use sluice::telemetry::metrics::Metrics;
use sluice::upstream::Resolve;

const ENGINES: [&str; 2] = ["auto", "pingora"];

struct Nowhere;

#[async_trait]
impl Resolve for Nowhere {
    async fn resolve(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// A gateway without listeners, and the upstream that it asks.
struct Ground {
    worker: Worker,
    listener: TcpListener,
    cache: Arc<Cache>,
    /// Questions so far: each is about something else.
    asked: Cell<u8>,
}

impl Ground {
    async fn new(engine: &str) -> Self {
        Self::speaking("http1", engine).await
    }

    async fn speaking(protocol: &str, engine: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routes = format!(
            "version: 1\nupstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {protocol} }} }}\nroutes:\n  - name: all\n    match: {{ path: \
             \"/{{rest...}}\" }}\n    auth: none\n    upstream: app\n    engine: {engine}\n    timeouts: {{ first_byte: 300ms, \
             idle: 300ms }}\n",
            listener.local_addr().unwrap()
        );
        let bootstrap = default_bootstrap();
        let metrics = Metrics::new();
        let reading = read_routes(&routes, "routes.yaml");
        assert!(reading.report.is_ok(), "{}", reading.report);
        let runtime = tokio::runtime::Handle::current();
        let lasting = LongLived::new(1 << 20, 1 << 24);
        let builder = Builder { metrics: metrics.clone(), resolver: Arc::new(Nowhere), runtime, lasting };
        let snapshots = Arc::new(Snapshots::new(builder.build(reading.routes.unwrap(), reading.report, None)));
        let off = AccessLogSettings { target: AccessLogTarget::Off, buffer: 1 };
        let access_log = Arc::new(AccessLog::start(&off, 1, &metrics).unwrap());
        let settings = Arc::new(Settings::of(&bootstrap));
        let drain = Arc::new(Drain::default());
        let worker = Worker::new(settings, &bootstrap.pool, snapshots, metrics, access_log, drain);
        Self { worker, listener, cache: Arc::new(Cache::new(1 << 24)), asked: Cell::new(0) }
    }

    /// An exchange as a client's request leads to it, and both ends of the way of its answer.
    fn question(&self) -> (Arc<Exchange>, FetchRequest, Filling, Reader) {
        self.question_about(None)
    }

    /// As [`Ground::question`], when something is stored that may still hold.
    fn question_about(&self, stale: Option<Arc<Stored>>) -> (Arc<Exchange>, FetchRequest, Filling, Reader) {
        let client = SocketAddr::from(([203, 0, 113, 7], 50_000));
        let connection = Arc::new(ConnectionFacts { listener: Arc::from("http"), client, tls: None });
        let mut bytes = b"GET /a?b HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec();
        let deadline = self.worker.deadlines.register();
        let read = Request::read(&mut bytes, &self.worker, &connection, false, &deadline, &Given::default());
        let Read::Request(mut request) = read else { panic!("not forwarded") };
        let plan = Arc::get_mut(&mut request.exchange).unwrap().plan.take().unwrap();
        let exchange = request.exchange.fetching(plan, self.worker.deadlines.register());
        let own = || Key::from(&[self.asked.replace(self.asked.get() + 1)][..]);
        let key = stale.as_ref().map_or_else(own, |stale| stale.head.key.clone());
        let Joined::Leads(flight, reader) = self.cache.join(&key, clock::now()) else {
            panic!("somebody asks already")
        };
        let mut fields = HeaderMap::new();
        fields.insert("accept", HeaderValue::from_static("text/html"));
        fields.insert("connection", HeaderValue::from_static("close"));
        let host = HeaderValue::from_static("a.test");
        let filling = Filling::new(Arc::clone(&self.cache), self.want(key, stale), flight);
        (exchange, FetchRequest { method: Method::GET, host, fields }, filling, reader)
    }

    /// Of something that nothing says may be kept.
    fn want(&self, base: Key, stale: Option<Arc<Stored>>) -> Want {
        let key = CacheKey { per: CacheScope::Everyone, ..CacheKey::default() };
        let policy = CachePolicy { key, refresh_ahead: 0, ..CachePolicy::default() };
        Want {
            base,
            fields: HeaderMap::new(),
            unkeyed: Arc::new([]),
            request: ForRequest::default(),
            policy: Arc::new(policy),
            groups: Groups::default(),
            stale,
            asked: Moment { at: clock::now(), wall: clock::since_epoch() },
            mark: self.cache.store().mark(),
        }
    }

    /// What becomes of a question to an upstream that does this with its next connection, which it holds meanwhile.
    async fn ask(&self, upstream: impl AsyncFnOnce(&mut TcpStream)) -> (Got, Arc<Exchange>) {
        let upstream = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            upstream(&mut stream).await;
            stream
        };
        let ((got, exchange), _stream) = tokio::join!(self.get(), upstream);
        (got, exchange)
    }

    /// What a question brings.
    async fn get(&self) -> (Got, Arc<Exchange>) {
        let (exchange, request, filling, reader) = self.question();
        let ((), got) = tokio::join!(self.fetch(&exchange, request, filling), read(reader));
        (got, exchange)
    }

    async fn fetch(&self, exchange: &Arc<Exchange>, request: FetchRequest, filling: Filling) {
        tokio::select! {
            () = fetch(&self.worker, Arc::clone(exchange), request, filling) => {}
            () = Arc::clone(&self.worker.deadlines).run() => {}
        }
    }
}

/// An answer as a reader has it.
#[derive(Debug)]
enum Got {
    Nothing(Reason),
    Answer { head: Arc<Head>, length: Option<u64>, body: Vec<u8>, end: Result<Option<Arc<HeaderMap>>, Reason> },
}

impl Got {
    fn whole(self) -> (Arc<Head>, Vec<u8>) {
        match self {
            Self::Answer { head, body, end: Ok(_), .. } => (head, body),
            got => panic!("{got:?}"),
        }
    }

    /// How much came of it, and why there is no more.
    fn broken(self) -> (Vec<u8>, Reason) {
        match self {
            Self::Nothing(reason) => (Vec::new(), reason),
            Self::Answer { body, end: Err(reason), .. } => (body, reason),
            got => panic!("{got:?}"),
        }
    }
}

async fn read(mut reader: Reader) -> Got {
    let (head, length) = match poll_fn(|cx| reader.poll_begun(cx)).await {
        Begun::Coming { head, length, .. } => (head, length),
        Begun::Failed(reason) => return Got::Nothing(reason),
        begun => panic!("{begun:?}"),
    };
    let mut body = Vec::new();
    loop {
        let end = match poll_fn(|cx| reader.poll_part(cx)).await {
            Part::Data(data) => {
                body.extend_from_slice(&data);
                continue;
            }
            Part::End(trailers) => Ok(trailers),
            Part::Broken(reason) => Err(reason),
        };
        return Got::Answer { head, length, body, end };
    }
}

/// Reads one request head.
async fn hear(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0, "closed");
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

async fn say(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).await.unwrap();
}

#[tokio::test]
async fn an_answer_of_known_length_is_taken_in_whole_and_unedited() {
    for engine in ENGINES {
        let ground = Ground::new(engine).await;
        let (got, exchange) = ground
            .ask(async |stream| {
                let head = hear(stream).await;
                assert!(head.starts_with("get /a?b http/1.1\r\n"), "{head}");
                let mut lines: Vec<_> = head.trim_end().lines().skip(1).collect();
                lines.sort_unstable();
                assert_eq!(lines, ["accept: text/html", "host: a.test"], "{engine}");
                say(
                    stream,
                    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n",
                )
                .await;
                say(stream, "Connection: x-own\r\nX-Own: 1\r\nX-A: 1\r\nX-A: 2\r\n\r\nhel").await;
                say(stream, "lo").await;
            })
            .await;
        let Got::Answer { length, .. } = &got else { panic!("{engine}: {got:?}") };
        assert_eq!(*length, Some(5));
        let (head, body) = got.whole();
        assert_eq!((head.status, head.version, &*body), (StatusCode::NOT_FOUND, Version::HTTP_11, &b"hello"[..]));
        let fields = head.fields.to_map();
        let mut names: Vec<_> = fields.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["date", "x-a"], "{engine}");
        let mut values = Vec::new();
        fields.each(&http::HeaderName::from_static("x-a"), &mut |value| values.push(value.to_vec()));
        assert_eq!(values, [b"1", b"2"]);
        let progress = exchange.progress();
        assert_eq!((progress.status, progress.attempts, progress.response_bytes), (404, 1, 5), "{engine}");
        assert_eq!((progress.reason, progress.endpoint), (None, Some(ground.listener.local_addr().unwrap())));
        assert!(progress.first_byte.is_some() && progress.connect.is_some());
    }
}

#[tokio::test]
async fn a_connection_serves_one_question_after_the_other() {
    let ground = Ground::new("auto").await;
    let upstream = async {
        let (mut stream, _) = ground.listener.accept().await.unwrap();
        for body in ["one", "two"] {
            hear(&mut stream).await;
            say(&mut stream, format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{body}")).await;
        }
        // What closes between two questions is noticed, or the question is sent again.
        drop(stream);
        let (mut stream, _) = ground.listener.accept().await.unwrap();
        hear(&mut stream).await;
        say(&mut stream, "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\nDate: then\r\n\r\n").await;
    };
    let questions = async {
        let (first, _) = ground.get().await;
        let (second, exchange) = ground.get().await;
        assert_eq!((first.whole().1, second.whole().1), (b"one".to_vec(), b"two".to_vec()));
        assert!(exchange.progress().reused);
        let (third, _) = ground.get().await;
        let (head, body) = third.whole();
        assert!(body.is_empty() && head.fields.get(&CONTENT_LENGTH).is_none());
        assert_eq!(head.fields.get(&DATE).unwrap(), "then");
    };
    tokio::join!(upstream, questions);
}

#[tokio::test]
async fn a_question_is_sent_again_when_a_kept_connection_turns_out_closed() {
    let ground = Ground::new("auto").await;
    let upstream = async {
        let (mut first, _) = ground.listener.accept().await.unwrap();
        hear(&mut first).await;
        say(&mut first, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        hear(&mut first).await;
        drop(first);
        let (mut second, _) = ground.listener.accept().await.unwrap();
        hear(&mut second).await;
        say(&mut second, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    };
    let questions = async {
        ground.get().await.0.whole();
        let (got, exchange) = ground.get().await;
        assert_eq!(got.whole().1, b"ok");
        assert_eq!(exchange.progress().attempts, 2);
    };
    tokio::join!(upstream, questions);
}

#[tokio::test]
async fn chunks_become_one_body_and_trailers_follow_it() {
    for engine in ENGINES {
        let ground = Ground::new(engine).await;
        let (got, _) = ground
            .ask(async |stream| {
                hear(stream).await;
                say(
                    stream,
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3;a=b\r\nabc\r\n2\r\nd",
                )
                .await;
                say(stream, "e\r\n0\r\nX-Sum: 5\r\n\r\n").await;
            })
            .await;
        let Got::Answer { head, length, body, end } = got else { panic!("{engine}") };
        assert_eq!((length, &*body), (None, &b"abcde"[..]), "{engine}");
        assert!(head.fields.get(&http::header::TRANSFER_ENCODING).is_none());
        let sum = end.unwrap().and_then(|trailers| trailers.get("x-sum").cloned());
        // Pingora drops them, and then they are not announced.
        let expected = (engine == "auto").then(|| HeaderValue::from_static("5"));
        assert_eq!((sum, head.fields.get(&TRAILER).is_some()), (expected.clone(), expected.is_some()), "{engine}");
    }
}

#[tokio::test]
async fn an_answer_may_end_with_its_connection() {
    for engine in ENGINES {
        let ground = Ground::new(engine).await;
        let (got, _) = ground
            .ask(async |stream| {
                hear(stream).await;
                say(stream, "HTTP/1.0 200 OK\r\n\r\nall of ").await;
                say(stream, "it").await;
                stream.shutdown().await.unwrap();
            })
            .await;
        let (head, body) = got.whole();
        assert_eq!((head.version, &*body), (Version::HTTP_10, &b"all of it"[..]), "{engine}");
    }
}

#[tokio::test]
async fn a_long_body_comes_through_unchanged() {
    let whole: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 31 / 7) as u8).collect();
    for engine in ENGINES {
        for chunked in [false, true] {
            let ground = Ground::new(engine).await;
            let (got, _) = ground
                .ask(async |stream| {
                    hear(stream).await;
                    if chunked {
                        say(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                        for piece in whole.chunks(70_001) {
                            say(stream, format!("{:x}\r\n", piece.len())).await;
                            say(stream, piece).await;
                            say(stream, "\r\n").await;
                        }
                        say(stream, "0\r\n\r\n").await;
                    } else {
                        say(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.len())).await;
                        say(stream, &whole).await;
                    }
                })
                .await;
            assert!(got.whole().1 == whole, "{engine}, chunked: {chunked}");
        }
    }
}

#[tokio::test]
async fn what_is_not_whole_is_broken() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "abc", Reason::UpstreamReset),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "abc", Reason::UpstreamReset),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", "", Reason::UpstreamProtocol),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "", Reason::UpstreamProtocol),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", "", Reason::UpstreamReset),
        ("nothing like it\r\n\r\n", "", Reason::UpstreamProtocol),
        ("", "", Reason::UpstreamReset),
    ];
    for engine in ENGINES {
        for (answer, came, reason) in cases {
            let ground = Ground::new(engine).await;
            let (got, exchange) = ground
                .ask(async |stream| {
                    hear(stream).await;
                    say(stream, answer).await;
                    stream.shutdown().await.unwrap();
                })
                .await;
            let (body, broken) = got.broken();
            assert_eq!((str::from_utf8(&body).unwrap(), broken), (came, reason), "{engine}: {answer:?}");
            assert_eq!(exchange.progress().reason, Some(reason), "{engine}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_deadlines_are_those_of_a_request() {
    let cases = [
        ("", Reason::UpstreamTimeout),
        ("HTTP/1.1 100 Continue\r\n\r\n", Reason::UpstreamTimeout),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", Reason::UpstreamIdle),
    ];
    for engine in ENGINES {
        for (answer, reason) in cases {
            let ground = Ground::new(engine).await;
            let (got, _) = ground
                .ask(async |stream| {
                    hear(stream).await;
                    say(stream, answer).await;
                })
                .await;
            assert_eq!(got.broken().1, reason, "{engine}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn nobody_answers_where_nobody_listens() {
    for engine in ENGINES {
        let mut ground = Ground::new(engine).await;
        ground.listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (got, _) = ground.get().await;
        assert_eq!(got.broken(), (Vec::new(), Reason::UpstreamConnect), "{engine}");
    }
}

#[tokio::test]
async fn an_upstream_waits_for_a_slow_reader_and_is_left_when_that_is_gone() {
    for engine in ENGINES {
        let ground = Ground::new(engine).await;
        let (exchange, request, filling, mut reader) = ground.question();
        let upstream = async {
            let (mut stream, _) = ground.listener.accept().await.unwrap();
            hear(&mut stream).await;
            say(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
            let piece = vec![0; 64 * 1024];
            let mut sent = 0_u64;
            // Until it is told that nobody wants more.
            while stream.write_all(&piece).await.is_ok() {
                sent += piece.len() as u64;
            }
            sent
        };
        let reading = async {
            assert!(matches!(poll_fn(|cx| reader.poll_begun(cx)).await, Begun::Coming { kept: Err(_), .. }));
            while exchange.progress().stage != Stage::Delivering {
                tokio::task::yield_now().await;
            }
            let before = exchange.progress().response_bytes;
            assert!(before < 2 << 20, "{engine}: {before} bytes ahead");
            drop(reader);
        };
        let ((), sent, ()) = tokio::join!(ground.fetch(&exchange, request, filling), upstream, reading);
        assert!(sent < 64 << 20, "{engine}: {sent}");
        assert_eq!(exchange.progress().reason, Some(Reason::ClientClosed), "{engine}");
    }
}

/// What becomes of a question to an upstream that does this with a stream of a connection that stays open.
async fn over_http2(answer: impl AsyncFnOnce(SendResponse<Bytes>)) -> (Got, Arc<Exchange>) {
    let ground = Ground::speaking("http2", "auto").await;
    let (done, answered) = tokio::sync::oneshot::channel();
    let upstream = async {
        let (stream, _) = ground.listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (request, respond) = connection.accept().await.unwrap().unwrap();
        assert_eq!((request.uri().to_string().as_str(), request.headers().len()), ("http://a.test/a?b", 1));
        assert!(request.body().is_end_stream());
        let answering = async {
            answer(respond).await;
            done.send(()).unwrap();
        };
        let serving = async { while connection.accept().await.is_some() {} };
        tokio::join!(answering, serving);
        std::future::pending::<()>().await;
    };
    let question = async {
        let got = ground.get().await;
        answered.await.unwrap();
        got
    };
    tokio::select! {
        got = question => got,
        () = upstream => unreachable!(),
    }
}

fn with_length(length: Option<&'static str>) -> http::Response<()> {
    let mut head = http::Response::builder().header("trailer", "x-sum");
    if let Some(length) = length {
        head = head.header(CONTENT_LENGTH, length);
    }
    head.body(()).unwrap()
}

#[tokio::test]
async fn an_http2_upstream_gives_its_answer_with_trailers() {
    let (got, exchange) = over_http2(async |mut respond| {
        let mut body = respond.send_response(with_length(None), false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        body.send_data(Bytes::from_static(b"de"), false).unwrap();
        let sum = (http::HeaderName::from_static("x-sum"), HeaderValue::from_static("5"));
        body.send_trailers(HeaderMap::from_iter([sum])).unwrap();
    })
    .await;
    let Got::Answer { head, length: None, body, end: Ok(Some(trailers)) } = got else { panic!("{got:?}") };
    assert_eq!((head.version, &*body), (Version::HTTP_2, &b"abcde"[..]));
    assert_eq!(trailers.get("x-sum").unwrap(), "5");
    let mut names: Vec<_> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["date", "trailer"]);
    let progress = exchange.progress();
    assert_eq!((progress.status, progress.reason), (200, None));
}

#[tokio::test]
async fn a_stream_that_is_not_whole_is_broken() {
    let (reset, _) = over_http2(async |mut respond| {
        let mut body = respond.send_response(with_length(None), false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        body.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    assert_eq!(reset.broken().1, Reason::UpstreamReset);
    let (short, _) = over_http2(async |mut respond| {
        let mut body = respond.send_response(with_length(Some("5")), false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), true).unwrap();
    })
    .await;
    short.broken();
    let (empty, _) = over_http2(async |mut respond| {
        respond.send_response(with_length(Some("5")), true).unwrap();
    })
    .await;
    empty.broken();
}

#[tokio::test]
async fn a_stream_that_does_not_begin_is_given_up() {
    let (got, _) = over_http2(async |mut respond| {
        let reset = poll_fn(|cx| respond.poll_reset(cx)).await;
        assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
    })
    .await;
    assert_eq!(got.broken(), (Vec::new(), Reason::UpstreamTimeout));
}

#[tokio::test]
async fn a_connection_goes_on_when_what_is_stored_is_used() {
    for engine in ENGINES {
        let ground = Ground::new(engine).await;
        let upstream = async {
            let (mut stream, _) = ground.listener.accept().await.unwrap();
            for answer in [
                "200 OK\r\nContent-Length: 3\r\nETag: \"a\"\r\nCache-Control: max-age=0, stale-if-error=1000\r\n\r\nold",
                "304 Not Modified\r\nETag: \"a\"\r\n\r\n",
                "503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
                "200 OK\r\nContent-Length: 3\r\n\r\nnew",
            ] {
                hear(&mut stream).await;
                say(&mut stream, format!("HTTP/1.1 {answer}")).await;
            }
            stream
        };
        let questions = async {
            ground.get().await.0.whole();
            let Some(Slot::Answer(stored)) = ground.cache.store().get(&[0]) else { panic!("not kept") };
            for (status, kind) in [(304, true), (503, false)] {
                let (exchange, request, filling, mut reader) = ground.question_about(Some(Arc::clone(&stored)));
                let begun = poll_fn(|cx| reader.poll_begun(cx));
                let ((), begun) = tokio::join!(ground.fetch(&exchange, request, filling), begun);
                let Begun::Stored { stored: used, confirmed } = begun else { panic!("{engine}: {begun:?}") };
                assert_eq!((confirmed, used.body.pieces()), (kind, stored.body.pieces()), "{engine}");
                let progress = exchange.progress();
                assert_eq!((progress.status, progress.reused, progress.reason), (status, true, None), "{engine}");
            }
            let (got, exchange) = ground.get().await;
            assert_eq!(got.whole().1, b"new");
            assert!(exchange.progress().reused, "{engine}");
        };
        tokio::join!(upstream, questions);
    }
}

#[tokio::test]
async fn the_rest_of_what_nobody_wants_is_not_waited_for() {
    for engine in ENGINES {
        let ground = Ground::new(engine).await;
        let upstream = async {
            let (mut stream, _) = ground.listener.accept().await.unwrap();
            hear(&mut stream).await;
            say(
                &mut stream,
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-if-error=1000\r\nContent-Length: 3\r\n\r\nold",
            )
            .await;
            hear(&mut stream).await;
            say(&mut stream, "HTTP/1.1 500 Internal Server Error\r\n\r\n").await;
            // For as long as it is heard.
            while stream.write_all(&[0; 1024]).await.is_ok() {}
        };
        let questions = async {
            ground.get().await.0.whole();
            let Some(Slot::Answer(stored)) = ground.cache.store().get(&[0]) else { panic!("not kept") };
            let (exchange, request, filling, mut reader) = ground.question_about(Some(stored));
            let begun = poll_fn(|cx| reader.poll_begun(cx));
            let ((), begun) = tokio::join!(ground.fetch(&exchange, request, filling), begun);
            assert!(matches!(begun, Begun::Stored { confirmed: false, .. }), "{engine}: {begun:?}");
            assert_eq!(exchange.progress().reason, None, "{engine}");
        };
        tokio::join!(upstream, questions);
    }
}
