use http::Method;

use super::*;
use crate::anomaly::features::Fields;
use crate::anomaly::training::train;

const LADDER: [(Action, f32); 3] = [(Action::Tag, 0.02), (Action::Throttle, 0.005), (Action::Block, 0.002)];
const START: Duration = Duration::from_secs(1_800_000_000);
/// With partners of which each sends a request a second.
const PARTNERS: u64 = 20;

/// A route that all partners have used for half an hour, with a model of it.
struct World {
    shared: Shared,
    watch: Watch,
    ladder: Ladder,
    random: fastrand::Rng,
    now: Duration,
}

/// What became of requests.
#[derive(Debug, Default)]
struct Counts {
    all: u32,
    refused: u32,
    held_back: u32,
}

impl World {
    fn new(max_blocked: f32) -> Self {
        let sample = reservoir::Settings { capacity: 16_384, half_life: Duration::from_secs(86_400), share: 0.1 };
        let ladder =
            Ladder { rungs: LADDER.to_vec(), cool_down: Duration::from_secs(300), throttle: Duration::from_secs(1) };
        let shared = Shared { profiles: Profiles::new(1_000), fallback: ArcSwapOption::empty() };
        let watch = Watch::new("orders".into(), sample, max_blocked, 1);
        let mut world = Self { shared, watch, ladder, random: fastrand::Rng::with_seed(1), now: Duration::ZERO };
        world.pass(Duration::from_secs(1_800));
        let rows = world.watch.reservoir.lock().unwrap().rows();
        let model = train(Some("orders".into()), rows, None, START).unwrap();
        world.watch.model.store(Some(Arc::new(model)));
        world
    }

    /// Usual requests of all partners, for so long.
    fn pass(&mut self, time: Duration) -> Counts {
        let (mut counts, end) = (Counts::default(), self.now + time);
        while self.now < end {
            self.now += Duration::from_secs(1) / PARTNERS as u32;
            let caller = self.random.u64(..PARTNERS);
            self.ask(caller, false, &mut counts);
        }
        counts
    }

    /// So many odd requests a second of one caller beside the usual ones, for so long; what became of the odd ones, and of the usual.
    fn flood(&mut self, caller: u64, rate: u32, time: Duration) -> (Counts, Counts) {
        let (mut odd, mut usual, end) = (Counts::default(), Counts::default(), self.now + time);
        while self.now < end {
            let step = Duration::from_secs(1) / PARTNERS as u32;
            for _ in 0..rate / PARTNERS as u32 {
                self.now += step * PARTNERS as u32 / rate;
                self.ask(caller, true, &mut odd);
            }
            let other = self.random.u64(..PARTNERS);
            self.ask(other, false, &mut usual);
        }
        (odd, usual)
    }

    fn ask(&mut self, caller: u64, is_odd: bool, counts: &mut Counts) {
        let path = format!("/orders/{}", self.random.u32(1_000..2_000));
        let odd = "page=1%27%20UNION%20SELECT%20name%2C%28SELECT%20secret%29%20FROM%20users%3B%20--%20%3Cscript%3E&x=..%2F..%2Fetc";
        let arrival = Arrival {
            at: self.now,
            wall: START + self.now,
            method: &Method::GET,
            path: if is_odd { "/a/b/c/d/e/f/g" } else { &path },
            query: Some(if is_odd { odd } else { "page=2" }),
            fields: Fields {
                count: if is_odd { 40 } else { self.random.u32(8..12) },
                bytes: if is_odd { 9_000 } else { self.random.u32(400..480) },
                order: if is_odd { 9 } else { 1 },
                agent: 2,
            },
            content_type: is_odd.then_some(b"application/xml"),
            body: Some(0),
            caller,
            network: caller,
            token_age: None,
        };
        let mut arrived = self.watch.arrive(&self.shared, &self.ladder, &arrival, None);
        counts.all += 1;
        counts.refused += u32::from(arrived.verdict.refuses());
        counts.held_back += u32::from(arrived.held_back.is_some());
        if !arrived.verdict.refuses() {
            let outcome = Outcome {
                at: self.now,
                duration: Duration::from_millis(self.random.u64(5..50)),
                status: 200,
                request_bytes: 0,
                response_bytes: self.random.u64(500..4_000),
                is_failure: false,
            };
            self.watch.leave(&self.shared, &mut arrived, &outcome);
        }
    }
}

#[test]
fn who_floods_is_refused_and_does_not_use_up_what_may_be_refused() {
    let mut world = World::new(0.1);
    // A partner that usually sends one a second; a stranger; and both at once what may be refused of the others.
    for caller in [3, 1_000] {
        let (odd, usual) = world.flood(caller, 100, Duration::from_secs(120));
        assert!(f64::from(odd.refused) > 0.97 * f64::from(odd.all), "{caller}: {odd:?}");
        assert!(usual.refused < usual.all / 12, "{caller}: {usual:?}");
    }
}

#[test]
fn a_model_that_is_wrong_shuts_out_no_more_than_may_be_refused() {
    let mut world = World::new(0.01);
    // Everybody does from now on what nobody did.
    let mut counts = Counts::default();
    for _ in 0..20_000 {
        world.now += Duration::from_secs(1) / PARTNERS as u32;
        let caller = world.random.u64(..PARTNERS);
        world.ask(caller, true, &mut counts);
    }
    // A hundredth of these requests, and of half an hour before; and of callers that happen to send more than usual somewhat more.
    let allowed = 10.0 + 0.01 * (36_000.0 + 20_000.0);
    assert!(f64::from(counts.refused) < 1.3 * allowed, "{counts:?}");
    assert!(f64::from(counts.refused) > 0.9 * allowed && counts.held_back > 15_000, "{counts:?}");
}

#[test]
fn usual_requests_are_refused_no_more_often_than_is_written() {
    let mut world = World::new(1.0);
    let counts = world.pass(Duration::from_secs(1_800));
    assert!(f64::from(counts.refused) < 0.01 * f64::from(counts.all), "{counts:?}");
}
