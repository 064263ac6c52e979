use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, Version};
use proptest::prelude::*;

use super::kept::MAX_VARIANTS;
use super::*;
use crate::base::clock;
use crate::cache::freshness::Freshness;
use crate::cache::reuse;
use crate::cache::storable::Rules;
use crate::cache::stored::{Body, Groups, Head, StoredFields};

const LONG: Duration = Duration::from_secs(3_600);
const PLENTY: usize = 64 << 20;

/// An answer with a body of so many bytes that was received just now, and is in no group but those of `groups`.
fn grouped(key: &[u8], size: usize, lifetime: Duration, groups: Groups) -> Arc<Stored> {
    let head = Head {
        key: Key::from(key),
        status: StatusCode::OK,
        version: Version::HTTP_11,
        fields: StoredFields::new(&HeaderMap::new()),
        freshness: Freshness { lifetime, initial_age: Duration::ZERO, received: clock::now() },
        rules: Rules::default(),
        groups,
    };
    Arc::new(Stored::new(Arc::new(head), Body::new(vec![Bytes::from(vec![b'x'; size])])))
}

pub(in crate::cache) fn answer(key: &str, size: usize, lifetime: Duration) -> Arc<Stored> {
    grouped(key.as_bytes(), size, lifetime, Groups::default())
}

/// In a route, of a partner, with tags.
pub(in crate::cache) fn member(key: &str, route: &str, partner: Option<&str>, tags: &[&str]) -> Arc<Stored> {
    let tags = tags.iter().map(|tag| Arc::from(*tag)).collect();
    let groups = Groups { route: route.into(), partner: partner.map(Arc::from), tags };
    grouped(key.as_bytes(), 10, LONG, groups)
}

fn names(names: &[&str]) -> Arc<[HeaderName]> {
    names.iter().map(|name| HeaderName::try_from(*name).unwrap()).collect()
}

fn found(store: &Store, key: &str) -> Option<Arc<Stored>> {
    match store.get(key.as_bytes()) {
        Some(Slot::Answer(stored)) => Some(stored),
        Some(Slot::Varies(_)) | None => None,
    }
}

fn is_there(store: &Store, key: &str) -> bool {
    store.get(key.as_bytes()).is_some()
}

fn put(store: &Store, stored: &Arc<Stored>) {
    store.put(Arc::clone(stored), None, store.mark()).unwrap();
}

/// Puts `key` as a variant of `base`.
fn put_variant(store: &Store, base: &str, key: &str, by: &[&str]) -> Result<(), NotStored> {
    store.put(answer(key, 10, LONG), Some((Key::from(base.as_bytes()), names(by))), store.mark())
}

fn is_stale(stored: &Stored) -> bool {
    stored.marks.stale.load(Ordering::Relaxed)
}

/// Index and counts say what the cache has.
fn check(store: &Store) {
    let kept = store.kept.load();
    kept.entries.run_pending_tasks();
    let mut there = BTreeMap::new();
    let (mut bytes, mut answers) = (0, 0);
    for (key, entry) in &kept.entries {
        bytes += u64::from(entry.weight);
        answers += u64::from(matches!(entry.slot, Slot::Answer(_)));
        there.insert(Key::clone(&key), entry.slot);
    }
    assert_eq!((kept.bytes(), kept.answers()), (bytes, answers));
    assert_eq!(kept.entries.weighted_size(), bytes);
    let indexed: BTreeMap<_, _> =
        (0..crate::cache::purge::SHARDS).flat_map(|shard| kept.index.found(shard, &Purge::All)).collect();
    assert!(there.keys().eq(indexed.keys()));
    assert!(there.values().zip(indexed.values()).all(|(one, other)| one.is_same(other)));
}

#[test]
fn what_is_put_is_found() {
    let store = Store::new(PLENTY);
    let stored = answer("a", 1024, LONG);
    put(&store, &stored);
    assert!(Arc::ptr_eq(&found(&store, "a").unwrap(), &stored));
    assert!(!is_there(&store, "b"));
    let numbers = store.numbers();
    assert_eq!((numbers.entries, numbers.evicted, numbers.purged), (1, 0, 0));
    assert!(numbers.bytes > 1024 + 512 && numbers.bytes < 3_000, "{}", numbers.bytes);
    store.remove(b"a");
    assert!(!is_there(&store, "a"));
    assert_eq!((store.numbers().entries, store.numbers().bytes), (0, 0));
}

#[test]
fn an_answer_without_room_is_refused() {
    let store = Store::new(10_000);
    assert_eq!(store.put(answer("a", 20_000, LONG), None, store.mark()), Err(NotStored::TooLarge));
    assert_eq!(Store::new(0).put(answer("a", 0, LONG), None, Mark::default()), Err(NotStored::TooLarge));
    check(&store);
}

#[test]
fn an_answer_stays_as_long_as_it_is_useful() {
    let stored = answer("a", 10, Duration::from_secs(5));
    let entry = Entry::answer(&stored, 0).unwrap();
    let until = stored.head.freshness.received + Duration::from_secs(5) + reuse::useful_for(&stored);
    assert_eq!(entry.until, Some(until));

    let store = Store::new(PLENTY);
    let kept = store.kept.load();
    kept.put(stored.head.key.clone(), Entry { until: Some(clock::now()), ..entry });
    assert!(!is_there(&store, "a"));
}

#[test]
fn only_what_was_there_before_is_replaced() {
    let store = Store::new(PLENTY);
    let (first, second, third) = (answer("a", 1, LONG), answer("a", 2, LONG), answer("a", 3, LONG));
    store.replace(&first, Arc::clone(&second), store.mark());
    assert!(!is_there(&store, "a"));
    put(&store, &first);
    store.replace(&first, Arc::clone(&second), store.mark());
    assert!(Arc::ptr_eq(&found(&store, "a").unwrap(), &second));
    store.replace(&first, third, store.mark());
    assert!(Arc::ptr_eq(&found(&store, "a").unwrap(), &second));
    check(&store);
}

#[test]
fn nothing_replaces_what_was_purged() {
    let store = Store::new(PLENTY);
    let (before, after) = (member("a", "r", None, &["t"]), member("a", "r", None, &["t"]));
    put(&store, &before);
    let since = store.mark();
    assert_eq!(store.purge(&Purge::Tag("t".into()), true), 1);
    store.replace(&before, Arc::clone(&after), since);
    assert!(Arc::ptr_eq(&found(&store, "a").unwrap(), &before));
    store.replace(&before, after, store.mark());
    assert!(!is_stale(&found(&store, "a").unwrap()));
}

#[test]
fn variants_are_found_behind_their_base() {
    let store = Store::new(PLENTY);
    put_variant(&store, "base:", "base:de", &["accept-language"]).unwrap();
    put_variant(&store, "base:", "base:fr", &["accept-language"]).unwrap();
    let Some(Slot::Varies(by)) = store.get(b"base:") else { panic!("no record") };
    assert_eq!(by, names(&["accept-language"]));
    assert!(is_there(&store, "base:de") && is_there(&store, "base:fr"));
    assert_eq!(store.numbers().entries, 2);

    put_variant(&store, "base:", "base:gzip", &["accept-encoding"]).unwrap();
    assert!(is_there(&store, "base:gzip") && !is_there(&store, "base:de") && !is_there(&store, "base:fr"));

    put(&store, &answer("base:", 10, LONG));
    assert!(found(&store, "base:").is_some() && !is_there(&store, "base:gzip"));

    put_variant(&store, "base:", "base:de", &["accept-language"]).unwrap();
    store.remove(b"base:");
    assert!(!is_there(&store, "base:") && !is_there(&store, "base:de"));
    check(&store);
    assert_eq!(store.numbers().bytes, 0);
}

#[test]
fn of_too_many_variants_the_least_asked_for_goes() {
    let store = Store::new(PLENTY);
    let key = |at| format!("base:{at:03}");
    for at in 0..MAX_VARIANTS {
        put_variant(&store, "base:", &key(at), &["accept-language"]).unwrap();
        found(&store, &key(at)).unwrap().marks.hits.store(u32::from(at != 7), Ordering::Relaxed);
    }
    assert_eq!(store.numbers().entries, MAX_VARIANTS as u64);
    put_variant(&store, "base:", &key(8), &["accept-language"]).unwrap();
    assert!(is_there(&store, &key(7)));
    put_variant(&store, "base:", &key(100), &["accept-language"]).unwrap();
    assert!(!is_there(&store, &key(7)) && is_there(&store, &key(100)));
    assert_eq!(store.numbers().entries, MAX_VARIANTS as u64);
    check(&store);
}

#[test]
fn everything_of_a_group_is_purged_and_nothing_else() {
    let store = Store::new(PLENTY);
    let fill = || {
        put(&store, &member("one:1", "r1", Some("acme"), &["red", "blue"]));
        put(&store, &member("two:2", "r1", None, &["red"]));
        put(&store, &member("two:3", "r2", Some("acme"), &[]));
        put_variant(&store, "var:", "var:4", &["accept"]).unwrap();
    };
    let cases: [(Purge, &[&str]); 8] = [
        (Purge::Route("r1".into()), &["one:1", "two:2"]),
        (Purge::Partner("acme".into()), &["one:1", "two:3"]),
        (Purge::Tag("red".into()), &["one:1", "two:2"]),
        (Purge::Tag("blue".into()), &["one:1"]),
        (Purge::Tag("r1".into()), &[]),
        (Purge::Resource(b"two:"[..].into()), &["two:2", "two:3"]),
        (Purge::Resource(b"var:"[..].into()), &["var:4"]),
        (Purge::All, &["one:1", "two:2", "two:3", "var:4"]),
    ];
    let all = ["one:1", "two:2", "two:3", "var:4"];
    for (purge, gone) in &cases {
        fill();
        assert_eq!(store.purge(purge, true), gone.len() as u64, "{purge:?}");
        assert!(all.iter().all(|key| is_stale(&found(&store, key).unwrap()) == gone.contains(key)), "{purge:?}");
        fill();
        assert_eq!(store.purge(purge, false), gone.len() as u64, "{purge:?}");
        assert!(all.iter().all(|key| is_there(&store, key) != gone.contains(key)), "{purge:?}");
        check(&store);
    }
    assert!(!is_there(&store, "var:"));
    assert_eq!(store.numbers().purged, 28);
}

#[test]
fn what_was_fetched_before_a_purge_is_refused() {
    let store = Store::new(PLENTY);
    let since = store.mark();
    let put_since = |key, tag| store.put(member(key, "r", None, &[tag]), None, since);
    store.purge(&Purge::Tag("red".into()), false);
    assert_eq!(put_since("a", "red"), Err(NotStored::Purged));
    assert_eq!(put_since("b", "blue"), Ok(()));
    put(&store, &member("a", "r", None, &["red"]));
    store.purge(&Purge::All, false);
    assert_eq!(put_since("b", "blue"), Err(NotStored::Purged));
    assert_eq!(store.numbers().entries, 0);
}

/// What somebody can do with a store.
#[derive(Clone, Debug)]
enum Step {
    /// `base`, variant or none, tags, marks of so many steps ago.
    Put(u8, Option<u8>, u8, usize),
    Replace(u8, Option<u8>, usize),
    Remove(u8, Option<u8>),
    Purge(Purge, bool),
    Get(u8, Option<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let variant = || prop::option::of(0_u8..3);
    let group = || prop_oneof![Just("red"), Just("blue"), Just("r0"), Just("r1")];
    let purge = prop_oneof![
        1 => Just(Purge::All),
        2 => group().prop_map(|name| Purge::Route(name.into())),
        2 => group().prop_map(|name| Purge::Tag(name.into())),
        2 => (0_u8..6).prop_map(|base| Purge::Resource(key(base, None).as_bytes().into())),
    ];
    let step = prop_oneof![
        6 => (0_u8..6, variant(), 0_u8..4, 0_usize..4).prop_map(|(base, by, tags, ago)| Step::Put(base, by, tags, ago)),
        2 => (0_u8..6, variant(), 0_usize..4).prop_map(|(base, by, ago)| Step::Replace(base, by, ago)),
        1 => (0_u8..6, variant()).prop_map(|(base, by)| Step::Remove(base, by)),
        2 => (purge, any::<bool>()).prop_map(|(purge, soft)| Step::Purge(purge, soft)),
        4 => (0_u8..6, variant()).prop_map(|(base, by)| Step::Get(base, by)),
    ];
    prop::collection::vec(step, 0..80)
}

fn key(base: u8, variant: Option<u8>) -> String {
    variant.map_or_else(|| format!("base{base}:"), |variant| format!("base{base}:{variant}"))
}

fn of(base: u8, variant: Option<u8>, tags: u8, size: usize) -> Arc<Stored> {
    let named: Vec<Arc<str>> =
        [(1, "red"), (2, "blue")].iter().filter(|(bit, _)| tags & bit != 0).map(|(_, name)| Arc::from(*name)).collect();
    let groups = Groups { route: format!("r{}", base % 2).into(), partner: None, tags: named.into() };
    grouped(key(base, variant).as_bytes(), size, LONG, groups)
}

/// As simple as it can be: everything stays, and everything is looked at.
#[derive(Default)]
struct Model {
    answers: BTreeMap<String, (Arc<Stored>, bool)>,
    records: BTreeSet<String>,
    purges: Vec<Purge>,
}

impl Model {
    fn is_purged(&self, stored: &Stored, since: Mark) -> bool {
        self.purges
            .iter()
            .skip(usize::try_from(since.0).unwrap())
            .any(|purge| matches!(purge, Purge::Resource(_)) || purge.covers(&stored.head))
    }

    fn put(&mut self, base: u8, variant: Option<u8>, stored: &Arc<Stored>) {
        let base = key(base, None);
        if variant.is_none() {
            self.answers.retain(|key, _| !key.starts_with(&base));
            self.records.remove(&base);
        } else {
            self.answers.remove(&base);
            if self.records.insert(base.clone()) {
                self.answers.retain(|key, _| !key.starts_with(&base));
            }
        }
        self.answers
            .insert(String::from_utf8(stored.head.key.as_bytes().to_vec()).unwrap(), (Arc::clone(stored), false));
    }

    fn purge(&mut self, purge: &Purge, soft: bool) -> u64 {
        self.purges.push(purge.clone());
        let before = self.answers.len();
        let mut count = 0;
        if soft {
            for (_, stale) in self.answers.values_mut().filter(|(stored, _)| purge.covers(&stored.head)) {
                *stale = true;
                count += 1;
            }
            return count;
        }
        self.answers.retain(|_, (stored, _)| !purge.covers(&stored.head));
        match purge {
            Purge::All => self.records.clear(),
            Purge::Resource(resource) => {
                self.records.retain(|key| !key.as_bytes().starts_with(resource));
            }
            _ => {}
        }
        (before - self.answers.len()) as u64
    }

    fn remove(&mut self, base: u8, variant: Option<u8>) {
        let key = key(base, variant);
        if self.records.remove(&key) {
            self.answers.retain(|other, _| !other.starts_with(&key));
        }
        self.answers.remove(&key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// With room for everything, the store does what the model does.
    #[test]
    fn a_store_is_a_map_that_can_be_purged(steps in steps()) {
        let store = Store::new(PLENTY);
        prop_assume!(store.purges.are_apart(&["r0", "r1"], &["red", "blue"]));
        let mut model = Model::default();
        let mut marks = vec![store.mark(); 4];
        for (at, step) in steps.into_iter().enumerate() {
            let since = |ago: usize| marks[marks.len() - 1 - ago];
            match step {
                Step::Put(base, variant, tags, ago) => {
                    let (stored, since) = (of(base, variant, tags, at), since(ago));
                    let varies = variant.map(|_| (Key::from(key(base, None).as_bytes()), names(&["accept"])));
                    let expected = if model.is_purged(&stored, since) { Err(NotStored::Purged) } else { Ok(()) };
                    prop_assert_eq!(store.put(Arc::clone(&stored), varies, since), expected);
                    if expected.is_ok() {
                        model.put(base, variant, &stored);
                    }
                }
                Step::Replace(base, variant, ago) => {
                    let key = key(base, variant);
                    if let Some((before, _)) = model.answers.get(&key).cloned() {
                        let (after, since) = (of(base, variant, 1, at), since(ago));
                        store.replace(&before, Arc::clone(&after), since);
                        if !model.is_purged(&after, since) {
                            model.answers.insert(key, (after, false));
                        }
                    }
                }
                Step::Remove(base, variant) => {
                    store.remove(key(base, variant).as_bytes());
                    model.remove(base, variant);
                }
                Step::Purge(purge, soft) => prop_assert_eq!(store.purge(&purge, soft), model.purge(&purge, soft)),
                Step::Get(base, variant) => {
                    let key = key(base, variant);
                    match (store.get(key.as_bytes()), model.answers.get(&key)) {
                        (Some(Slot::Answer(found)), Some((expected, stale))) => {
                            prop_assert!(Arc::ptr_eq(&found, expected));
                            prop_assert_eq!(is_stale(&found), *stale);
                        }
                        (Some(Slot::Varies(_)), None) => prop_assert!(model.records.contains(&key)),
                        (None, None) => prop_assert!(!model.records.contains(&key)),
                        (found, expected) => prop_assert!(false, "{:?} for {:?}", found, expected),
                    }
                }
            }
            marks.push(store.mark());
        }
        check(&store);
        prop_assert_eq!(store.numbers().entries, model.answers.len() as u64);
    }

    /// With little room, it never has more than that, and never anything but the last that was put.
    #[test]
    fn the_budget_holds_after_every_put(
        puts in prop::collection::vec((0_u16..200, 0_usize..4_000, any::<bool>()), 1..600),
        budget in 5_000_usize..100_000,
    ) {
        let store = Store::new(budget);
        let mut last = BTreeMap::new();
        for (at, size, ask) in puts {
            let key = format!("key{at:03}");
            if ask && let Some(found) = found(&store, &key) {
                prop_assert!(last.get(&key).is_some_and(|last| Arc::ptr_eq(last, &found)));
            }
            let stored = answer(&key, size, LONG);
            if store.put(Arc::clone(&stored), None, store.mark()).is_ok() {
                last.insert(key, stored);
            }
            prop_assert!(store.numbers().bytes <= budget as u64);
        }
        check(&store);
    }
}

#[test]
fn the_budget_holds_with_many_threads() {
    const THREADS: usize = 4;
    const SIZE: usize = 2_000;
    let store = Store::new(100_000);
    let heaviest = u64::from(Entry::answer(&answer("key-0000", SIZE, LONG), 0).unwrap().weight);
    thread::scope(|scope| {
        for seed in 0..THREADS as u64 {
            let store = &store;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..3_000 {
                    let key = format!("key-{:04}", random.u32(0..400));
                    match random.u8(0..10) {
                        0 => store.remove(key.as_bytes()),
                        1..5 => drop(store.get(key.as_bytes())),
                        _ => put(store, &answer(&key, random.usize(0..SIZE), LONG)),
                    }
                    let bytes = store.numbers().bytes;
                    assert!(bytes <= 100_000 + THREADS as u64 * heaviest, "{bytes}");
                }
            });
        }
    });
    check(&store);
    assert!(store.numbers().bytes <= 100_000);
}

/// Answers are of the version that was current when they were fetched; a purge ends a version. What is found after a purge must not be
/// of a version before it.
#[test]
fn nothing_that_was_purged_comes_back() {
    const KEYS: usize = 8;
    let store = Store::new(PLENTY);
    let (version, over, barrier) = (AtomicUsize::new(0), AtomicBool::new(false), Barrier::new(4));
    let key = |at: usize| format!("key-{at}:");
    thread::scope(|scope| {
        for seed in 0..3 {
            let (store, version, over, barrier) = (&store, &version, &over, &barrier);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                barrier.wait();
                while !over.load(Ordering::Relaxed) {
                    let since = store.mark();
                    let size = version.load(Ordering::SeqCst);
                    let key = key(random.usize(0..KEYS));
                    let groups = Groups { route: "r".into(), partner: None, tags: Box::new(["t".into()]) };
                    if random.bool() {
                        let _ = store.put(grouped(key.as_bytes(), size, LONG, groups), None, since);
                    } else if let Some(before) = found(store, &key) {
                        store.replace(&before, grouped(key.as_bytes(), size, LONG, groups), since);
                    }
                }
            });
        }
        barrier.wait();
        // Asked for after the others have ended: they would never learn of a panic here.
        let mut late = Vec::new();
        for round in 1..600 {
            version.store(round, Ordering::SeqCst);
            match round % 4 {
                0 => drop(store.purge(&Purge::All, false)),
                1 => drop(store.purge(&Purge::Route("r".into()), false)),
                2 => drop(store.purge(&Purge::Resource(b"key-"[..].into()), false)),
                _ => drop(store.purge(&Purge::Tag("t".into()), false)),
            }
            let found = (0..KEYS).filter_map(|at| found(&store, &key(at)));
            late.extend(found.map(|found| found.body.len()).filter(|of| *of < round as u64).map(|of| (of, round)));
        }
        over.store(true, Ordering::Relaxed);
        assert!(late.is_empty(), "of one version, after the purge that began another: {late:?}");
    });
    check(&store);
}
