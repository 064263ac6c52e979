//! What partners do when nobody attacks: sessions, polls, batches, retries; and what changes without harm.

use fastrand::Rng;
use http::Method;
use sluice::anomaly::features::Fields;

use super::chance::{exponential, geometric, is, log_normal, poisson, popular, share};
use super::world::{Client, DAY, HOUR, LOGIN, ORDERS, PARTNERS, PRODUCTS, Partner, REPORTS, SEARCH};

/// Seconds that sessions are drawn for at once, and after which windows end.
pub const WINDOW: f64 = 10.0;

/// Of all partners at midday.
const SESSIONS_PER_SECOND: f64 = 3.0;

/// Requests of a session, by route.
const LENGTHS: [f64; 5] = [5.0, 3.0, 3.0, 1.3, 1.15];

#[derive(Clone)]
pub struct Request {
    /// Seconds since the beginning.
    pub at: f64,
    pub partner: usize,
    pub route: usize,
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub fields: Fields,
    pub content_type: Option<&'static [u8]>,
    pub body: u64,
    pub network: u64,
    pub token_age: f64,
    pub status: u16,
    pub duration: f64,
    pub response_bytes: u64,
    pub label: Label,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Usual,
    Change(Change),
    /// The incident with this number.
    Attack(usize),
}

/// What is new or more, and does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    NewVersion,
    NewNetwork,
    NewPartner,
    NightlyBatch,
    FirstBatch,
    Slowdown,
    Rush,
}

impl Change {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::NewVersion, "a client's new version rolls out, first day"),
        (Self::NewNetwork, "a partner moves to a new network, first day"),
        (Self::NewPartner, "a new partner, first day"),
        (Self::NightlyBatch, "a batch job, as every night"),
        (Self::FirstBatch, "a batch job that was never there"),
        (Self::Slowdown, "upstream slow and failing, half an hour"),
        (Self::Rush, "all partners at 2.5 times their rate, 4 h"),
    ];
}

/// From the beginning of Thursday, the first day.
const ROLLOUT: (usize, f64) = (3, 4.0 * DAY + 10.0 * HOUR);
const MOVE: (usize, f64) = (6, 5.0 * DAY + 8.0 * HOUR);
const JOINS: f64 = 6.0 * DAY + 9.0 * HOUR;
const NIGHTLY: (usize, f64) = (2, 2.0 * HOUR);
const FIRST_BATCH: (usize, f64) = (5, 7.0 * DAY + 3.0 * HOUR);
const SLOWDOWN: f64 = 5.0 * DAY + 14.0 * HOUR;
const RUSH: f64 = 8.0 * DAY + 10.0 * HOUR;

pub struct Traffic {
    pub partners: Vec<Partner>,
    random: Rng,
    next_version: Client,
    new_network: u64,
    polls: Vec<f64>,
}

const WORDS: [&str; 24] = [
    "chair",
    "desk",
    "lamp",
    "m8+screw",
    "o%27brien",
    "m%C3%BCller",
    "usb-c",
    "cable",
    "2x4",
    "paper+a4",
    "toner",
    "drill",
    "bosch",
    "l%27oreal",
    "pump",
    "filter",
    "12v",
    "red",
    "large",
    "steel",
    "oak",
    "kit",
    "spare",
    "bolt",
];

const PATHS: [&str; 3] = ["sales", "stock", "returns"];

impl Traffic {
    pub fn new(partners: Vec<Partner>, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let next_version = partners[ROLLOUT.0].clients[0].next_version(&mut random);
        let polls = vec![0.0; partners.len()];
        Self { partners, next_version, new_network: random.u64(..), random, polls }
    }

    /// All sessions that begin in the window from this time on; their last requests may come later.
    pub fn window(&mut self, from: f64, into: &mut Vec<Request>) {
        for partner in 0..self.partners.len() {
            if partner == PARTNERS && from < JOINS {
                continue;
            }
            let Partner { weight, mix, .. } = self.partners[partner];
            let rush = if (RUSH..RUSH + 4.0 * HOUR).contains(&from) { 2.5 } else { 1.0 };
            let rate = SESSIONS_PER_SECOND * weight * rush * self.partners[partner].rhythm(from);
            for _ in 0..poisson(&mut self.random, rate * WINDOW) {
                let route = share(&mut self.random, &mix);
                let at = from + WINDOW * self.random.f64();
                self.session(partner, route, at, into);
            }
            if let Some(poll) = self.partners[partner].poll {
                while self.polls[partner] < from + WINDOW {
                    let at = self.polls[partner].max(from) + 0.2 * self.random.f64();
                    let mut request = self.request(partner, ORDERS, at, 0);
                    request.path = "/api/orders".into();
                    request.query = Some(format!("since={}", (at as u64).saturating_sub(60) + 1_700_000_000));
                    into.push(request);
                    self.polls[partner] = self.polls[partner].max(from) + poll;
                }
            }
        }
        let (partner, begin) = NIGHTLY;
        if (begin..begin + 1_200.0).contains(&(from % DAY)) {
            self.batch(partner, from, Change::NightlyBatch, into);
        }
        let (partner, begin) = FIRST_BATCH;
        if (begin..begin + 1_200.0).contains(&from) {
            self.batch(partner, from, Change::FirstBatch, into);
        }
    }

    fn session(&mut self, partner: usize, route: usize, begin: f64, into: &mut Vec<Request>) {
        let client = self.client(partner, begin);
        let gap = self.partners[partner].gap;
        let mut at = begin;
        for _ in 0..geometric(&mut self.random, LENGTHS[route]) {
            let mut request = self.request(partner, route, at, client);
            self.fate(&mut request);
            at += request.duration + exponential(&mut self.random, gap);
            // What failed is tried again, twice at most.
            let mut again = request.clone();
            into.push(request);
            for _ in 0..2 {
                let is_retried = again.status >= 500 || (again.status == 401 && is(&mut self.random, 0.5));
                if !is_retried {
                    break;
                }
                again.at += again.duration + 1.0;
                self.fate(&mut again);
                into.push(again.clone());
                at = again.at + exponential(&mut self.random, gap);
            }
        }
    }

    /// Twenty requests a second.
    fn batch(&mut self, partner: usize, from: f64, change: Change, into: &mut Vec<Request>) {
        for number in 0..(20.0 * WINDOW) as usize {
            let at = from + number as f64 * 0.05 + 0.01 * self.random.f64();
            let mut request = self.request(partner, if number % 4 == 0 { ORDERS } else { PRODUCTS }, at, 0);
            self.fate(&mut request);
            request.label = Label::Change(change);
            into.push(request);
        }
    }

    /// Which client; beyond all others is the next version of the first.
    fn client(&mut self, partner: usize, at: f64) -> usize {
        let shares: Vec<f64> = self.partners[partner].clients.iter().map(|client| client.share).collect();
        let client = share(&mut self.random, &shares);
        let rolled_out = (at - ROLLOUT.1) / (4.0 * HOUR);
        let is_new = partner == ROLLOUT.0 && client == 0 && is(&mut self.random, rolled_out);
        if is_new { shares.len() } else { client }
    }

    /// One request as this partner makes it, answered well.
    pub fn request(&mut self, partner: usize, route: usize, at: f64, client: usize) -> Request {
        let random = &mut self.random;
        let Partner { clients, catalogue, first_order, token, report, .. } = &self.partners[partner];
        let program = clients.get(client).unwrap_or(&self.next_version);
        let mut network = program.networks[popular(random, program.networks.len())];
        let mut label = Label::Usual;
        if client == clients.len() && at < ROLLOUT.1 + DAY {
            label = Label::Change(Change::NewVersion);
        }
        if partner == MOVE.0 && at >= MOVE.1 {
            network = self.new_network;
            if at < MOVE.1 + DAY {
                label = Label::Change(Change::NewNetwork);
            }
        }
        if partner == PARTNERS && at < JOINS + DAY {
            label = Label::Change(Change::NewPartner);
        }
        if (RUSH..RUSH + 4.0 * HOUR).contains(&at) {
            label = Label::Change(Change::Rush);
        }
        let (lifetime, renewed) = *token;
        let fields = |count: u32, bytes: u32| Fields {
            count: program.fields.count + count,
            bytes: program.fields.bytes + bytes,
            ..program.fields
        };
        let traced = if program.traces { (1, 55 + 11) } else { (0, 0) };
        let mut request = Request {
            at,
            partner,
            route,
            method: Method::GET,
            path: String::new(),
            query: None,
            fields: fields(traced.0, traced.1),
            content_type: None,
            body: 0,
            network,
            token_age: (at + 977.0 * (partner * 7 + client) as f64).rem_euclid(lifetime * renewed),
            status: 200,
            duration: log_normal(random, 0.025, 0.5),
            response_bytes: 0,
            label,
        };
        let has_body = |request: &mut Request, bytes: f64| {
            request.body = bytes as u64;
            request.content_type = Some(b"application/json");
            request.fields = fields(traced.0 + 2, traced.1 + 45);
        };
        match route {
            PRODUCTS => {
                let id = 100_000 + 7 * popular(random, *catalogue);
                match random.u8(..20) {
                    0..13 => request.path = format!("/api/products/{id}"),
                    13..16 => request.path = format!("/api/products/{id}/stock"),
                    16..18 => request.path = format!("/api/products/{id}/prices"),
                    _ => {
                        request.path = "/api/products".into();
                        request.query =
                            Some(format!("page={}&category={}", geometric(random, 3.0), 10 + popular(random, 40)));
                    }
                }
                request.response_bytes = log_normal(random, 1_400.0, 0.5) as u64;
                if is(random, 0.08) {
                    (request.status, request.response_bytes) = (304, 0);
                    request.fields = fields(traced.0 + 1, traced.1 + 30);
                }
            }
            SEARCH => {
                let mut query = String::from("q=");
                for at in 0..geometric(random, 1.6) {
                    query.push_str(if at > 0 { "+" } else { "" });
                    query.push_str(WORDS[popular(random, WORDS.len())]);
                }
                if is(random, 0.4) {
                    query.push_str(&format!("&page={}", geometric(random, 2.0)));
                }
                if is(random, 0.2) {
                    query.push_str("&sort=-price");
                }
                if is(random, 0.05) {
                    query.push_str("&filter=price%3E10%3Bcolor%3D%28red%7Cblue%29");
                }
                request.path = "/api/search".into();
                request.query = Some(query);
                request.duration = log_normal(random, 0.08, 0.6);
                request.response_bytes = log_normal(random, 6_000.0, 0.7) as u64;
            }
            ORDERS => {
                let newest = first_order + (at / 20.0) as u64;
                let order = newest.saturating_sub(popular(random, 3_000) as u64);
                request.path = format!("/api/orders/{order}");
                request.response_bytes = log_normal(random, 2_200.0, 0.6) as u64;
                match random.u8(..20) {
                    0..6 => {
                        request.method = Method::POST;
                        request.path = "/api/orders".into();
                        request.duration = log_normal(random, 0.12, 0.5);
                        request.status = 201;
                        has_body(&mut request, log_normal(random, 900.0, 0.8));
                    }
                    6 => {
                        request.method = Method::PATCH;
                        request.duration = log_normal(random, 0.06, 0.5);
                        has_body(&mut request, log_normal(random, 120.0, 0.4));
                    }
                    7..10 => request.path = format!("/api/orders/{order}/lines"),
                    _ => {}
                }
            }
            REPORTS => {
                let month = 1 + (11 + 12 - popular(random, 12)) % 12;
                let kind = PATHS[popular(random, PATHS.len())];
                request.path = format!("/api/reports/2026-{month:02}/{kind}");
                request.query = Some(format!("format={}", if is(random, 0.7) { "csv" } else { "json" }));
                request.response_bytes = log_normal(random, *report, 0.7) as u64;
                request.duration = 0.2 + request.response_bytes as f64 / 4e6 * log_normal(random, 1.0, 0.3);
            }
            _ => {
                request.method = Method::POST;
                request.path = "/api/login".into();
                request.duration = log_normal(random, 0.18, 0.2);
                request.response_bytes = log_normal(random, 900.0, 0.05) as u64;
                has_body(&mut request, log_normal(random, 75.0, 0.12));
            }
        }
        request
    }

    /// What goes wrong without anybody's doing: 1 to 2 % of all requests, more when the upstream is slow.
    pub fn fate(&mut self, request: &mut Request) {
        let random = &mut self.random;
        let is_slow = (SLOWDOWN..SLOWDOWN + 0.5 * HOUR).contains(&request.at);
        let mut fails = |chance: f64, status: u16, bytes: u64| {
            if is(random, chance) {
                (request.status, request.response_bytes) = (status, bytes);
            }
        };
        match request.route {
            PRODUCTS | REPORTS => fails(0.01, 404, 120),
            SEARCH => fails(0.004, 400, 180),
            ORDERS => fails(0.012, 409, 220),
            LOGIN => fails(0.04, 401, 110),
            _ => {}
        }
        fails(if is_slow { 0.06 } else { 0.003 }, 503, 90);
        if is_slow {
            request.duration *= log_normal(random, 6.0, 0.3);
            if request.label == Label::Usual {
                request.label = Label::Change(Change::Slowdown);
            }
        }
    }

    /// Of the same partners, which draws otherwise: so that what attackers do changes nothing else.
    pub fn beside(mut self, seed: u64) -> Self {
        self.random = Rng::with_seed(seed);
        self
    }

    /// Requests a second of a partner on a route, without weekends and changes.
    pub fn midday_rate(&self, partner: usize, route: usize) -> f64 {
        let Partner { weight, mix, .. } = &self.partners[partner];
        SESSIONS_PER_SECOND * weight * mix[route] * LENGTHS[route]
    }
}
