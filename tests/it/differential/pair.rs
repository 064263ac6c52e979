//! Two gateways that differ in one setting, each in front of an upstream that says the same.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::differences;
use super::exchange::{Exchange, pieces};
use super::seen::Seen;
use super::socket::{Quiet, Writer};
use super::upstream::{self, Transcripts};
use crate::support::{TestGateway, eventually, forward_with, within};

/// What clients and upstreams may take; longer than any step of an exchange takes on a busy machine.
const DEADLINES: &str = "{ head: 500ms, keep_alive: 500ms, body: 500ms }";
const DEFAULTS: &str = "defaults: { timeouts: { first_byte: 500ms, idle: 500ms }, max_body: 48KiB }";
/// When nothing happened for longer than this, a deadline was waited for.
const LATE: std::time::Duration = std::time::Duration::from_millis(400);

/// A difference has to show so many times more.
const TRIES: usize = 2;

/// One of the two.
struct Side {
    gateway: TestGateway,
    upstream: TcpListener,
    /// The same socket, to be asked without waiting.
    backlog: std::net::TcpListener,
    /// Up to where the log has been read.
    log: u64,
}

pub struct Pair {
    sides: [Side; 2],
    exchanges: u32,
    unsteady: u32,
}

/// What came over the wires of an exchange, before the log is asked.
pub struct Run {
    exchange: Arc<Exchange>,
    client: IpAddr,
    wires: [Wires; 2],
}

struct Wires {
    upstream: Vec<Vec<u8>>,
    client: Vec<u8>,
    late: bool,
}

impl Pair {
    /// Two gateways whose route has these further keys.
    pub async fn start(keys: [&str; 2]) -> Self {
        let [one, other] = keys;
        Self { sides: [Side::start(one).await, Side::start(other).await], exchanges: 0, unsteady: 0 }
    }

    /// Confronts both with these exchanges, one after the other, and tells what each made of each.
    pub async fn confront(&mut self, exchanges: impl IntoIterator<Item = Exchange>) -> Vec<(Exchange, [Seen; 2])> {
        let mut runs = Vec::new();
        for exchange in exchanges {
            runs.push(self.run(exchange).await);
        }
        let last = self.next_client();
        let [one, other] = &mut self.sides;
        let logs = [one.log_until(last).await, other.log_until(last).await];
        runs.into_iter().map(|run| (Exchange::clone(&run.exchange), run.seen(&logs))).collect()
    }

    /// The error tells which exchange is the first that does not end alike, and how it ends.
    pub async fn compare(&mut self, exchanges: impl IntoIterator<Item = Exchange>) -> Result<(), (usize, String)> {
        for (index, (exchange, seen)) in self.confront(exchanges).await.into_iter().enumerate() {
            let Some(once) = difference(&exchange, &seen) else { continue };
            if let Some(report) = self.difference(&exchange).await {
                return Err((index, report));
            }
            self.unsteady += 1;
            eprintln!("not seen again:\n{once}");
        }
        Ok(())
    }

    /// What is not alike, whenever it is tried.
    pub async fn difference(&mut self, exchange: &Exchange) -> Option<String> {
        let mut found = None;
        for _ in 0..TRIES {
            // The log takes time to be written; where the wires differ it is not needed.
            found = match self.difference_on_the_wires(exchange).await {
                Some(report) => Some(report),
                None => difference(exchange, &self.confront([exchange.clone()]).await.swap_remove(0).1),
            };
            found.as_ref()?;
        }
        found
    }

    /// What is not alike once, the log aside.
    pub async fn difference_on_the_wires(&mut self, exchange: &Exchange) -> Option<String> {
        let run = self.run(exchange.clone()).await;
        difference(exchange, &run.seen(&Default::default()))
    }

    /// What comes now and then is the machine's doing and no difference, but much of it is a failure all the same.
    pub fn steady(&self) -> Result<(), String> {
        match self.unsteady * 50 > self.exchanges + 100 {
            false => Ok(()),
            true => Err(format!("{} of {} exchanges end now so, now so", self.unsteady, self.exchanges)),
        }
    }

    async fn run(&mut self, exchange: Exchange) -> Run {
        let exchange = Arc::new(exchange);
        let client = self.next_client();
        let [one, other] = &self.sides;
        let (one, other) = tokio::join!(one.run(&exchange, client), other.run(&exchange, client));
        Run { exchange, client, wires: [one, other] }
    }

    /// An address of its own for each exchange: by it the lines of the log are told apart.
    fn next_client(&mut self) -> IpAddr {
        self.exchanges += 1;
        let [_, high, middle, low] = (self.exchanges * 2).to_be_bytes();
        Ipv4Addr::new(127, 1 + high, middle, low).into()
    }
}

/// What is not alike and not on the list, with everything that was said and seen.
fn difference(exchange: &Exchange, seen: &[Seen; 2]) -> Option<String> {
    let [one, other] = seen.each_ref().map(|seen| {
        let mut seen = seen.clone();
        differences::forgive(exchange, &mut seen);
        seen
    });
    let found = one.differs(&other, exchange.is_early())?;
    let [one, other] = seen;
    Some(format!("{found}\n{exchange}\nwith one:\n{one}\nwith the other:\n{other}"))
}

impl Run {
    fn seen(&self, logs: &[HashMap<IpAddr, Vec<Value>>; 2]) -> [Seen; 2] {
        [0, 1].map(|side| {
            let Wires { upstream, client, late } = &self.wires[side];
            let lines = logs[side].get(&self.client).map(Vec::as_slice).unwrap_or_default();
            Seen::new(&self.exchange, upstream, client, lines, *late)
        })
    }
}

impl Side {
    async fn start(keys: &str) -> Self {
        let backlog = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        backlog.set_nonblocking(true).unwrap();
        let upstream = TcpListener::from_std(backlog.try_clone().unwrap()).unwrap();
        let routes = forward_with(upstream.local_addr().unwrap(), "", keys) + DEFAULTS;
        let gateway = TestGateway::build().set("deadlines", DEADLINES).start(&routes).await;
        Self { gateway, upstream, backlog, log: 0 }
    }

    async fn run(&self, exchange: &Arc<Exchange>, client: IpAddr) -> Wires {
        let transcripts = Transcripts::default();
        let quiet = Quiet::new();
        let mut connections = JoinSet::new();
        let serving = upstream::serve(
            &self.upstream,
            Arc::clone(exchange),
            Arc::clone(&transcripts),
            quiet.clone(),
            &mut connections,
        );
        let received = tokio::select! {
            received = self.converse(exchange, client, &quiet) => received,
            () = serving => unreachable!("an upstream serves as long as it may"),
        };
        let late = quiet.longest() > LATE;
        // Closed before the next exchange begins, so that the gateway finds out before it uses them again.
        connections.shutdown().await;
        while self.backlog.accept().is_ok() {}
        let upstream = std::mem::take(&mut *transcripts.lock().unwrap());
        Wires { upstream, client: received, late }
    }

    /// Sends the client's stream and returns all that comes back until the gateway ends the connection.
    async fn converse(&self, exchange: &Exchange, client: IpAddr, quiet: &Quiet) -> Vec<u8> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((client, 0).into()).unwrap();
        socket.set_nodelay(true).unwrap();
        let stream = socket.connect(self.gateway.address()).await.unwrap();
        let (mut reading, writing) = stream.into_split();
        let mut writer = Writer::new(writing, quiet.clone());
        let sending = async {
            // The gateway may have closed after a request that it refused.
            let _closed = writer.write(&pieces(&exchange.client, &exchange.cuts.client), |_| Ok(())).await;
        };
        let mut received = Vec::new();
        let receiving = async {
            // A reset ends the connection, too.
            while reading.read_buf(&mut received).await.is_ok_and(|length| length > 0) {
                quiet.end();
            }
        };
        // Once the gateway has ended the connection nobody reads what is still to be sent.
        let both = async {
            tokio::pin!(sending, receiving);
            tokio::select! {
                () = &mut receiving => {}
                () = &mut sending => receiving.await,
            }
        };
        within(&format!("the end of\n{exchange}"), both).await;
        received
    }

    /// The lines of every client since the last time, now that a request of this one has left its own.
    async fn log_until(&mut self, last: IpAddr) -> HashMap<IpAddr, Vec<Value>> {
        let end = Exchange::new("GET /end HTTP/1.0\r\n\r\n", []);
        self.run(&Arc::new(end), last).await;
        let path = self.gateway.folder().join("access.log");
        let (read, lines) = eventually("the last line of the log", async || {
            let mut text = String::new();
            let mut file = fs::File::open(&path).ok()?;
            file.seek(SeekFrom::Start(self.log)).ok()?;
            file.read_to_string(&mut text).ok()?;
            let whole = &text[..text.rfind('\n')? + 1];
            let mut lines: HashMap<IpAddr, Vec<Value>> = HashMap::new();
            for line in whole.lines() {
                let line: Value = serde_json::from_str(line).expect("a line of JSON");
                let client = line["client"].as_str().expect("a client").parse().expect("an address");
                lines.entry(client).or_default().push(line);
            }
            lines.contains_key(&last).then_some((whole.len(), lines))
        })
        .await;
        self.log += read as u64;
        lines
    }
}
