//! However a request ends, its place is free again; and it is one place, not two.

use h2::Reason;
use http::Request;

use super::scene::{BOTH, Caller, File, KEYED, KEYED_HERE, Partner, Version, left, refused_by};
use crate::support::h2_client::response_of;
use crate::support::upstream::{Conn, Refusing};
use crate::support::{Client, Gate, H2Client, TestGateway, Upstream, eventually, ok, within};

/// How many may be on their way.
const PLACES: u64 = 2;

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct World {
    gateway: TestGateway,
    acme: Partner,
    arrived: Gate,
    release: Gate,
    _upstream: Upstream,
    _refusing: Refusing,
}

/// Does what the target says; `arrived` opens once a request is so far.
async fn serve(mut conn: Conn, arrived: Gate, release: Gate) -> std::io::Result<()> {
    const BEGUN: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    while let Some(request) = conn.head().await? {
        let does = request.target.rsplit('/').next().unwrap_or_default();
        match does {
            "streams" | "cuts" => conn.send(BEGUN).await?,
            "switches" | "hangs-up" => conn.send(SWITCHING).await?,
            _ => {}
        }
        arrived.open();
        match does {
            "answers" => {
                release.pass().await;
                conn.send(ok("in the end")).await?;
            }
            "resets" => {
                release.pass().await;
                return conn.reset();
            }
            "cuts" | "hangs-up" => {
                release.pass().await;
                return Ok(());
            }
            _ => return conn.stall().await,
        }
    }
    Ok(())
}

impl World {
    async fn start() -> Self {
        let (arrived, release) = (Gate::closed(), Gate::closed());
        let gates = (arrived.clone(), release.clone());
        let upstream = Upstream::scripted(move |conn| serve(conn, gates.0.clone(), gates.1.clone()));
        let (acme, refusing) = (Partner::new("acme"), Refusing::new());
        let file = File::new(upstream.address())
            .upstream("down", refusing.address())
            .plan("standard", &format!("concurrency: {PLACES}"))
            .partner("standard", &acme)
            .route("slow", KEYED)
            .route("hasty", &format!("{KEYED}, timeouts: {{ first_byte: 100ms, idle: 100ms }}"))
            .route("total", &format!("{KEYED}, timeouts: {{ total: 100ms }}"))
            .route("down", "auth: { api_key: {} }, upstream: down")
            .route("probe", KEYED_HERE);
        Self { gateway: file.start().await, acme, arrived, release, _upstream: upstream, _refusing: refusing }
    }

    fn get(&self, target: &str) -> String {
        let (name, key) = self.acme.field();
        format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{name}: {key}\r\n\r\n")
    }

    fn upgrade(&self, target: &str) -> String {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        self.get(target).trim_end().to_owned() + "\r\n" + upgrade
    }

    fn post(&self, target: &str) -> String {
        self.get(target).replace("GET ", "POST ").trim_end().to_owned() + "\r\nContent-Length: 10\r\n\r\nabc"
    }

    fn h2(&self, method: &str, target: &str) -> Request<()> {
        let (name, key) = self.acme.field();
        let request = Request::builder().method(method).uri(format!("http://api.test{target}"));
        request.header(name, key).body(()).unwrap()
    }

    async fn arrived(&self) {
        within("the request is at the upstream", self.arrived.pass()).await;
    }

    /// How many more would pass now.
    async fn free(&self) -> u64 {
        let response = self.acme.get(&mut Caller::connect(&self.gateway, Version::One).await, "/probe/").await;
        if response.status == 429 { 0 } else { left(&response, "standard.concurrency") + 1 }
    }

    async fn all_are_free(&self, after: &str) {
        let what = format!("all places are free after: {after}");
        eventually(&what, async || (self.free().await == PLACES).then_some(())).await;
    }

    /// A request on its way, which holds a place.
    async fn on_its_way(&self, request: String) -> Client {
        let mut client = self.gateway.client().await;
        client.send(request).await;
        self.arrived().await;
        eventually("one place is taken", async || (self.free().await == PLACES - 1).then_some(())).await;
        client
    }

    /// As many pass as there are places, and no more.
    async fn there_are_as_many_as_before(&self) {
        let mut callers = Vec::new();
        for _ in 0..PLACES {
            let mut client = self.gateway.client().await;
            client.send(self.get("/slow/answers")).await;
            self.arrived().await;
            callers.push(client);
        }
        for version in BOTH {
            let mut caller = Caller::connect(&self.gateway, version).await;
            let response = self.acme.get(&mut caller, "/slow/answers").await;
            assert_eq!(refused_by(&response, "CONCURRENCY_LIMITED", "standard.concurrency"), 1);
            assert_eq!(left(&response, "standard.concurrency"), 0);
        }
        for mut client in callers {
            self.release.open();
            // Which of them is let go is not said.
            drop(client.response().await);
        }
        self.all_are_free("all have been answered").await;
    }
}

#[tokio::test]
async fn over_http_1() {
    let world = World::start().await;
    for _ in 0..2 {
        let mut client = world.on_its_way(world.get("/slow/answers")).await;
        world.release.open();
        assert_eq!(client.response().await.status, 200);
        world.all_are_free("an answer").await;

        drop(world.on_its_way(world.get("/slow/stalls")).await);
        world.all_are_free("a client that closes").await;

        world.on_its_way(world.get("/slow/stalls")).await.reset();
        world.all_are_free("a client that resets").await;

        let mut client = world.on_its_way(world.get("/slow/streams")).await;
        client.response_head().await;
        drop(client);
        world.all_are_free("a client that closes within an answer").await;

        world.on_its_way(world.post("/slow/stalls")).await.reset();
        world.all_are_free("a client that resets within its body").await;

        let mut client = world.on_its_way(world.get("/slow/resets")).await;
        world.release.open();
        assert_eq!(client.response().await.status, 502);
        world.all_are_free("an upstream that resets").await;

        let mut client = world.on_its_way(world.get("/slow/cuts")).await;
        world.release.open();
        assert!(client.try_response().await.is_err());
        world.all_are_free("an upstream that breaks off").await;
    }
    world.there_are_as_many_as_before().await;
}

#[tokio::test]
async fn over_http_2() {
    let world = World::start().await;
    for _ in 0..2 {
        for (target, within_answer) in [("/slow/answers", false), ("/slow/stalls", false), ("/slow/streams", true)] {
            let mut client = H2Client::connect(world.gateway.address()).await;
            let (response, mut stream) = client.open(world.h2("GET", target), true).await.unwrap();
            world.arrived().await;
            if target == "/slow/answers" {
                world.release.open();
                assert_eq!(response_of(response).await.unwrap().status, 200);
            } else if within_answer {
                let answer = within("the head of an answer", response).await.unwrap();
                stream.send_reset(Reason::CANCEL);
                drop(answer);
            } else {
                stream.send_reset(Reason::CANCEL);
            }
            world.all_are_free(target).await;
            // The connection goes on.
            let (response, _) = client.open(world.h2("GET", "/probe/"), true).await.unwrap();
            assert_eq!(response_of(response).await.unwrap().status, 200);
        }

        let mut client = H2Client::connect(world.gateway.address()).await;
        let (response, mut stream) = client.open(world.h2("POST", "/slow/stalls"), false).await.unwrap();
        stream.send_data("abc".into(), false).unwrap();
        world.arrived().await;
        stream.send_reset(Reason::INTERNAL_ERROR);
        drop(response);
        world.all_are_free("a reset within a body").await;

        let mut client = H2Client::connect(world.gateway.address()).await;
        let (response, _) = client.open(world.h2("GET", "/slow/resets"), true).await.unwrap();
        world.arrived().await;
        world.release.open();
        assert_eq!(response_of(response).await.unwrap().status, 502);
        world.all_are_free("an upstream that resets").await;

        // A raw connection that vanishes with two streams on it.
        let mut client = H2Client::connect(world.gateway.address()).await;
        let first = client.open(world.h2("GET", "/slow/stalls"), true).await.unwrap();
        let second = client.open(world.h2("GET", "/slow/streams"), true).await.unwrap();
        world.arrived().await;
        world.arrived().await;
        assert_eq!(world.free().await, 0);
        drop((first, second, client));
        world.all_are_free("a connection that is closed").await;
    }
    world.there_are_as_many_as_before().await;
}

#[tokio::test]
async fn by_time_or_without_an_upstream() {
    let world = World::start().await;
    for version in BOTH {
        let mut caller = Caller::connect(&world.gateway, version).await;
        for (target, status, reason) in
            [("/hasty/stalls", 504, "UPSTREAM_TIMEOUT"), ("/total/stalls", 504, "REQUEST_TIMEOUT")]
        {
            world.acme.get(&mut caller, target).await.refused(status, reason);
            world.all_are_free(target).await;
        }
        for _ in 0..3 {
            let response = world.acme.get(&mut caller, "/down/").await;
            assert!(matches!(response.status, 502 | 503), "{}", response.text());
            assert_eq!(left(&response, "standard.concurrency"), PLACES - 1);
        }
        world.all_are_free("nobody to forward to").await;
    }
    let mut client = world.gateway.client().await;
    client.send(world.get("/hasty/streams")).await;
    assert!(client.try_response().await.is_err(), "the upstream says no more");
    world.all_are_free("a pause within an answer").await;
    // They have all arrived, and nobody has waited for that.
    for _ in 0..5 {
        world.arrived().await;
    }
    world.there_are_as_many_as_before().await;
}

#[tokio::test]
async fn of_a_tunnel() {
    let world = World::start().await;
    for _ in 0..2 {
        let mut client = world.on_its_way(world.upgrade("/slow/switches")).await;
        assert_eq!(client.response_head().await.0, 101);
        client.send("some bytes").await;
        assert_eq!(world.free().await, PLACES - 1, "a tunnel is a request on its way");
        drop(client);
        world.all_are_free("the client ends the tunnel").await;

        let mut client = world.on_its_way(world.upgrade("/slow/hangs-up")).await;
        assert_eq!(client.response_head().await.0, 101);
        world.release.open();
        client.closed().await;
        drop(client);
        world.all_are_free("the upstream ends the tunnel, then the client").await;

        // A client that does not end its side has no longer than the time of a pause.
        let mut client = world.gateway.client().await;
        client.send(world.upgrade("/hasty/hangs-up")).await;
        world.arrived().await;
        world.release.open();
        assert_eq!(client.response_head().await.0, 101);
        client.closed().await;
        world.all_are_free("the upstream ends the tunnel alone").await;
        drop(client);

        world.on_its_way(world.upgrade("/slow/switches")).await.reset();
        world.all_are_free("the tunnel is torn").await;
    }
    let mut tunnels = Vec::new();
    for _ in 0..PLACES {
        let mut client = world.gateway.client().await;
        client.send(world.upgrade("/slow/switches")).await;
        assert_eq!(client.response_head().await.0, 101);
        world.arrived().await;
        tunnels.push(client);
    }
    let response = world.gateway.request(world.upgrade("/slow/switches")).await;
    refused_by(&response, "CONCURRENCY_LIMITED", "standard.concurrency");
    drop(tunnels);
    world.all_are_free("all tunnels").await;
    world.there_are_as_many_as_before().await;
}
