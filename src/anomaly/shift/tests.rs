use proptest::prelude::*;

use super::*;

/// In windows: shorter than it is (8640 of 10 s), so that what is usual changes faster.
const DAY: u32 = 2_000;

/// A caller of a certain size, and how it varies.
#[derive(Clone, Copy)]
struct Caller {
    /// A window, on average over the day.
    requests: f32,
    error_share: f32,
    /// Median of an answer.
    bytes: f32,
    paths: u32,
    usual: Usual,
}

/// What an attacker changes.
#[derive(Clone, Copy)]
struct Attack {
    requests: f32,
    error_share: f32,
    bytes: f32,
}

const NONE: Attack = Attack { requests: 1.0, error_share: 0.0, bytes: 1.0 };

#[derive(Clone)]
struct Traffic {
    random: fastrand::Rng,
    callers: Vec<Caller>,
    shifts: Shifts,
    window: u32,
}

impl Traffic {
    /// Fifty callers, from one request in a window to 100.
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let callers = (0..50).map(|i| Caller {
            requests: 100f32.powf(i as f32 / 49.0),
            error_share: 0.1 * random.f32() * random.f32(),
            bytes: 500.0 * 100f32.powf(random.f32()),
            paths: random.u32(1..200),
            usual: Usual::default(),
        });
        let callers = callers.collect();
        Self { random, callers, shifts: Shifts::new(seed), window: 0 }
    }

    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.random.f32()).sum::<f32>() - 6.0
    }

    /// Knuth's for small means, the normal distribution for others.
    fn poisson(&mut self, mean: f32) -> u32 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u32;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.random.f32(), 0);
        while product > limit {
            product *= self.random.f32();
            count += 1;
        }
        count
    }

    fn counts(&mut self, caller: &Caller, attack: Attack) -> Counts {
        // From half of the mean to one and a half times that: three to one.
        let hour = 1.0 + 0.5 * (std::f32::consts::TAU * self.window as f32 / DAY as f32).sin();
        let requests = self.poisson(caller.requests * hour * attack.requests);
        let errors = (0..requests).filter(|_| self.random.f32() < caller.error_share + attack.error_share).count();
        let bytes: f32 = (0..requests).map(|_| caller.bytes * attack.bytes * (0.5 * self.normal()).exp()).sum();
        let mut seen = vec![false; caller.paths as usize];
        (0..requests).for_each(|_| seen[(self.random.f32().powi(2) * caller.paths as f32) as usize] = true);
        let paths = seen.iter().filter(|seen| **seen).count();
        Counts {
            requests,
            errors: errors as u32,
            response_bytes: bytes as u64,
            paths: paths as u32,
            ..Counts::default()
        }
    }

    /// One window of all callers; one of them attacks. What was said of the attacker, and of the others.
    fn step(&mut self, attacker: usize, attack: Attack) -> (Option<f32>, Vec<f32>) {
        self.window += 1;
        let (mut of_attacker, mut others) = (None, Vec::new());
        for i in 0..self.callers.len() {
            let mut caller = self.callers[i];
            let counts = self.counts(&caller, if i == attacker { attack } else { NONE });
            let rarity = self.shifts.window(&counts, &mut caller.usual);
            self.callers[i] = caller;
            if i == attacker { of_attacker = rarity } else { others.extend(rarity) }
        }
        (of_attacker, others)
    }

    fn warmed_up(seed: u64) -> Self {
        let mut traffic = Self::new(seed);
        (0..200).for_each(|_| drop(traffic.step(0, NONE)));
        traffic
    }
}

#[test]
fn usual_noise_stays_calibrated() {
    for seed in 0..2 {
        let mut traffic = Traffic::new(seed);
        let (mut windows, mut rare, mut rarer) = (0u32, 0u32, 0u32);
        for _ in 0..DAY {
            for rarity in traffic.step(usize::MAX, NONE).1 {
                windows += 1;
                rare += u32::from(rarity <= 0.01);
                rarer += u32::from(rarity <= 0.001);
            }
        }
        let [rare, rarer] = [rare, rarer].map(|rare| f64::from(rare) / f64::from(windows));
        assert!((0.005..0.02).contains(&rare) && rarer < 0.002, "seed {seed}: {rare} and {rarer} of {windows}");
    }
}

/// How many of the first six windows of an attack are among the rarest hundredth, for callers of several sizes. In few requests
/// there is little to see.
fn found(attack: Attack) -> Vec<(u32, usize)> {
    let warm = Traffic::warmed_up(5);
    let attackers = [5, 15, 25, 35, 49];
    attackers
        .map(|attacker| {
            let mut traffic = warm.clone();
            let rarities: Vec<_> = (0..6).map(|_| traffic.step(attacker, attack).0.unwrap_or(1.0)).collect();
            (traffic.callers[attacker].requests as u32, rarities.iter().filter(|rarity| **rarity < 0.01).count())
        })
        .to_vec()
}

#[test]
fn a_burst_is_found() {
    for (requests, found) in found(Attack { requests: 20.0, ..NONE }) {
        assert!(found >= if requests < 10 { 2 } else { 4 }, "{requests} requests a window: {found} of 6");
    }
}

#[test]
fn a_wave_of_errors_is_found() {
    for (requests, found) in found(Attack { error_share: 0.8, ..NONE }) {
        assert!(found >= if requests < 10 { 2 } else { 4 }, "{requests} requests a window: {found} of 6");
    }
}

#[test]
fn slow_exfiltration_is_found() {
    for (requests, found) in found(Attack { bytes: 10.0, ..NONE }) {
        assert!(found >= if requests < 10 { 2 } else { 4 }, "{requests} requests a window: {found} of 6");
    }
}

#[test]
fn nothing_is_said_as_long_as_little_is_known() {
    let mut traffic = Traffic::new(1);
    let mut said = (0..).map(|window| (window, traffic.step(usize::MAX, NONE).1)).find(|(_, said)| !said.is_empty());
    // Five windows of each caller, 256 to grow a profile, and 256 scores: of fifty callers, of whom some do not always come.
    let (window, _) = said.take().unwrap();
    assert!((15..20).contains(&window), "{window}");
    // A new caller of a route that is known.
    let counts = Counts { requests: 100_000, ..Counts::default() };
    let mut usual = Usual::default();
    let known: Vec<_> = (0..6).map(|_| traffic.shifts.window(&counts, &mut usual).is_some()).collect();
    assert_eq!(known, [false, false, false, false, false, true]);
}

#[test]
fn windows_without_requests_and_less_than_usual_are_no_shift() {
    let mut traffic = Traffic::warmed_up(1);
    let mut usual = traffic.callers[30].usual;
    let before = usual;
    assert_eq!(traffic.shifts.window(&Counts::default(), &mut usual), None);
    assert_eq!(usual, before);
    let one = Counts { requests: 1, paths: 1, ..Counts::default() };
    assert!(traffic.shifts.window(&one, &mut usual).is_some_and(|rarity| rarity > 0.2));
}

#[test]
fn a_lasting_change_becomes_usual() {
    let mut traffic = Traffic::warmed_up(1);
    let more = Attack { requests: 5.0, ..NONE };
    assert!(traffic.step(30, more).0.is_some_and(|rarity| rarity < 0.01));
    (0..200).for_each(|_| drop(traffic.step(30, more)));
    let rare = (0..20).filter(|_| traffic.step(30, more).0.is_some_and(|rarity| rarity < 0.01)).count();
    assert!(rare <= 2, "{rare} of 20");
}

#[test]
fn what_is_refused_does_not_become_usual() {
    let (mut usual, mut shifts) = (Usual::default(), Shifts::new(1));
    let counts = Counts { requests: 30, errors: 3, response_bytes: 30_000, paths: 9, ..Counts::default() };
    (0..100).for_each(|_| _ = shifts.window(&counts, &mut usual));
    let before = usual;
    let flood = Counts { requests: 100_000, paths: 900, ..counts };
    (0..100).for_each(|_| _ = shifts.window(&Counts { refused: 100_000, ..flood }, &mut usual));
    assert_eq!(usual, before);
    (0..100).for_each(|_| _ = shifts.window(&Counts { refused: 99_970, ..flood }, &mut usual));
    assert!((29.9..30.1).contains(&usual.requests) && usual.paths <= 30.0, "{usual:?}");
}

#[test]
fn the_same_seed_says_the_same() {
    let said = |seed| {
        let mut traffic = Traffic::new(3);
        traffic.shifts = Shifts::new(seed);
        (0..40).flat_map(|_| traffic.step(usize::MAX, NONE).1).collect::<Vec<_>>()
    };
    assert_eq!(said(7), said(7));
    assert_ne!(said(7), said(8));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_is_counted_has_a_rarity(windows in proptest::collection::vec(any::<(u32, u32, u64, u32)>(), 0..700)) {
        let (mut shifts, mut usual) = (Shifts::new(1), Usual::default());
        for (requests, errors, response_bytes, paths) in windows {
            let counts = Counts { requests, errors, response_bytes, paths, ..Counts::default() };
            if let Some(rarity) = shifts.window(&counts, &mut usual) {
                prop_assert!(rarity > 0.0 && rarity <= 1.0, "{rarity}");
            }
        }
    }
}

#[test]
fn it_is_small() {
    assert!(size_of::<Usual>() <= 64);
}
