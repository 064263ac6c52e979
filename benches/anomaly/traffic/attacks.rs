//! What is not usual, and who says so: every request of an incident has its number.

use fastrand::Rng;

use super::chance::{exponential, is, log_normal};
use super::payloads::{INJECTIONS, PLACES};
use super::usual::{Label, Request, Traffic};
use super::world::{DAY, HOUR, LOGIN, ORDERS, PARTNERS, PRODUCTS, REPORTS, SEARCH, tool};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stuffing,
    Scraping,
    Scanning,
    Injection,
    Exfiltration,
    Replay,
    Burst,
}

impl Kind {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Stuffing, "credential stuffing"),
        (Self::Scraping, "scraping"),
        (Self::Scanning, "path scanning"),
        (Self::Injection, "injection"),
        (Self::Exfiltration, "slow exfiltration"),
        (Self::Replay, "replayed token"),
        (Self::Burst, "burst"),
    ];
}

/// From what is loud to what hides.
pub const INTENSITIES: [&str; 3] = ["strong", "medium", "weak"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disguise {
    /// The attacker's own program, from its own network.
    None,
    /// Looks like the partner's, from another network.
    Copied,
    /// The partner's machine.
    Inside,
}

#[derive(Clone, Debug)]
pub struct Incident {
    pub kind: Kind,
    pub intensity: usize,
    /// Whose credential was stolen.
    pub partner: usize,
    pub route: usize,
    pub start: f64,
    pub length: f64,
    /// Requests a second.
    rate: f64,
    disguise: Disguise,
}

/// Of each kind and intensity.
const REPEATS: usize = 4;

/// Spread over the days between, in the hours in which people work; never two at once on one partner and route.
pub fn plan(traffic: &Traffic, (from, to): (f64, f64), seed: u64) -> Vec<Incident> {
    let mut random = Rng::with_seed(seed);
    let mut incidents: Vec<Incident> = Vec::new();
    for repeat in 0..REPEATS {
        for (kind, _) in Kind::ALL {
            for intensity in 0..INTENSITIES.len() {
                let incident = loop {
                    // Small partners as well as large ones.
                    let partner = random.usize(repeat * PARTNERS / REPEATS..(repeat + 1) * PARTNERS / REPEATS);
                    let day = random.usize(..((to - from) / DAY) as usize) as f64;
                    let start = from + day * DAY + (7.0 + 14.0 * random.f64()) * HOUR;
                    let incident = Incident::new(kind, intensity, repeat, (partner, start), traffic);
                    if !incidents.iter().any(|other| other.touches(&incident)) {
                        break incident;
                    }
                };
                incidents.push(incident);
            }
        }
    }
    incidents
}

impl Incident {
    fn new(kind: Kind, intensity: usize, repeat: usize, (partner, start): (usize, f64), traffic: &Traffic) -> Self {
        const AT_ALL: [Disguise; 3] = [Disguise::None, Disguise::Copied, Disguise::Inside];
        let own = traffic.midday_rate(partner, PRODUCTS);
        let (route, paces, disguises) = match kind {
            Kind::Stuffing => (LOGIN, [(10.0, 120.0), (1.0, 600.0), (0.1, HOUR)], AT_ALL),
            Kind::Scraping => (PRODUCTS, [(10.0, 120.0), (2.0, 600.0), (0.2, HOUR)], AT_ALL),
            Kind::Scanning => (PRODUCTS, [(10.0, 60.0), (1.0, 300.0), (1.0 / 30.0, HOUR)], AT_ALL),
            Kind::Injection => (SEARCH, [(5.0, 60.0), (0.2, 600.0), (1.0 / 60.0, HOUR)], AT_ALL),
            Kind::Exfiltration => {
                (REPORTS, [(0.2, 0.5 * HOUR), (0.05, HOUR), (1.0 / 60.0, 2.0 * HOUR)], [Disguise::Inside; 3])
            }
            Kind::Replay => (
                if repeat.is_multiple_of(2) { ORDERS } else { PRODUCTS },
                [(0.5, 600.0), (0.5, 600.0), (0.1, 0.5 * HOUR)],
                [Disguise::None, Disguise::Copied, Disguise::Copied],
            ),
            Kind::Burst => {
                (PRODUCTS, [(50.0 * own, 60.0), (10.0 * own, 120.0), (3.0 * own, 600.0)], [Disguise::Inside; 3])
            }
        };
        let (rate, length) = paces[intensity];
        Self { kind, intensity, partner, route, start, length, rate, disguise: disguises[intensity] }
    }

    fn touches(&self, other: &Self) -> bool {
        let near = self.start < other.start + other.length + HOUR && other.start < self.start + self.length + HOUR;
        near && self.partner == other.partner && self.route == other.route
    }

    /// Whether its caller and route are still marked by it.
    pub fn is_beside(&self, partner: usize, route: usize, at: f64) -> bool {
        let time = self.start..self.start + self.length + 300.0;
        self.partner == partner && self.route == route && time.contains(&at)
    }

    pub fn requests(&self, number: usize, traffic: &mut Traffic) -> Vec<Request> {
        let mut random = Rng::with_seed(number as u64);
        let network = random.u64(..);
        let fields = tool(if self.kind == Kind::Injection { 1 } else { number });
        let (lifetime, renewed) = traffic.partners[self.partner].token;
        let mut requests = Vec::new();
        let mut at = self.start;
        while at < self.start + self.length && requests.len() < 4_000 {
            let mut request = traffic.request(self.partner, self.route, at, 0);
            if self.disguise != Disguise::Inside {
                request.network = network;
                request.token_age = (at - self.start).rem_euclid(lifetime);
            }
            if self.disguise == Disguise::None {
                request.fields = tool_with_body(fields, &request);
            }
            self.shape(&mut request, requests.len(), traffic, &mut random);
            if self.kind == Kind::Replay && self.intensity < 2 {
                request.token_age = lifetime * (renewed + (1.0 - renewed) * (0.5 + 0.4 * random.f64()));
            }
            request.label = Label::Attack(number);
            requests.push(request);
            at += exponential(&mut random, 1.0 / self.rate);
        }
        requests
    }

    /// What it asks for, and what it gets.
    fn shape(&self, request: &mut Request, done: usize, traffic: &mut Traffic, random: &mut Rng) {
        match self.kind {
            Kind::Stuffing => {
                if is(random, 0.98) {
                    (request.status, request.response_bytes) = (401, 110);
                }
            }
            Kind::Scraping => {
                // The weak one in no order.
                let id = if self.intensity < 2 { 100_000 + done } else { 100_000 + random.usize(..40_000) };
                (request.path, request.query) = (format!("/api/products/{id}"), None);
                let is_there = is(random, 0.7);
                (request.status, request.response_bytes) =
                    if is_there { (200, log_normal(random, 1_400.0, 0.5) as u64) } else { (404, 120) };
            }
            Kind::Scanning => {
                let place = PLACES[(done + 7 * self.partner) % PLACES.len()];
                let round = done / PLACES.len();
                let more = if round > 0 { format!("~{round}") } else { String::new() };
                (request.path, request.query) = (format!("/api/products/{place}{more}"), None);
                (request.status, request.response_bytes) = if is(random, 0.97) { (404, 120) } else { (403, 90) };
            }
            Kind::Injection => {
                request.query = Some(INJECTIONS[random.usize(..INJECTIONS.len())].into());
                match random.u8(..10) {
                    0..3 => (request.status, request.response_bytes) = (400, 180),
                    3 => (request.status, request.response_bytes) = (500, 400),
                    _ => request.response_bytes = log_normal(random, 900.0, 0.5) as u64,
                }
            }
            Kind::Exfiltration => {
                let times = [20.0, 6.0, 2.5][self.intensity];
                request.response_bytes = (request.response_bytes as f64 * times) as u64;
                request.duration *= times;
            }
            Kind::Replay | Kind::Burst => traffic.fate(request),
        }
    }
}

/// With what announces a body, if there is one.
fn tool_with_body(
    mut fields: sluice::anomaly::features::Fields,
    request: &Request,
) -> sluice::anomaly::features::Fields {
    if request.body > 0 {
        fields.count += 2;
        fields.bytes += 45;
    }
    fields
}
