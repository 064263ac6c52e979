//! Who calls: partners, their clients, and what is usual for each.

use fastrand::Rng;
use sluice::anomaly::features::Fields;

use super::chance::{log_normal, popular};

pub const ROUTES: [&str; 5] = ["products", "search", "orders", "reports", "login"];
pub const PRODUCTS: usize = 0;
pub const SEARCH: usize = 1;
pub const ORDERS: usize = 2;
pub const REPORTS: usize = 3;
pub const LOGIN: usize = 4;

pub const HOUR: f64 = 3_600.0;
pub const DAY: f64 = 24.0 * HOUR;

/// Partners from the beginning; one more joins later.
pub const PARTNERS: usize = 20;

pub struct Partner {
    /// Of all sessions.
    pub weight: f64,
    /// Of its sessions.
    pub mix: [f64; ROUTES.len()],
    /// Hours that its day is ahead of UTC.
    pub ahead: f64,
    /// Of the rate at midday, at night and on weekends.
    pub night: f64,
    pub weekend: f64,
    pub clients: Vec<Client>,
    /// Products that it asks for, and where its orders begin.
    pub catalogue: usize,
    pub first_order: u64,
    /// Seconds for which a token is valid, and the part of that after which it is renewed.
    pub token: (f64, f64),
    /// Median bytes of its reports.
    pub report: f64,
    /// Seconds between two polls of its order list.
    pub poll: Option<f64>,
    /// Seconds between the requests of a session.
    pub gap: f64,
}

/// A program of a partner: what it sends with every request, and from where.
#[derive(Clone)]
pub struct Client {
    pub fields: Fields,
    pub networks: Vec<u64>,
    /// Of the sessions of its partner.
    pub share: f64,
    /// Adds an id to each request.
    pub traces: bool,
}

const AGENTS: [(&str, &[&str]); 8] = [
    ("okhttp/4.12.0", &["host", "user-agent", "accept", "accept-encoding", "x-api-version"]),
    ("python-requests/2.32.3", &["host", "user-agent", "accept-encoding", "accept", "connection"]),
    ("Java-http-client/21.0.4", &["host", "user-agent", "accept"]),
    ("axios/1.7.7", &["accept", "user-agent", "accept-encoding", "host", "connection"]),
    ("Go-http-client/1.1", &["host", "user-agent", "accept-encoding"]),
    ("GuzzleHttp/7", &["host", "accept", "user-agent", "x-partner-id"]),
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        &[
            "host",
            "sec-ch-ua",
            "sec-ch-ua-mobile",
            "user-agent",
            "accept",
            "sec-fetch-site",
            "sec-fetch-mode",
            "accept-language",
        ],
    ),
    ("erp-connector/3.4", &["host", "accept", "accept-language", "user-agent", "x-erp-site", "x-erp-user"]),
];

/// What an attacker's own program sends.
pub fn tool(number: usize) -> Fields {
    let tools: [(&str, &[&str]); 4] = [
        ("python-requests/2.31.0", &["host", "user-agent", "accept-encoding", "accept", "connection"]),
        (
            "sqlmap/1.8#stable (https://sqlmap.org)",
            &["host", "cache-control", "user-agent", "accept", "accept-encoding"],
        ),
        ("curl/8.5.0", &["host", "user-agent", "accept"]),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101 Firefox/115.0",
            &["host", "user-agent", "accept", "accept-language", "dnt"],
        ),
    ];
    let (agent, names) = tools[number % tools.len()];
    fields(agent, names, 820)
}

/// As a program sends them, with a token of so many bytes.
fn fields(agent: &str, names: &[&str], token: usize) -> Fields {
    let value = |name: &str| match name {
        "user-agent" => agent.as_bytes().to_vec(),
        "authorization" => vec![b'x'; token],
        _ => vec![b'v'; 12],
    };
    let all: Vec<(&str, Vec<u8>)> = names.iter().chain(&["authorization"]).map(|name| (*name, value(name))).collect();
    Fields::of(all.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())))
}

impl Client {
    fn new(random: &mut Rng, share: f64) -> Self {
        let (agent, names) = AGENTS[random.usize(..AGENTS.len())];
        let agent = format!("{agent} build/{}", random.u16(..));
        let networks = (0..random.usize(1..4)).map(|_| random.u64(..)).collect();
        Self { fields: fields(&agent, names, random.usize(600..1_100)), networks, share, traces: random.bool() }
    }

    /// The next version: another agent, one more field.
    pub fn next_version(&self, random: &mut Rng) -> Self {
        let mut next = self.clone();
        next.fields.agent = random.u64(1..);
        next.fields.order = random.u64(..);
        next.fields.count += 1;
        next.fields.bytes += 24;
        next
    }
}

impl Partner {
    fn new(rank: usize, random: &mut Rng) -> Self {
        let clients = (0..random.usize(1..5)).map(|at| Client::new(random, 1.0 / (at + 1) as f64)).collect();
        let mut mix = [0.42, 0.25, 0.2, 0.03, 0.1];
        mix.iter_mut().for_each(|part| *part *= log_normal(random, 1.0, 0.6));
        let sum: f64 = mix.iter().sum();
        let lifetime = [300.0, HOUR, 8.0 * HOUR, DAY][random.usize(..4)];
        let is_machine = random.u8(..3) == 0;
        Self {
            weight: 1.0 / (rank + 1) as f64,
            mix: mix.map(|part| part / sum),
            ahead: [0.0, 1.0, 1.0, 2.0, 8.0, -5.0][random.usize(..6)],
            night: if is_machine { 0.5 } else { 0.04 + 0.1 * random.f64() },
            weekend: if is_machine { 0.7 } else { 0.1 + 0.3 * random.f64() },
            clients,
            catalogue: 200 + popular(random, 5_000),
            first_order: random.u64(10_000..90_000_000),
            token: (lifetime, [0.05, 0.5, 0.9][random.usize(..3)]),
            report: log_normal(random, 150_000.0, 1.0),
            poll: (random.u8(..3) == 0).then(|| 20.0 + 100.0 * random.f64()),
            gap: if is_machine { 0.3 } else { log_normal(random, 2.5, 0.5) },
        }
    }

    /// Of its rate at midday.
    pub fn rhythm(&self, at: f64) -> f64 {
        let local = at + self.ahead * HOUR;
        let hour = local.rem_euclid(DAY) / HOUR;
        // Thursday is the first day.
        let is_weekend = matches!((local / DAY).floor().rem_euclid(7.0) as u8, 2 | 3);
        let day = (-((hour - 13.0) / 4.5).powi(4)).exp();
        (self.night + (1.0 - self.night) * day) * if is_weekend { self.weekend } else { 1.0 }
    }
}

/// All partners; the last is the one that joins.
pub fn partners(seed: u64) -> Vec<Partner> {
    let mut random = Rng::with_seed(seed);
    let mut partners: Vec<Partner> = (0..=PARTNERS).map(|rank| Partner::new(rank, &mut random)).collect();
    // Not the smallest, so that there is something to see.
    partners[PARTNERS].weight = 0.12;
    let sum: f64 = partners.iter().map(|partner| partner.weight).sum();
    partners.iter_mut().for_each(|partner| partner.weight /= sum);
    partners
}
