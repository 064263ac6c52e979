//! Requests that the cache takes part in: from a question to what the client gets.

mod http1;
mod http2;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use httparse::Header;

use super::fetch::fetch;
use super::response::ResponseHead;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::base::tasks;
use crate::cache::fill::{Begun, Part, Reader};
use crate::cache::flights::Joined;
use crate::cache::served::Served;
use crate::cache::status::{Kind, Outcome};
use crate::cache::{Filling, Head, Moment, Stored};
use crate::listener::worker::Worker;
use crate::pipeline::cached::{Ask, Work, part_of};
use crate::pipeline::exchange::{Exchange, Stage};
use crate::telemetry::metrics::Background;

pub use self::http1::deliver as deliver_http1;
pub use self::http2::deliver as deliver_stream;

/// How often a request that waited for an answer that turned out to be for others asks again.
const TRIES: u8 = 3;

/// What a request gets.
pub enum Obtained {
    Served(Box<Served>),
    /// It is to be forwarded as any other request: the plan is there.
    Forward,
}

fn now() -> Moment {
    Moment { at: clock::now(), wall: clock::since_epoch() }
}

/// What there is for a request that the cache takes part in, when all has been asked that has to be.
///
/// # Errors
///
/// Why the upstream gave no answer, or the deadline of the request.
pub async fn obtain(worker: &Arc<Worker>, exchange: &mut Exchange) -> Result<Obtained, Reason> {
    let Some(part) = &mut exchange.cache else { return Ok(Obtained::Forward) };
    let refresh = part.refresh.take();
    let work = std::mem::replace(&mut part.work, Work::Forward);
    if let Some(refresh) = refresh {
        renew(worker, exchange, *refresh);
    }
    match work {
        Work::Forward => Ok(Obtained::Forward),
        Work::Serve(served) => {
            let age = Duration::from_secs(served.age.unwrap_or_default());
            exchange.snapshot.gate.cache_metrics.given(age);
            Ok(Obtained::Served(served))
        }
        Work::Ask(ask) => {
            // In a box, so that answers from memory do without its room.
            let obtained = Box::pin(wait(worker, exchange, *ask)).await?;
            Ok(obtained)
        }
    }
}

/// Fetches what was given just now anew, unless somebody does so already.
fn renew(worker: &Arc<Worker>, exchange: &Exchange, ask: Ask) {
    let cache = Arc::clone(&exchange.snapshot.gate.lasting.cache);
    let Ask { key, want, plan, request, .. } = ask;
    let Some((flight, _)) = cache.flights().begin(&key, cache.store().mark()) else {
        if let Some(stale) = &want.stale {
            stale.marks.refreshing.store(false, Ordering::Relaxed);
        }
        return;
    };
    {
        let is_fresh =
            exchange.cache.as_ref().and_then(|part| part.outcome).is_some_and(|outcome| outcome.kind == Kind::Hit);
        let why = if is_fresh { Background::RefreshAhead } else { Background::Revalidate };
        exchange.snapshot.gate.cache_metrics.background(why);
        let background = exchange.fetching(plan, worker.deadlines.register());
        let filling = Filling::new(cache, want, flight);
        let worker = Arc::clone(worker);
        let _detached = tasks::spawn("cache fetch", async move { fetch(&worker, background, request, filling).await });
    }
}

async fn wait(worker: &Arc<Worker>, exchange: &mut Exchange, ask: Ask) -> Result<Obtained, Reason> {
    let cache = Arc::clone(&exchange.snapshot.gate.lasting.cache);
    let kind = exchange.cache.as_ref().and_then(|part| part.outcome).map_or(Kind::Miss, |outcome| outcome.kind);
    let Ask { mut key, want, plan, request, is_partial } = ask;
    let (base, fields) = (want.base.clone(), want.fields.clone());
    let mut question = Some((want, plan, request));
    // What was asked for before this request is not what it wants.
    let mut by_itself = kind == Kind::Refetch;
    for _ in 0..TRIES {
        let joined = if by_itself {
            let (flight, reader) = cache.flights().alone(&key);
            Joined::Leads(flight, reader)
        } else {
            cache.join(&key, clock::now())
        };
        let mut outcome = Outcome::new(kind);
        let mut asks = None;
        let mut reader = match joined {
            // What is stored may still hold, or stand in for a failure.
            Joined::Alone if question.as_ref().is_some_and(|(want, ..)| want.stale.is_some()) => {
                by_itself = true;
                continue;
            }
            Joined::Alone => {
                note(exchange, outcome);
                return Ok(Obtained::Forward);
            }
            Joined::Follows(reader) => {
                outcome.collapsed = true;
                exchange.snapshot.gate.cache_metrics.collapsed();
                reader
            }
            Joined::Leads(mut flight, reader) => {
                let Some((want, plan, request)) = question.take() else { return Ok(Obtained::Forward) };
                // Another flight may have stored it since it was looked for.
                if !by_itself && let Some(stored) = cache.look_again(&want, now()) {
                    flight.writer.begin(Begun::Stored { stored: Arc::clone(&stored), confirmed: true });
                    return serve(exchange, &stored, &fields, Outcome { collapsed: true, ..Outcome::new(Kind::Hit) });
                }
                cache.earn();
                let own = exchange.fetching(plan, worker.deadlines.register());
                asks = Some(Arc::clone(&own));
                let filling = Filling::new(Arc::clone(&cache), want, flight);
                let worker = Arc::clone(worker);
                let _detached = tasks::spawn("cache fetch", async move { fetch(&worker, own, request, filling).await });
                reader
            }
        };
        let begun = begun(exchange, &mut reader).await;
        if let Some(fetch) = asks {
            exchange.learn(&fetch);
        }
        let begun = begun?;
        match begun {
            Begun::Alone => {
                note(exchange, outcome);
                exchange.forget();
                return Ok(Obtained::Forward);
            }
            Begun::Failed(reason) => return Err(reason),
            Begun::Stored { stored, confirmed } => {
                if confirmed && outcome.collapsed && !is_shared(&stored.head) {
                    by_itself = true;
                    continue;
                }
                if !cache.fits(&stored.head, base.as_bytes(), &fields) {
                    key = cache.key_of(base.as_bytes(), &fields);
                    continue;
                }
                outcome.kind = if confirmed { Kind::Revalidated } else { Kind::StaleError };
                outcome.upstream = confirmed.then_some(StatusCode::NOT_MODIFIED.as_u16());
                return serve(exchange, &stored, &fields, outcome);
            }
            Begun::Coming { head, length, kept, for_first } => {
                if outcome.collapsed && !is_shared(&head) {
                    by_itself = true;
                    continue;
                }
                if outcome.collapsed && !cache.fits(&head, base.as_bytes(), &fields) {
                    key = cache.key_of(base.as_bytes(), &fields);
                    continue;
                }
                outcome.stored = Some(kept);
                outcome.upstream = Some(head.status.as_u16());
                note(exchange, outcome);
                if is_partial && kept.is_err() {
                    exchange.forget();
                    return Ok(Obtained::Forward);
                }
                let age = head.freshness.age(clock::now()).as_secs();
                let mut served = Served::coming(head, length, reader, &fields, outcome);
                if kept.is_ok() {
                    served.age = (age > 0).then_some(age);
                }
                if !outcome.collapsed {
                    served.instead.extend(for_first.iter().cloned());
                }
                return Ok(Obtained::Served(Box::new(served)));
            }
        }
    }
    Ok(Obtained::Forward)
}

/// Whether an answer may be given to others who asked for it at the same time (RFC 9111 §4): it does not have to be validated first.
fn is_shared(head: &Head) -> bool {
    !head.rules.always_validate && head.freshness.stale_for(clock::now()).is_none()
}

/// Gives what is stored.
fn serve(
    exchange: &mut Exchange,
    stored: &Arc<Stored>,
    fields: &HeaderMap,
    outcome: Outcome,
) -> Result<Obtained, Reason> {
    let now = now();
    let served = Served::stored(stored, fields, false, outcome, now.at);
    let mut part = part_of(stored, served, now);
    let Work::Serve(served) = std::mem::replace(&mut part.work, Work::Forward) else { return Err(Reason::Internal) };
    exchange.cache = Some(part);
    Ok(Obtained::Served(served))
}

fn note(exchange: &mut Exchange, outcome: Outcome) {
    if let Some(part) = &mut exchange.cache {
        part.outcome = Some(outcome);
    }
}

/// Waits for the beginning of an answer, within the deadline of the request.
async fn begun(exchange: &mut Exchange, reader: &mut Reader) -> Result<Begun, Reason> {
    exchange.enter_alone(Stage::Fetching);
    tokio::select! {
        biased;
        begun = poll_fn(|cx| reader.poll_begun(cx)) => Ok(begun),
        () = exchange.deadline.expired() => Err(exchange.overdue().unwrap_or(Reason::Internal)),
    }
}

/// What is said beside the stored fields, as text.
struct Lines {
    age: Option<Digits>,
    length: Option<Digits>,
}

/// A number in decimal.
struct Digits {
    room: [u8; 20],
    begin: usize,
}

impl Digits {
    fn of(mut number: u64) -> Self {
        let mut digits = Self { room: [b'0'; 20], begin: 20 };
        for (at, digit) in digits.room.iter_mut().enumerate().rev() {
            // A remainder by ten fits.
            *digit += (number % 10) as u8;
            number /= 10;
            digits.begin = at;
            if number == 0 {
                break;
            }
        }
        digits
    }

    fn as_bytes(&self) -> &[u8] {
        self.room.get(self.begin..).unwrap_or_default()
    }
}

fn lines(served: &Served) -> Lines {
    let bodyless = matches!(served.status.as_u16(), 204 | 304);
    Lines { age: served.age.map(Digits::of), length: served.length.filter(|_| !bodyless).map(Digits::of) }
}

impl Lines {
    /// The fields of the answer, before the edits of the route.
    fn fields<'a>(&'a self, served: &'a Served) -> Vec<Header<'a>> {
        let Served { head, without, instead, .. } = served;
        let stays =
            |name: &http::HeaderName| !without.contains(name) && !instead.iter().any(|(other, _)| other == name);
        let stored = head.fields.iter().filter(|(name, _)| stays(name));
        let all = stored.chain(instead.iter().map(|(name, value)| (name, value)));
        let mut fields = Vec::with_capacity(24);
        fields.extend(all.map(|(name, value)| Header { name: name.as_str(), value: value.as_bytes() }));
        let ours = [("age", &self.age), ("content-length", &self.length)];
        for (name, text) in ours {
            fields.extend(text.as_ref().map(|text| Header { name, value: text.as_bytes() }));
        }
        fields
    }
}

/// The head of what is served, as if it had just been read.
fn head_of<'h, 'b>(served: &Served, fields: &'h mut [Header<'b>]) -> ResponseHead<'h, 'b> {
    ResponseHead::stored(served.status, served.head.version, fields, served.length)
}

/// The body of an answer that is coming, as far as the client gets it.
struct Parts {
    reader: Reader,
    skip: u64,
    take: Option<u64>,
    /// Of the answer.
    status: StatusCode,
    trailers: Option<Arc<HeaderMap>>,
    drops_trailers: bool,
}

impl Parts {
    fn new(reader: Reader, skip: u64, take: Option<u64>, status: StatusCode) -> Self {
        Self { reader, skip, take, status, trailers: None, drops_trailers: false }
    }

    /// For a client that gets no trailers.
    fn without_trailers(self) -> Self {
        Self { drops_trailers: true, ..self }
    }

    /// The next bytes; `None` at the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Reason>> {
        loop {
            if self.take == Some(0) {
                return Poll::Ready(Ok(None));
            }
            let mut data = match ready!(self.reader.poll_part(cx)) {
                Part::Data(data) => data,
                Part::End(trailers) => {
                    self.trailers = trailers;
                    return Poll::Ready(Ok(None));
                }
                Part::Broken(reason) => return Poll::Ready(Err(reason)),
            };
            let length = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
            let skipped = length(self.skip).min(data.len());
            data.advance(skipped);
            self.skip -= skipped as u64;
            if let Some(take) = &mut self.take {
                data.truncate(length(*take));
                *take -= data.len() as u64;
            }
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(data)));
            }
        }
    }

    fn take_trailers(&mut self) -> Option<Arc<HeaderMap>> {
        self.trailers.take().filter(|_| !self.drops_trailers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everywhere() {
        for number in [0, 7, 10, 99, 1_048_576, u64::MAX] {
            assert_eq!(Digits::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
