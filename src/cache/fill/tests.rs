use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Duration;

use http::{StatusCode, Version};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::clock;
use crate::cache::freshness::Freshness;
use crate::cache::key::Key;
use crate::cache::storable::Rules;
use crate::cache::stored::{Body, Groups, StoredFields};

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Polls with this waker.
    fn poll<T>(self: &Arc<Self>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        match poll(&mut Context::from_waker(&Waker::from(Arc::clone(self)))) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}

fn now<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    Arc::new(Woken::default()).poll(poll)
}

fn head() -> Arc<Head> {
    let freshness = Freshness { lifetime: Duration::ZERO, initial_age: Duration::ZERO, received: clock::now() };
    Arc::new(Head {
        key: Key::from(&b"key"[..]),
        status: StatusCode::OK,
        version: Version::HTTP_11,
        fields: StoredFields::default(),
        freshness,
        rules: Rules::default(),
        groups: Groups::default(),
    })
}

fn coming(kept: Result<(), NotStored>) -> Begun {
    Begun::Coming { head: head(), length: None, kept, for_first: [].into() }
}

fn stored() -> Begun {
    Begun::Stored { stored: Arc::new(Stored::new(head(), Body::new(vec![]))), confirmed: true }
}

/// A piece with bytes of its own: it knows when nobody else has it.
fn piece(length: usize) -> Bytes {
    let piece = Bytes::from(vec![0; length]);
    drop(piece.clone());
    piece
}

fn shown(begun: Option<Begun>) -> String {
    match begun {
        None => "pending".into(),
        Some(Begun::Stored { .. }) => "stored".into(),
        Some(Begun::Coming { kept, .. }) => format!("coming {kept:?}"),
        Some(Begun::Alone) => "alone".into(),
        Some(Begun::Failed(reason)) => format!("failed {}", reason.as_str()),
    }
}

fn begun(reader: &mut Reader) -> String {
    shown(now(|cx| reader.poll_begun(cx)))
}

fn data(reader: &mut Reader) -> Option<Bytes> {
    match now(|cx| reader.poll_part(cx)) {
        Some(Part::Data(data)) => Some(data),
        _ => None,
    }
}

fn is_end(reader: &mut Reader) -> bool {
    matches!(now(|cx| reader.poll_part(cx)), Some(Part::End(None)))
}

fn broken(reader: &mut Reader) -> Option<Reason> {
    match now(|cx| reader.poll_part(cx)) {
        Some(Part::Broken(reason)) => Some(reason),
        _ => None,
    }
}

fn has_room(writer: &mut Writer) -> bool {
    now(|cx| writer.poll_room(cx)).is_some()
}

/// What the writer has to store, and its end.
fn ended(writer: &mut Writer) -> Vec<Bytes> {
    let whole = writer.whole();
    writer.end(None);
    whole
}

#[test]
fn every_reader_sees_the_whole_body_from_its_first_byte_and_shares_it() {
    let (mut writer, mut first) = pair();
    assert!(first.first);
    assert_eq!(begun(&mut first), "pending");
    writer.begin(coming(Ok(())));
    assert_eq!(begun(&mut first), "coming Ok(())");
    let pieces: [Bytes; 3] = ["one", "two", "three"].map(Bytes::from);
    writer.push(pieces[0].clone());
    assert_eq!(data(&mut first).as_ref(), Some(&pieces[0]));
    assert!(data(&mut first).is_none());
    writer.push(pieces[1].clone());
    let mut between = writer.answer().join().expect("open");
    assert!(!between.first);
    writer.push(pieces[2].clone());
    let whole = ended(&mut writer);
    let mut late = writer.answer().join().expect("open after the end, too");
    drop(writer);

    assert_eq!(whole, pieces);
    assert_eq!([data(&mut first), data(&mut first)], [Some(pieces[1].clone()), Some(pieces[2].clone())]);
    for reader in [&mut between, &mut late] {
        assert_eq!(begun(reader), "coming Ok(())");
        for piece in &pieces {
            assert_eq!(data(reader).expect("data").as_ptr(), piece.as_ptr());
        }
    }
    assert!([first, between, late].iter_mut().all(|reader| is_end(reader) && is_end(reader)));
}

#[test]
fn trailers_come_with_the_end() {
    let (mut writer, mut reader) = pair();
    writer.begin(coming(Ok(())));
    let trailers = HeaderMap::from_iter([(http::header::ETAG, "\"1\"".parse().expect("value"))]);
    writer.end(Some(trailers.clone()));
    let Some(Part::End(Some(read))) = now(|cx| reader.poll_part(cx)) else { panic!("no trailers") };
    assert_eq!(*read, trailers);
}

#[test]
fn a_slow_reader_slows_nobody_while_the_answer_is_kept() {
    let (mut writer, _slow) = pair();
    let mut quick = writer.answer().join().expect("open");
    writer.begin(coming(Ok(())));
    for _ in 0..4 {
        assert!(has_room(&mut writer));
        writer.push(piece(AHEAD));
        assert!(data(&mut quick).is_some());
    }
    assert!(has_room(&mut writer));
    assert_eq!(ended(&mut writer).len(), 4);
}

#[test]
fn what_is_not_kept_is_for_the_first_reader_only() {
    let (mut writer, mut first) = pair();
    let mut other = writer.answer().join().expect("nothing is known yet");
    writer.begin(coming(Err(NotStored::NoStore)));
    assert!(writer.answer().join().is_none());
    assert_eq!(begun(&mut first), "coming Err(NoStore)");
    assert_eq!(begun(&mut other), "alone");
    assert_eq!(broken(&mut other), Some(Reason::Internal));
    drop(other);
    assert!(writer.is_wanted());

    let pieces = [piece(AHEAD - 1), piece(1), piece(1)];
    for piece in &pieces {
        assert_eq!(has_room(&mut writer), piece.as_ptr() != pieces[2].as_ptr());
        writer.push(piece.clone());
    }
    assert!(!has_room(&mut writer));
    assert!(data(&mut first).is_some());
    assert!(has_room(&mut writer));
    assert_eq!(pieces.each_ref().map(Bytes::is_unique), [true, false, false], "what was read is let go");
    assert!(ended(&mut writer).is_empty());
    assert!(data(&mut first).is_some() && data(&mut first).is_some() && is_end(&mut first));
}

#[test]
fn nobody_wants_what_is_not_kept_when_the_first_reader_is_gone() {
    let (mut writer, first) = pair();
    writer.begin(coming(Err(NotStored::Private)));
    let kept = piece(AHEAD);
    writer.push(kept.clone());
    let waits = Arc::new(Woken::default());
    assert!(waits.poll(|cx| writer.poll_room(cx)).is_none());
    drop(first);
    assert_eq!(waits.times(), 1);
    assert!(has_room(&mut writer));
    assert!(!writer.is_wanted());
    assert!(kept.is_unique());
    writer.push(kept.clone());
    assert!(kept.is_unique() && has_room(&mut writer), "what nobody will read is not held");

    let (mut writer, first) = pair();
    let mut other = writer.answer().join().expect("open");
    drop(first);
    assert!(writer.is_wanted(), "it may come to be kept");
    writer.begin(coming(Err(NotStored::Private)));
    assert!(!writer.is_wanted() && has_room(&mut writer));
    assert_eq!(begun(&mut other), "alone");
}

#[test]
fn the_seat_of_the_first_reader_makes_no_other_one_the_first() {
    let (mut writer, first) = pair();
    drop(first);
    let mut other = writer.answer().join().expect("open");
    writer.begin(coming(Err(NotStored::NoStore)));
    assert_eq!(begun(&mut other), "alone");
}

#[test]
fn what_gets_too_long_is_for_those_who_read_it_already() {
    let (mut writer, mut first) = pair();
    let mut second = writer.answer().join().expect("open");
    writer.begin(coming(Ok(())));
    let pieces = [piece(10), piece(10), piece(10)];
    writer.push(pieces[0].clone());
    writer.push(pieces[1].clone());
    assert!(data(&mut first).is_some());
    assert!(writer.answer().join().is_some());

    writer.keep_no_longer(20);
    assert!(writer.answer().join().is_none());
    assert_eq!(begun(&mut second), "coming Ok(())");
    assert!(!has_room(&mut writer), "twenty bytes before the slowest");
    assert!(data(&mut first).is_some());
    assert!(!has_room(&mut writer));
    assert!(!pieces[0].is_unique());
    assert!(data(&mut second).is_some());
    assert_eq!(pieces.each_ref().map(Bytes::is_unique), [true, false, true]);
    assert!(has_room(&mut writer));

    writer.push(pieces[2].clone());
    let waits = Arc::new(Woken::default());
    assert!(waits.poll(|cx| writer.poll_room(cx)).is_none());
    drop(second);
    assert_eq!(waits.times(), 1, "who is gone does not count");
    assert!(pieces[1].is_unique() && has_room(&mut writer));
    assert!(ended(&mut writer).is_empty(), "it is not whole any more");
    assert!(data(&mut first).is_some() && is_end(&mut first));
}

#[test]
fn what_is_kept_goes_on_without_readers() {
    let (mut writer, first) = pair();
    assert!(writer.is_wanted());
    writer.begin(coming(Ok(())));
    writer.push(piece(1));
    drop(first);
    assert!(!writer.is_wanted() && has_room(&mut writer));
    writer.push(piece(1));
    assert_eq!(ended(&mut writer).len(), 2);
}

#[test]
fn what_was_stored_and_what_failed_is_for_everybody() {
    for (what, learnt) in [(stored(), "stored"), (Begun::Failed(Reason::UpstreamTimeout), "failed UPSTREAM_TIMEOUT")] {
        let (mut writer, mut first) = pair();
        let mut second = writer.answer().join().expect("open");
        writer.begin(what);
        let mut third = writer.answer().join().expect("open");
        // Once is once.
        writer.begin(coming(Err(NotStored::NoStore)));
        writer.fail(Reason::Internal);
        assert!(ended(&mut writer).is_empty());
        drop(writer);
        for reader in [&mut first, &mut second, &mut third] {
            assert_eq!(begun(reader), learnt);
            assert!(broken(reader).is_some());
        }
    }
}

#[test]
fn a_writer_that_is_dropped_breaks_its_answer() {
    let (writer, mut reader) = pair();
    drop(writer);
    assert_eq!(begun(&mut reader), "failed UPSTREAM_RESET");
    assert_eq!(broken(&mut reader), Some(Reason::UpstreamReset));

    let (mut writer, mut reader) = pair();
    writer.begin(coming(Ok(())));
    writer.push(piece(1));
    let answer = writer.answer();
    drop(writer);
    assert_eq!(begun(&mut reader), "coming Ok(())");
    assert!(data(&mut reader).is_some());
    assert_eq!([broken(&mut reader); 2], [Some(Reason::UpstreamReset); 2]);
    assert!(answer.join().is_none(), "nobody begins to read what is broken");

    let (mut writer, mut reader) = pair();
    writer.begin(coming(Ok(())));
    writer.fail(Reason::UpstreamTimeout);
    writer.push(piece(1));
    assert!(ended(&mut writer).is_empty());
    drop(writer);
    assert_eq!(broken(&mut reader), Some(Reason::UpstreamTimeout));
}

#[test]
fn empty_pieces_are_none() {
    let (mut writer, mut reader) = pair();
    writer.begin(coming(Ok(())));
    writer.push(Bytes::new());
    assert!(data(&mut reader).is_none());
    assert!(ended(&mut writer).is_empty());
    assert!(is_end(&mut reader));
}

#[test]
fn each_reader_has_one_waker_the_latest() {
    let (mut writer, mut reader) = pair();
    let [old, new] = [(); 2].map(|()| Arc::new(Woken::default()));
    assert!(old.poll(|cx| reader.poll_begun(cx)).is_none());
    assert!(new.poll(|cx| reader.poll_begun(cx)).is_none());
    assert_eq!(Arc::strong_count(&old), 1, "replaced");
    let waker = Waker::from(Arc::clone(&new));
    for _ in 0..3 {
        assert!(reader.poll_begun(&mut Context::from_waker(&waker)).is_pending());
    }
    writer.begin(coming(Ok(())));
    writer.push(piece(1));
    assert_eq!((old.times(), new.times()), (0, 1), "nobody waits for the second change");

    assert!(new.poll(|cx| reader.poll_part(cx)).is_some());
    assert!(new.poll(|cx| reader.poll_part(cx)).is_none());
    drop((reader, waker));
    assert_eq!(Arc::strong_count(&new), 1, "a reader that is gone leaves no waker");
    writer.end(None);
    assert_eq!(new.times(), 1);
}

#[test]
fn all_readers_are_woken_however_many() {
    for readers in [1, 2, 15, 16, 17, 32, 33, 100] {
        let (mut writer, first) = pair();
        let others = (1..readers).map(|_| writer.answer().join().expect("open"));
        let mut readers: Vec<_> =
            [first].into_iter().chain(others).map(|reader| (reader, Arc::new(Woken::default()))).collect();
        for round in 0..4 {
            for (reader, woken) in &mut readers {
                match round {
                    0 => assert!(woken.poll(|cx| reader.poll_begun(cx)).is_none()),
                    1 | 2 => assert!(woken.poll(|cx| reader.poll_part(cx)).is_none()),
                    _ => assert!(woken.poll(|cx| reader.poll_part(cx)).is_some()),
                }
            }
            match round {
                0 => writer.begin(coming(Ok(()))),
                1 => writer.push(piece(1)),
                2 => writer.end(None),
                _ => {}
            }
            let times = (round + 1).min(3);
            // After the second round each has a piece to read before it waits again.
            if round == 1 {
                readers.iter_mut().for_each(|(reader, _)| assert!(data(reader).is_some()));
            }
            assert!(readers.iter().all(|(_, woken)| woken.times() == times), "{round}");
        }
    }
}

/// Polls its reader while it is woken.
struct Inline(std::sync::Mutex<Option<(Reader, Vec<u8>)>>);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let mut own = self.0.lock().expect("not poisoned");
        let Some((reader, read)) = &mut *own else { return };
        while let Poll::Ready(part) = reader.poll_part(&mut Context::from_waker(&Waker::from(Arc::clone(&self)))) {
            let Part::Data(data) = part else {
                // The reader goes while it is woken.
                *own = None;
                return;
            };
            read.extend_from_slice(&data);
        }
    }
}

#[test]
fn nobody_is_woken_under_the_lock() {
    let (mut writer, reader) = pair();
    let task = Arc::new(Inline(std::sync::Mutex::new(Some((reader, Vec::new())))));
    Arc::clone(&task).wake();
    writer.begin(coming(Err(NotStored::NoStore)));
    for _ in 0..3 {
        writer.push(piece(2));
    }
    assert_eq!(task.0.lock().expect("not poisoned").as_ref().map(|(_, read)| read.len()), Some(6));
    writer.end(None);
    assert!(task.0.lock().expect("not poisoned").is_none());
    assert!(!writer.is_wanted());
}

#[derive(Clone, Debug)]
enum Step {
    Attach,
    Drop(usize),
    Read(usize),
    Begin(u8),
    Push(usize),
    Room,
    KeepNoLonger(usize),
    End,
    Fail,
    DropWriter,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Attach),
        3 => any::<usize>().prop_map(Step::Drop),
        20 => any::<usize>().prop_map(Step::Read),
        3 => (0..8_u8).prop_map(Step::Begin),
        10 => (0..5_usize).prop_map(Step::Push),
        5 => Just(Step::Room),
        1 => (0..8_usize).prop_map(Step::KeepNoLonger),
        1 => Just(Step::End),
        1 => Just(Step::Fail),
        1 => Just(Step::DropWriter),
    ]
}

/// What the documents say, with everything remembered.
#[derive(Default)]
struct Model {
    begun: Option<&'static str>,
    pushed: Vec<Bytes>,
    end: Option<&'static str>,
    /// How far the writer may be ahead, once the answer is not kept.
    ahead: Option<usize>,
    readers: Vec<ModelReader>,
}

struct ModelReader {
    reader: Reader,
    alone: bool,
    has_read: usize,
    woken: Arc<Woken>,
    /// Pending since it had been woken so often.
    waits: Option<usize>,
}

impl Model {
    fn is_coming(&self) -> bool {
        self.begun.is_some_and(|begun| begun.starts_with("coming")) && self.end.is_none()
    }

    fn slowest(&self) -> Option<usize> {
        self.readers.iter().filter(|reader| !reader.alone).map(|reader| reader.has_read).min()
    }

    fn has_room(&self) -> bool {
        let (Some(ahead), Some(slowest)) = (self.ahead, self.slowest()) else { return true };
        self.pushed[slowest..].iter().map(Bytes::len).sum::<usize>() < ahead.max(1)
    }

    fn next(&self, reader: &ModelReader) -> String {
        match self.begun {
            None => "pending".into(),
            Some(begun) if begun.starts_with("coming") && !reader.alone => match self.pushed.get(reader.has_read) {
                Some(piece) => format!("{:?}", piece.as_ptr()),
                None => self.end.unwrap_or("pending").into(),
            },
            Some(_) => "broken".into(),
        }
    }

    fn begun_of(&self, reader: &ModelReader) -> &'static str {
        if reader.alone { "alone" } else { self.begun.unwrap_or("pending") }
    }
}

fn run(steps: Vec<Step>) {
    let (writer, first) = pair();
    let answer = writer.answer();
    let mut writer = Some(writer);
    let mut model = Model::default();
    let seated = |reader| ModelReader { reader, alone: false, has_read: 0, woken: Arc::default(), waits: None };
    model.readers.push(seated(first));
    let room = Arc::new(Woken::default());
    let mut waits_for_room = None;
    for step in steps {
        match (step, &mut writer) {
            (Step::Attach, _) => {
                let joined = answer.join();
                let is_open = model.ahead.is_none() && model.end != Some("broken");
                assert_eq!(joined.is_some(), is_open);
                model.readers.extend(joined.map(seated));
            }
            (Step::Drop(which), _) if !model.readers.is_empty() => {
                let which = which % model.readers.len();
                model.readers.swap_remove(which);
            }
            (Step::Read(which), _) if !model.readers.is_empty() => {
                let which = which % model.readers.len();
                let (expected, learns) = {
                    let reader = &model.readers[which];
                    (model.next(reader), model.begun_of(reader))
                };
                let reader = &mut model.readers[which];
                assert_eq!(shown(reader.woken.poll(|cx| reader.reader.poll_begun(cx))), learns);
                let part = reader.woken.poll(|cx| reader.reader.poll_part(cx));
                let read = match &part {
                    None => "pending".into(),
                    Some(Part::Data(data)) => format!("{:?}", data.as_ptr()),
                    Some(Part::End(_)) => "end".into(),
                    Some(Part::Broken(_)) => "broken".into(),
                };
                assert_eq!(read, expected);
                reader.has_read += usize::from(matches!(part, Some(Part::Data(_))));
                reader.waits = part.is_none().then(|| reader.woken.times());
            }
            (Step::Begin(what), Some(writer)) => {
                let (what, name) = match what {
                    0 => (stored(), "stored"),
                    1 => (Begun::Failed(Reason::UpstreamReset), "failed UPSTREAM_RESET"),
                    2..5 => (coming(Err(NotStored::NoStore)), "coming Err(NoStore)"),
                    _ => (coming(Ok(())), "coming Ok(())"),
                };
                writer.begin(what);
                if model.begun.is_none() {
                    model.begun = Some(name);
                    if name == "coming Err(NoStore)" {
                        model.ahead = Some(AHEAD);
                        model.readers.iter_mut().for_each(|reader| reader.alone = !reader.reader.first);
                    }
                }
            }
            (Step::Push(length), Some(writer)) => {
                // Large pieces where only they fill the room.
                let length = if model.ahead == Some(AHEAD) { length * (AHEAD / 2) } else { length };
                let data = piece(length);
                writer.push(data.clone());
                if model.is_coming() && length > 0 {
                    model.pushed.push(data);
                }
            }
            (Step::Room, Some(writer)) => {
                let ready = room.poll(|cx| writer.poll_room(cx)).is_some();
                assert_eq!(ready, model.has_room());
                waits_for_room = (!ready).then(|| room.times());
            }
            (Step::KeepNoLonger(ahead), Some(writer)) => {
                writer.keep_no_longer(ahead);
                if model.is_coming() && model.ahead.is_none() {
                    model.ahead = Some(ahead);
                }
            }
            (Step::End, Some(writer)) => {
                let is_whole = model.is_coming() && model.ahead.is_none();
                assert_eq!(ended(writer), if is_whole { &*model.pushed } else { &[] });
                if model.is_coming() {
                    model.end = Some("end");
                }
                model.begun = model.begun.or(Some("failed UPSTREAM_RESET"));
            }
            (step @ (Step::Fail | Step::DropWriter), Some(open)) => {
                if matches!(step, Step::Fail) {
                    open.fail(Reason::UpstreamReset);
                } else {
                    writer = None;
                }
                if model.is_coming() {
                    model.end = Some("broken");
                }
                model.begun = model.begun.or(Some("failed UPSTREAM_RESET"));
            }
            _ => {}
        }
        for reader in &model.readers {
            if let Some(times) = reader.waits {
                let has_something = model.next(reader) != "pending";
                assert!(reader.woken.times() > times || !has_something, "a waker was lost");
            }
        }
        if let Some(times) = waits_for_room {
            assert!(room.times() > times || !model.has_room(), "the waker of the writer was lost");
        }
        if let Some(writer) = &writer {
            assert_eq!(writer.is_wanted(), model.slowest().is_some());
        }
        if model.ahead.is_some() {
            let slowest = model.slowest().unwrap_or(model.pushed.len());
            for (at, piece) in model.pushed.iter().enumerate() {
                assert_eq!(piece.is_unique(), at < slowest, "what all have read is let go, and only that");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_order_of_steps_does_what_the_model_does(start in 0..4_u8, steps in vec(step(), 1..120)) {
        // Most histories begin soon; nothing much happens in the others.
        let mut begins = vec![Step::Attach, Step::Read(0)];
        match start {
            0 => begins.push(Step::Begin(2)),
            1 | 2 => begins.push(Step::Begin(7)),
            _ => {}
        }
        begins.extend(steps);
        run(begins);
    }
}

/// Tells its thread that a reader has something to do.
struct Call {
    is_due: AtomicBool,
    thread: Thread,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.is_due.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Drives each future only when it was woken. Nothing else wakes: with a lost waker it ends in a panic.
fn drive<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let call = || Arc::new(Call { is_due: AtomicBool::new(true), thread: thread::current() });
    let mut tasks: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), call(), None)).collect();
    while tasks.iter().any(|(.., output)| output.is_none()) {
        let mut was_due = false;
        for (future, call, output) in tasks.iter_mut().filter(|(.., output)| output.is_none()) {
            if call.is_due.swap(false, Ordering::SeqCst) {
                was_due = true;
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&Arc::clone(call).into())) {
                    *output = Some(value);
                }
            }
        }
        if !was_due {
            let since = clock::now();
            thread::park_timeout(Duration::from_secs(60));
            assert!(since.elapsed() < Duration::from_secs(60), "a waker was lost");
        }
    }
    tasks.into_iter().filter_map(|(.., output)| output).collect()
}

async fn read_all(mut reader: Reader) -> (Option<u64>, u64) {
    let begun = std::future::poll_fn(|cx| reader.poll_begun(cx)).await;
    assert!(matches!(begun, Begun::Coming { .. }));
    let (mut length, mut sum) = (0, 0_u64);
    loop {
        match std::future::poll_fn(|cx| reader.poll_part(cx)).await {
            Part::Data(data) => {
                length += data.len() as u64;
                sum = data.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            }
            Part::End(_) => return (Some(length), sum),
            Part::Broken(_) => return (None, sum),
        }
    }
}

/// A hundred readers on four threads read what a fifth one writes.
fn hundred_readers(keep_no_longer_at: Option<usize>) {
    let (writer, first) = pair();
    let mut readers = vec![first];
    readers.extend((1..100).map(|_| writer.answer().join().expect("open")));
    let pieces: Vec<_> = (0..400_usize).map(|at| Bytes::from(vec![(at % 251) as u8; 1 + at % 13])).collect();
    let whole = pieces.concat();
    let expected = whole.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let write = async move |mut writer: Writer| {
        writer.begin(coming(Ok(())));
        for (at, piece) in pieces.into_iter().enumerate() {
            if Some(at) == keep_no_longer_at {
                writer.keep_no_longer(20);
            }
            std::future::poll_fn(|cx| writer.poll_room(cx)).await;
            writer.push(piece);
        }
        ended(&mut writer).concat()
    };
    thread::scope(|scope| {
        let mut reading = Vec::new();
        while !readers.is_empty() {
            let part = readers.split_off(readers.len() - 25);
            reading.push(scope.spawn(|| drive(part.into_iter().map(read_all).collect())));
        }
        let written = drive(vec![write(writer)]);
        assert_eq!(written[0], if keep_no_longer_at.is_some() { vec![] } else { whole.clone() });
        let read: Vec<_> = reading.into_iter().flat_map(|reading| reading.join().expect("reads")).collect();
        assert_eq!(read, vec![(Some(whole.len() as u64), expected); 100]);
    });
}

#[test]
fn readers_on_many_threads_get_the_same_bytes() {
    for _ in 0..20 {
        hundred_readers(None);
    }
}

#[test]
fn readers_on_many_threads_get_the_same_bytes_of_what_is_not_kept_after_all() {
    for _ in 0..20 {
        hundred_readers(Some(50));
    }
}
