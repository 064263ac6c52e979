//! The same streams through the store and through others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use sluice::base::clock;
use sluice::cache::Moment;
use sluice::cache::refresh::Budget;
use sluice::cache::store::{Slot, Store};
use sluice::cache::stored::Stored;

use crate::policies::{Lru, Moka, Policy, Quick};
use crate::stream::{Objects, zipf};
use crate::{answer, key};

const ALPHAS: [f64; 4] = [0.8, 0.9, 1.0, 1.1];
const PERCENT: [u64; 4] = [1, 5, 10, 25];

const SIZES: [u64; 5] = [10, 25, 50, 75, 100];

/// Requests in a second of simulated time.
const RATE: u32 = 5_000;

/// The last part of a lifetime in which popular answers are fetched anew, in percent.
const AHEAD: u8 = 20;

/// What became of the second half of a stream.
#[derive(Default)]
struct Tally {
    requests: u64,
    hits: u64,
    bytes: u64,
    bytes_hit: u64,
    /// Requests to the upstream that nobody waited for.
    ahead: u64,
}

impl Tally {
    fn count(&mut self, size: u32, hit: bool) {
        self.requests += 1;
        self.bytes += u64::from(size);
        if hit {
            self.hits += 1;
            self.bytes_hit += u64::from(size);
        }
    }

    fn hit_ratio(&self) -> f64 {
        percent(self.hits, self.requests)
    }

    /// For each hundred requests of clients.
    fn upstream(&self) -> f64 {
        percent(self.requests - self.hits + self.ahead, self.requests)
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

pub fn run(count: u32, length: usize) {
    let objects = Objects::new(count);
    let weights: Vec<u32> = (0..count).map(|object| weight(&objects, object)).collect();
    let total = weights.iter().map(|weight| u64::from(*weight)).sum();
    println!(
        "{count} objects, {} MB with all that it takes to keep them; {length} requests, counted from the middle.\n",
        total >> 20
    );
    policies(&objects, &weights, total, length);
    sizing(&objects, &weights, total, 4 * length);
    expiring(&objects, total, length);
}

/// What an object weighs in the store.
fn weight(objects: &Objects, object: u32) -> u32 {
    let store = Store::new(1 << 30);
    keep(&store, &fetch(objects, object, Duration::ZERO, clock::now()));
    u32::try_from(store.numbers().bytes).unwrap_or(u32::MAX)
}

fn fetch(objects: &Objects, object: u32, at: Duration, start: std::time::Instant) -> Arc<Stored> {
    answer(object, objects.size(object), objects.lifetime(object), start + at, "tag")
}

fn keep(store: &Store, stored: &Arc<Stored>) {
    if let Err(why) = store.put(Arc::clone(stored), None, store.mark()) {
        eprintln!("not kept: {why}");
    }
}

fn policies(objects: &Objects, weights: &[u32], total: u64, length: usize) {
    println!("Nothing expires: hit ratio in percent of requests (of bytes).\n");
    println!("| stream | budget | plain LRU | moka LRU | moka TinyLFU | quick_cache | the store |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let average = total / u64::from(objects.count());
    for (alpha, once) in ALPHAS.map(|alpha| (alpha, 0)).into_iter().chain([(0.8, 10), (1.0, 10)]) {
        let stream = zipf(objects.count(), alpha, once, length);
        for share in PERCENT {
            let budget = total * share / 100;
            let others: [Box<dyn Policy>; 4] = [
                Box::new(Lru::new(budget)),
                Box::new(Moka::new(budget, EvictionPolicy::lru())),
                Box::new(Moka::new(budget, EvictionPolicy::tiny_lfu())),
                Box::new(Quick::new(budget, average)),
            ];
            let mut cells: Vec<Tally> =
                others.into_iter().map(|mut policy| held(objects, weights, &stream, &mut *policy)).collect();
            cells.push(through(objects, &stream, budget, 0, false));
            let cells = cells
                .iter()
                .map(|tally| format!("{:.1} ({:.1})", tally.hit_ratio(), percent(tally.bytes_hit, tally.bytes)));
            let once = if once > 0 { format!(", {once} % asked for once") } else { String::new() };
            println!("| {alpha:.1}{once} | {share} % | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
    }
    println!();
}

/// How much it takes when everything that is there has been asked for before.
fn sizing(objects: &Objects, weights: &[u32], total: u64, length: usize) {
    println!("{length} requests, nothing expires, moka TinyLFU: hit ratio by budget.\n");
    println!("| alpha | {} |", SIZES.map(|share| format!("{share} %")).join(" | "));
    println!("|---{}|", "|---:".repeat(SIZES.len()));
    for alpha in ALPHAS {
        let stream = zipf(objects.count(), alpha, 0, length);
        let cells = SIZES.map(|share| {
            let mut policy = Moka::new(total * share / 100, EvictionPolicy::tiny_lfu());
            format!("{:.1}", held(objects, weights, &stream, &mut policy).hit_ratio())
        });
        println!("| {alpha:.1} | {} |", cells.join(" | "));
    }
    println!();
}

fn held(objects: &Objects, weights: &[u32], stream: &[u32], policy: &mut dyn Policy) -> Tally {
    let mut tally = Tally::default();
    for (at, object) in stream.iter().enumerate() {
        let hit = policy.get(*object);
        if !hit {
            policy.put(*object, weights[*object as usize % weights.len()]);
        }
        if at >= stream.len() / 2 {
            tally.count(objects.size(*object), hit);
        }
    }
    tally
}

fn expiring(objects: &Objects, total: u64, length: usize) {
    println!(
        "With lifetimes of 60 s, 300 s and 3,600 s, {RATE} requests a second, refresh-ahead in the last {AHEAD} %. `bound` is what a store \
         without limits would have.\n"
    );
    println!(
        "| alpha | budget | hits | with refresh | bytes | with refresh | upstream | with refresh | of these ahead | bound |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for alpha in ALPHAS {
        let stream = zipf(objects.count(), alpha, 0, length);
        let bound = bound(objects, &stream);
        for share in PERCENT {
            let [off, on] = [0, AHEAD].map(|part| through(objects, &stream, total * share / 100, part, true));
            println!(
                "| {alpha:.1} | {share} % | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} % | {bound:.1} |",
                off.hit_ratio(),
                on.hit_ratio(),
                percent(off.bytes_hit, off.bytes),
                percent(on.bytes_hit, on.bytes),
                off.upstream(),
                on.upstream(),
                percent(on.ahead, on.requests - on.hits + on.ahead),
            );
        }
    }
}

/// Through the store, as a look-up uses it. A fetch takes no time.
fn through(objects: &Objects, stream: &[u32], budget: u64, part: u8, expires: bool) -> Tally {
    let store = Store::new(usize::try_from(budget).unwrap_or(usize::MAX));
    let refreshes = Budget::default();
    let start = clock::now();
    let mut tally = Tally::default();
    let counted = stream.len() / 2;
    for (at, object) in (0_u32..).zip(stream) {
        let passed = if expires { Duration::from_secs(1) * at / RATE } else { Duration::ZERO };
        let now = Moment { at: start + passed, wall: passed };
        let found = match store.get(key(*object).as_bytes()) {
            Some(Slot::Answer(stored)) => Some(stored).filter(|stored| !stored.head.freshness.left(now.at).is_zero()),
            _ => None,
        };
        let mut ahead = 0;
        if let Some(stored) = &found {
            if refreshes.grants(stored, part, now) {
                ahead = 1;
                keep(&store, &fetch(objects, *object, passed, start));
            }
            stored.marks.hits.fetch_add(1, Ordering::Relaxed);
        } else {
            refreshes.earn();
            keep(&store, &fetch(objects, *object, passed, start));
        }
        if at as usize >= counted {
            tally.count(objects.size(*object), found.is_some());
            tally.ahead += ahead;
        }
    }
    assert!(store.numbers().bytes <= budget);
    tally
}

/// Hits in percent when everything is kept and nothing is fetched ahead.
fn bound(objects: &Objects, stream: &[u32]) -> f64 {
    let mut until = vec![Duration::ZERO; objects.count() as usize];
    let mut tally = Tally::default();
    for (at, object) in (0_u32..).zip(stream) {
        let now = Duration::from_secs(1) * at / RATE;
        let hit = now < until[*object as usize];
        if !hit {
            until[*object as usize] = now + objects.lifetime(*object);
        }
        if at as usize >= stream.len() / 2 {
            tally.count(0, hit);
        }
    }
    tally.hit_ratio()
}
