//! The upstream of one exchange: answers each request that it hears by the next reply, on whichever connection.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::exchange::{Exchange, Reply, Then, When, pieces};
use super::message::{self, End, Message};
use super::socket::{Quiet, Writer};

/// What was read on each connection, in the order of accepting.
pub type Transcripts = Arc<Mutex<Vec<Vec<u8>>>>;

/// Serves until it is dropped; the connections end with the set of them.
pub async fn serve(
    listener: &TcpListener,
    exchange: Arc<Exchange>,
    transcripts: Transcripts,
    quiet: Quiet,
    connections: &mut JoinSet<()>,
) {
    let answered = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let index = {
            let mut transcripts = transcripts.lock().unwrap();
            transcripts.push(Vec::new());
            transcripts.len() - 1
        };
        let heard = Heard { index, transcripts: Arc::clone(&transcripts), quiet: quiet.clone(), read: 0 };
        let (exchange, answered) = (Arc::clone(&exchange), Arc::clone(&answered));
        connections.spawn(async move {
            // However a connection ends, what was read on it is what counts.
            let _ended = converse(stream, heard, &exchange, &answered).await;
        });
    }
}

async fn converse(stream: TcpStream, mut heard: Heard, exchange: &Exchange, answered: &AtomicUsize) -> io::Result<()> {
    let (mut reading, writing) = stream.into_split();
    let mut writer = Writer::new(writing, heard.quiet.clone());
    loop {
        let Some((request, length)) = heard.until(&mut reading, |_| true).await? else { return Ok(()) };
        let mut reply = exchange.upstream.get(answered.fetch_add(1, Ordering::Relaxed)).cloned().unwrap_or_default();
        let mut whole = (request.end == End::Whole).then_some(length);
        if reply.when == When::Whole && whole.is_none() {
            let read = heard.until(&mut reading, |request| request.end == End::Whole).await?;
            let Some((_, length)) = read else { return Ok(()) };
            whole = Some(length);
        }
        if request.asks().head {
            // What is cut short for others is whole here, and whether its end is seen before the next request is chance.
            reply.body.clear();
            reply.then = Then::Keep;
        }
        answer(&mut writer, &reply, &exchange.cuts.upstream).await?;
        match reply.then {
            Then::Keep => {}
            Then::Reset => return Ok(()),
            // Unread bytes would turn the end into a reset.
            Then::Close | Then::Stall => {
                while heard.more(&mut reading).await? {}
                return Ok(());
            }
        }
        if whole.is_none() {
            let read = heard.until(&mut reading, |request| request.end == End::Whole).await?;
            whole = read.map(|(_, length)| length);
        }
        match whole {
            Some(length) => heard.read += length,
            None => return Ok(()),
        }
    }
}

async fn answer(writer: &mut Writer, reply: &Reply, cuts: &[usize]) -> io::Result<()> {
    let said = [&reply.head[..], &reply.body].concat();
    let mut parts = pieces(&said, cuts);
    let last = [parts.pop().unwrap_or_default(), &reply.beyond].concat();
    parts.push(&last);
    writer
        .write(&parts, |socket| match reply.then {
            Then::Close => socket.set_tcp_cork(true),
            Then::Reset => socket.set_linger(Some(Duration::ZERO)),
            Then::Keep | Then::Stall => Ok(()),
        })
        .await?;
    match reply.then {
        Then::Close => writer.half.shutdown().await,
        _ => Ok(()),
    }
}

/// What was heard on one connection, and how much of it has been dealt with.
struct Heard {
    index: usize,
    transcripts: Transcripts,
    quiet: Quiet,
    read: usize,
}

impl Heard {
    /// Reads until there is a request with a whole head that is as wanted; `None` when there will be none.
    async fn until(
        &self,
        reading: &mut OwnedReadHalf,
        wanted: impl Fn(&Message) -> bool,
    ) -> io::Result<Option<(Message, usize)>> {
        loop {
            let found = message::request(&self.transcripts.lock().unwrap()[self.index][self.read..]);
            if let Some((request, length)) = found {
                if request.end == End::Malformed {
                    return Ok(None);
                }
                if request.head_is_whole && wanted(&request) {
                    return Ok(Some((request, length)));
                }
            }
            if !self.more(reading).await? {
                return Ok(None);
            }
        }
    }

    async fn more(&self, reading: &mut OwnedReadHalf) -> io::Result<bool> {
        let mut piece = vec![0; 1 << 16];
        let length = reading.read(&mut piece).await?;
        self.quiet.end();
        self.transcripts.lock().unwrap()[self.index].extend_from_slice(&piece[..length]);
        Ok(length > 0)
    }
}
