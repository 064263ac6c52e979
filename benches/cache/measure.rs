//! What the store costs: time, memory, and how long a purge keeps others waiting.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sluice::base::clock;
use sluice::cache::purge::Purge;
use sluice::cache::store::Store;
use sluice::cache::stored::Stored;

use crate::{answer, key};

const LONG: Duration = Duration::from_secs(3_600);
const PLENTY: usize = 4 << 30;

fn put(store: &Store, stored: Arc<Stored>) {
    if let Err(why) = store.put(stored, None, store.mark()) {
        println!("not kept: {why}");
    }
}

/// A store of so many answers of 1 KiB, a tenth of them with another tag.
fn full(count: u32) -> Store {
    let store = Store::new(PLENTY);
    for object in 0..count {
        let tag = if object % 10 == 0 { "tenth" } else { "rest" };
        put(&store, answer(object, 1_024, LONG, clock::now(), tag));
    }
    store
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn each(what: &str, count: u32, mut work: impl FnMut(u32)) {
    (0..count).for_each(&mut work);
    let start = clock::now();
    (0..count).for_each(&mut work);
    println!("{what}: {:.0} ns", start.elapsed().as_nanos() as f64 / f64::from(count));
}

pub fn speed(count: u32) {
    let store = full(count);
    let keys: Vec<_> = (0..count).map(key).collect();
    let hot = &keys[..keys.len().min(1_000)];
    let of = |keys: &[_], at: u32| -> usize { at as usize % keys.len() };
    each("get, one of 1,000", count * 10, |at| drop(black_box(store.get(hot[of(hot, at)].as_bytes()))));
    each("get, one of all", count * 10, |at| drop(black_box(store.get(keys[of(&keys, at)].as_bytes()))));
    each("get, none", count * 10, |_| drop(black_box(store.get(b"none"))));

    let bare: moka::sync::Cache<u32, Arc<Stored>> = moka::sync::Cache::new(1 << 20);
    let quick = quick_cache::sync::Cache::new(1 << 20);
    for object in 0..1_000 {
        let stored = answer(object, 1_024, LONG, clock::now(), "tag");
        bare.insert(object, Arc::clone(&stored));
        quick.insert(object, stored);
    }
    each("moka alone: no lifetimes, nobody listens", count * 10, |at| drop(black_box(bare.get(&(at % 1_000)))));
    each("quick_cache alone", count * 10, |at| drop(black_box(quick.get(&(at % 1_000)))));
    each("put in the place of another", count, |at| put(&store, answer(at, 1_024, LONG, clock::now(), "rest")));
    let small = Store::new(count as usize * 100);
    each("put where another has to go", count, |at| put(&small, answer(at, 1_024, LONG, clock::now(), "rest")));
    each("making an answer to put", count, |at| drop(black_box(answer(at, 1_024, LONG, clock::now(), "rest"))));

    purges("tag of a tenth", &full(count), &Purge::Tag("tenth".into()), false);
    purges("tag of a tenth, softly", &full(count), &Purge::Tag("tenth".into()), true);
    purges("one resource", &full(count), &Purge::Resource(key(7).as_bytes().into()), false);
    purges("route of all", &full(count), &Purge::Route("orders".into()), false);
    purges("all", &full(count), &Purge::All, false);
}

/// A purge beside a thread that puts without end, and how long those puts took that began while it went on.
fn purges(what: &str, store: &Store, purge: &Purge, soft: bool) {
    let (going, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let puts = || {
        let mut times = Vec::new();
        for at in (0..1_000).cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
            let stored = answer(at + 1_000_000, 64, LONG, clock::now(), "new");
            let (start, counts) = (clock::now(), going.load(Ordering::Relaxed));
            put(store, stored);
            times.extend(counts.then(|| start.elapsed()));
        }
        times.sort_unstable();
        times
    };
    thread::scope(|scope| {
        let puts = scope.spawn(puts);
        let quiet = clock::now() + Duration::from_millis(20);
        while clock::now() < quiet {
            black_box(store.get(b"none"));
        }
        going.store(true, Ordering::Relaxed);
        let start = clock::now();
        let count = store.purge(purge, soft);
        let took = start.elapsed();
        over.store(true, Ordering::Relaxed);
        let times = puts.join().unwrap_or_default();
        let [half, most, longest] = [times.len() / 2, times.len() * 999 / 1000, times.len().saturating_sub(1)]
            .map(|at| times.get(at).map_or(0, Duration::as_micros));
        println!(
            "purge of {what}: {count} in {} µs; {} puts beside it: median {half} µs, 99.9 % {most} µs, longest {longest} µs",
            took.as_micros(),
            times.len(),
        );
    });
}

/// Resident memory of small answers, and what they weigh.
pub fn fill(count: u32) {
    // Kept to the end, so that none gets the memory of another.
    let sizes = [100, 1_024, 10_000];
    let stores = sizes.map(|_| Store::new(PLENTY));
    for (size, store) in sizes.into_iter().zip(&stores) {
        let before = resident();
        for object in 0..count {
            put(store, answer(object, size, LONG, clock::now(), &format!("object:{object}")));
        }
        let (memory, numbers) = (resident().saturating_sub(before), store.numbers());
        let [memory, weight] = [memory, numbers.bytes].map(|bytes| bytes / numbers.entries.max(1));
        println!("{} answers of {size} bytes: {memory} bytes of memory each, weighed as {weight}", numbers.entries);
    }
}

/// Bytes that the process has in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}
