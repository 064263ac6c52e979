use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, Waker};
use std::thread;

use bytes::Bytes;
use http::{StatusCode, Version};

use super::*;
use crate::base::clock;
use crate::base::reason::Reason;
use crate::cache::fill::{Begun, Part};
use crate::cache::freshness::Freshness;
use crate::cache::storable::{NotStored, Rules};
use crate::cache::stored::{Body, Groups, Head, Stored, StoredFields};

fn key(name: &str) -> Key {
    Key::from(name.as_bytes())
}

fn head(key: &Key) -> Arc<Head> {
    let freshness = Freshness { lifetime: Duration::ZERO, initial_age: Duration::ZERO, received: clock::now() };
    Arc::new(Head {
        key: key.clone(),
        status: StatusCode::OK,
        version: Version::HTTP_11,
        fields: StoredFields::default(),
        freshness,
        rules: Rules::default(),
        groups: Groups::default(),
    })
}

fn coming(kept: Result<(), NotStored>) -> Begun {
    Begun::Coming { head: head(&key("a")), length: None, kept, for_first: [].into() }
}

fn begun(reader: &mut Reader) -> Option<Begun> {
    match reader.poll_begun(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(begun) => Some(begun),
        Poll::Pending => None,
    }
}

fn leads(flights: &Flights, key: &Key, now: Instant) -> (Flight, Reader) {
    match flights.join(key, now, Mark(0), |_| false) {
        Joined::Leads(flight, reader) => (flight, reader),
        other => panic!("{other:?}"),
    }
}

fn follows(flights: &Flights, key: &Key, now: Instant) -> Reader {
    match flights.join(key, now, Mark(0), |_| false) {
        Joined::Follows(reader) => reader,
        other => panic!("{other:?}"),
    }
}

fn is_alone(flights: &Flights, key: &Key, now: Instant) -> bool {
    matches!(flights.join(key, now, Mark(0), |_| false), Joined::Alone)
}

#[test]
fn whoever_comes_second_waits_for_what_the_first_asked_for() {
    let (flights, now) = (Flights::default(), clock::now());
    let (mut flight, first) = leads(&flights, &key("a"), now);
    assert!(first.first);
    let (other, _reader) = leads(&flights, &key("b"), now);
    let mut second = follows(&flights, &key("a"), now);
    assert!(!second.first);
    assert_eq!(flights.numbers(), Numbers { flights: 2, collapsed: 1 });

    flight.writer.begin(coming(Ok(())));
    flight.writer.push(Bytes::from("x"));
    let mut third = follows(&flights, &key("a"), now);
    flight.writer.end(None);
    let mut fourth = follows(&flights, &key("a"), now);
    drop((flight, other));
    assert_eq!(flights.numbers(), Numbers { flights: 0, collapsed: 3 });
    for reader in [&mut second, &mut third, &mut fourth] {
        assert!(matches!(begun(reader), Some(Begun::Coming { kept: Ok(()), .. })));
        let part = reader.poll_part(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(part, Poll::Ready(Part::Data(data)) if data == "x"));
    }
    leads(&flights, &key("a"), now);
}

#[test]
fn a_flight_that_is_dropped_tells_those_who_follow() {
    let (flights, now) = (Flights::default(), clock::now());
    let (flight, _reader) = leads(&flights, &key("a"), now);
    let mut second = follows(&flights, &key("a"), now);
    drop(flight);
    assert!(matches!(begun(&mut second), Some(Begun::Failed(Reason::UpstreamReset))));
}

#[test]
fn answers_that_are_not_kept_are_not_waited_for() {
    let (flights, now) = (Flights::default(), clock::now());
    let (mut flight, mut first) = leads(&flights, &key("a"), now);
    let mut second = follows(&flights, &key("a"), now);
    flight.not_shared(now);
    assert_eq!(flights.running(), 0);
    assert!(is_alone(&flights, &key("a"), now));
    flight.writer.begin(coming(Err(NotStored::NoStore)));
    assert!(matches!(begun(&mut first), Some(Begun::Coming { kept: Err(NotStored::NoStore), .. })));
    assert!(matches!(begun(&mut second), Some(Begun::Alone)));
    flight.writer.end(None);
    drop(flight);
    assert!(is_alone(&flights, &key("a"), now + NOT_SHARED - Duration::from_nanos(1)));
    leads(&flights, &key("b"), now);
    leads(&flights, &key("a"), now + NOT_SHARED);
}

#[test]
fn an_answer_that_gets_too_long_is_over_for_newcomers() {
    let (flights, now) = (Flights::default(), clock::now());
    let (mut flight, _reader) = leads(&flights, &key("a"), now);
    flight.writer.begin(coming(Ok(())));
    flight.writer.keep_no_longer(1);
    assert!(is_alone(&flights, &key("a"), now));
    flight.writer.end(None);
    drop(flight);
    leads(&flights, &key("a"), now);
}

#[test]
fn a_key_whose_answer_is_kept_again_is_shared_again() {
    let (flights, now) = (Flights::default(), clock::now());
    let stored = Begun::Stored { stored: Arc::new(Stored::new(head(&key("a")), Body::new(vec![]))), confirmed: true };
    let cases: [(Begun, bool, bool); 5] = [
        (coming(Ok(())), true, true),
        (stored, false, true),
        (coming(Ok(())), false, false),
        (coming(Err(NotStored::NoStore)), true, false),
        (Begun::Failed(Reason::UpstreamReset), false, false),
    ];
    for (what, ends, is_shared) in cases {
        let (flight, _reader) = flights.alone(&key("a"));
        flight.not_shared(now);
        drop(flight);
        assert!(is_alone(&flights, &key("a"), now));
        let (mut flight, _reader) = flights.alone(&key("a"));
        assert_eq!(flights.running(), 0, "nobody joins it");
        flight.writer.begin(what);
        if ends {
            flight.writer.end(None);
        }
        drop(flight);
        assert_eq!(!is_alone(&flights, &key("a"), now), is_shared);
    }
}

#[test]
fn a_flight_takes_out_only_itself() {
    let (flights, now) = (Flights::default(), clock::now());
    let (old, _reader) = leads(&flights, &key("a"), now);
    old.not_shared(now);
    let (new, _reader) = leads(&flights, &key("a"), now + NOT_SHARED);
    drop(old);
    let (alone, _reader) = flights.alone(&key("a"));
    drop(alone);
    follows(&flights, &key("a"), now + NOT_SHARED);
    drop(new);
    assert_eq!(flights.running(), 0);
}

#[test]
fn a_refresh_is_one_at_a_time_and_can_be_joined() {
    let (flights, now) = (Flights::default(), clock::now());
    let (mut flight, _) = flights.begin(&key("a"), Mark(0)).expect("none yet");
    assert!(!flight.writer.is_wanted());
    assert!(flights.begin(&key("a"), Mark(0)).is_none());
    let mut reader = follows(&flights, &key("a"), now);
    assert!(!reader.first && flight.writer.is_wanted());
    flight.writer.begin(coming(Err(NotStored::NoStore)));
    assert!(matches!(begun(&mut reader), Some(Begun::Alone)), "nobody asked first");
    drop(flight);
    assert!(flights.begin(&key("a"), Mark(0)).is_some());
}

#[test]
fn memory_of_what_is_not_shared_is_bounded() {
    let (flights, now) = (Flights::default(), clock::now());
    let keys: Vec<_> = (0..20_000).map(|at| key(&at.to_string())).collect();
    for key in &keys {
        let (flight, _reader) = flights.alone(key);
        flight.not_shared(now);
    }
    let remembered = keys.iter().filter(|key| is_alone(&flights, key, now)).count();
    assert!((3000..=4096).contains(&remembered), "{remembered}");
    assert!(keys.last().is_some_and(|key| is_alone(&flights, key, now)), "the latest is remembered");
}

/// Requests on many threads find what is stored, or who brings it: it is asked for once, whatever happens between.
#[test]
fn there_is_no_gap_between_a_flight_and_what_it_stores() {
    let key = key("a");
    for _ in 0..300 {
        let (flights, now) = (Flights::default(), clock::now());
        let (is_stored, asked, starts) = (AtomicBool::new(false), AtomicUsize::new(0), Barrier::new(4));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    starts.wait();
                    for _ in 0..8 {
                        if is_stored.load(Ordering::Acquire) {
                            continue;
                        }
                        match flights.join(&key, now, Mark(0), |_| false) {
                            Joined::Follows(_) => {}
                            Joined::Alone => panic!("it is shared"),
                            Joined::Leads(mut flight, _) if !is_stored.load(Ordering::Acquire) => {
                                asked.fetch_add(1, Ordering::Relaxed);
                                flight.writer.begin(coming(Ok(())));
                                flight.writer.end(None);
                                is_stored.store(true, Ordering::Release);
                            }
                            Joined::Leads(..) => {}
                        }
                    }
                });
            }
        });
        assert_eq!((asked.into_inner(), flights.running()), (1, 0));
    }
}

#[test]
fn a_flight_from_before_a_purge_is_not_joined() {
    let (flights, now) = (Flights::default(), clock::now());
    let join = |mark, outdated| flights.join(&key("a"), now, mark, |since| since < outdated);
    let Joined::Leads(first, _) = join(Mark(1), Mark(0)) else { panic!("nobody asks yet") };
    assert!(matches!(join(Mark(1), Mark(1)), Joined::Follows(_)));
    let Joined::Leads(_second, _) = join(Mark(2), Mark(2)) else { panic!("the first one is outdated") };
    drop(first);
    assert!(matches!(join(Mark(2), Mark(2)), Joined::Follows(_)), "the end of the first is not that of the second");
}
