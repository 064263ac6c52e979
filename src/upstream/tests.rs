use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::base::location::Location;
use crate::config::checked::{EndpointAddress, Upstream, UpstreamProtocol, UpstreamTls};

const REFRESH: Duration = Duration::from_secs(30);

/// Answers each name from a script; the last line of a script is repeated. Remembers when it was asked.
struct Script {
    lines: Mutex<BTreeMap<&'static str, VecDeque<Line>>>,
    asked: watch::Sender<Vec<(String, Instant)>>,
}

#[derive(Clone)]
enum Line {
    Addresses(Vec<&'static str>),
    Fails,
    Hangs,
}

impl Script {
    fn new<const N: usize>(lines: [(&'static str, Vec<Line>); N]) -> Arc<Self> {
        let lines = lines.into_iter().map(|(name, lines)| (name, lines.into())).collect();
        Arc::new(Self { lines: Mutex::new(lines), asked: watch::Sender::new(Vec::new()) })
    }

    /// Waits until `count` questions were put, and their answers taken in, and returns when they came.
    async fn asked(&self, count: usize) -> Vec<Instant> {
        let mut asked = self.asked.subscribe();
        let times = asked.wait_for(|asked| asked.len() >= count).await.unwrap().iter().map(|(_, at)| *at).collect();
        tokio::task::yield_now().await;
        times
    }
}

#[async_trait]
impl Resolve for Script {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let line = {
            let mut lines = self.lines.lock().unwrap();
            let lines = lines.get_mut(host).expect("a name of the script");
            if lines.len() > 1 { lines.pop_front().unwrap() } else { lines[0].clone() }
        };
        self.asked.send_modify(|asked| asked.push((host.to_owned(), Instant::now())));
        match line {
            Line::Addresses(ips) => Ok(ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect()),
            Line::Fails => Err(io::Error::other("no such name")),
            Line::Hangs => std::future::pending().await,
        }
    }
}

fn upstream(endpoints: &[(&str, u16)]) -> Upstream {
    Upstream {
        name: "orders".into(),
        endpoints: endpoints.iter().map(|(host, port)| EndpointAddress { host: (*host).into(), port: *port }).collect(),
        protocol: UpstreamProtocol::Http1,
        tls: None,
        dns_refresh: REFRESH,
        at: Location::new("routes.yaml", 1, 1),
    }
}

fn start(spec: &Upstream, script: &Arc<Script>) -> Arc<Cluster> {
    Cluster::start(spec, Arc::clone(script) as Arc<dyn Resolve>, &Handle::current())
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn addresses_are_ready_at_once_and_ask_nobody() {
    let script = Script::new([]);
    let spec = upstream(&[("10.0.0.2", 80), ("[::1]", 81), ("::1", 81), ("10.0.0.1", 80), ("::ffff:10.0.0.1", 80)]);
    let cluster = start(&spec, &script);
    let began = Instant::now();
    assert!(cluster.ready().await);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(cluster.describe().endpoints, addresses(&["10.0.0.1:80", "10.0.0.2:80", "[::1]:81"]));
    assert!(cluster.describe().names.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_gets_its_turn() {
    let cluster = start(&upstream(&[("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80)]), &Script::new([]));
    let mut seen = BTreeMap::new();
    for _ in 0..300 {
        *seen.entry(cluster.pick().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), [100, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_elsewhere_and_loads_the_rest_evenly() {
    let cluster = start(&upstream(&[("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80)]), &Script::new([]));
    let tried = addresses(&["10.0.0.2:80"]);
    let mut seen = BTreeMap::new();
    for _ in 0..100 {
        *seen.entry(cluster.pick_excluding(&tried).unwrap()).or_insert(0) += 1;
    }
    let even: BTreeMap<SocketAddr, i32> =
        addresses(&["10.0.0.1:80", "10.0.0.3:80"]).into_iter().map(|a| (a, 50)).collect();
    assert_eq!(seen, even);
    assert_eq!(cluster.pick_excluding(&addresses(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"])), None);
}

#[tokio::test(start_paused = true)]
async fn a_name_gives_both_families_sorted_and_each_once() {
    let script =
        Script::new([("orders", vec![Line::Addresses(vec!["::1", "10.0.0.2", "10.0.0.1", "::ffff:10.0.0.1"])])]);
    let cluster = start(&upstream(&[("orders", 80), ("10.0.0.2", 80), ("orders", 80)]), &script);
    assert_eq!(cluster.pick(), Some("10.0.0.2:80".parse().unwrap()));
    assert!(cluster.ready().await);
    assert_eq!(cluster.describe().endpoints, addresses(&["10.0.0.1:80", "10.0.0.2:80", "[::1]:80"]));
    assert_eq!(script.asked(1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_resolved_again_within_a_tenth_of_the_refresh_time() {
    let script = Script::new([(
        "orders",
        vec![Line::Addresses(vec!["10.0.0.1"]), Line::Addresses(vec!["10.0.0.1"]), Line::Addresses(vec!["10.0.0.2"])],
    )]);
    let cluster = start(&upstream(&[("orders", 80)]), &script);
    let times = script.asked(20).await;
    for pair in times.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause >= REFRESH.mul_f64(0.9) && pause <= REFRESH.mul_f64(1.1) + Duration::from_millis(1), "{pause:?}");
    }
    assert_eq!(cluster.describe().endpoints, addresses(&["10.0.0.2:80"]));
    assert_eq!(cluster.resolve_failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_tried_for_with_growing_pauses() {
    let mut lines = vec![Line::Fails; 8];
    lines.push(Line::Addresses(vec!["10.0.0.1"]));
    let script = Script::new([("orders", lines)]);
    let cluster = start(&upstream(&[("orders", 80)]), &script);
    assert_eq!(cluster.pick(), None);
    let times = script.asked(9).await;
    let expected = [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000];
    for (pair, expected) in times.windows(2).zip(expected) {
        let pause = (pair[1] - pair[0]).as_secs_f64() * 1_000.0;
        assert!((pause - f64::from(expected)).abs() <= f64::from(expected) * 0.1 + 1.0, "{pause} for {expected}");
    }
    assert!(cluster.ready().await);
    let status = cluster.describe();
    assert_eq!((status.resolve_failures, status.names[0].failures), (8, 8));
    assert_eq!(status.names[0].failing_since, None);
    assert_eq!(status.names[0].last_failure.as_ref().unwrap().error, "no such name");
}

#[tokio::test(start_paused = true)]
async fn failure_keeps_the_last_good_answer() {
    let script = Script::new([(
        "orders",
        vec![Line::Addresses(vec!["10.0.0.1"]), Line::Fails, Line::Addresses(vec![]), Line::Fails],
    )]);
    let cluster = start(&upstream(&[("orders", 80)]), &script);
    script.asked(4).await;
    let status = cluster.describe();
    assert_eq!(status.endpoints, addresses(&["10.0.0.1:80"]));
    assert_eq!(status.names[0].addresses, status.endpoints);
    assert_eq!(status.resolve_failures, 3);
    assert!(status.names[0].failing_since.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_never_answers_has_failed() {
    let script = Script::new([("orders", vec![Line::Hangs, Line::Addresses(vec!["10.0.0.1"])])]);
    let cluster = start(&upstream(&[("orders", 80)]), &script);
    script.asked(2).await;
    assert_eq!(cluster.pick(), Some("10.0.0.1:80".parse().unwrap()));
    assert_eq!(cluster.resolve_failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_the_first_answers_but_not_for_ever() {
    let script = Script::new([("slow", vec![Line::Hangs]), ("fast", vec![Line::Addresses(vec!["10.0.0.1"])])]);
    for (endpoints, usable) in [(&[("slow", 80)][..], false), (&[("slow", 80), ("fast", 80)][..], true)] {
        let cluster = start(&upstream(endpoints), &script);
        let began = Instant::now();
        assert_eq!(cluster.ready().await, usable);
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(1) && waited < Duration::from_millis(1_100), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_does_not_wait_for_a_name_that_failed_beside_one_that_works() {
    let script = Script::new([("gone", vec![Line::Fails]), ("fast", vec![Line::Addresses(vec!["10.0.0.1"])])]);
    let cluster = start(&upstream(&[("gone", 80), ("fast", 80)]), &script);
    let began = Instant::now();
    assert!(cluster.ready().await);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_answer_does_not_disturb() {
    let script = Script::new([(
        "orders",
        vec![Line::Addresses(vec!["10.0.0.1", "10.0.0.2"]), Line::Addresses(vec!["10.0.0.2", "10.0.0.1", "10.0.0.2"])],
    )]);
    let spec = upstream(&[("orders", 80)]);
    let endpoints = endpoints::Endpoints::new(Arc::clone(&spec.name), &spec.endpoints);
    assert!(endpoints.record(0, script.resolve("orders", 80).await));
    let before = endpoints.with(<[SocketAddr]>::as_ptr);
    assert!(endpoints.record(0, script.resolve("orders", 80).await));
    assert_eq!(endpoints.with(<[SocketAddr]>::as_ptr), before);
    assert_eq!(endpoints.with(<[SocketAddr]>::len), 2);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_arc_stops_resolving() {
    let script = Script::new([("orders", vec![Line::Addresses(vec!["10.0.0.1"])])]);
    let cluster = start(&upstream(&[("orders", 80)]), &script);
    let other = Arc::clone(&cluster);
    drop(cluster);
    script.asked(3).await;
    let held = Arc::downgrade(&script);
    drop((other, script));
    tokio::time::timeout(REFRESH / 2, async {
        while held.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the task lets go of the resolver");
}

#[test]
fn identity_is_what_defines_a_cluster_and_nothing_else() {
    let spec = upstream(&[("a", 80), ("b", 80)]);
    let tls = UpstreamTls { server_name: "a".into(), ca: None };
    let moved = Upstream { at: Location::new("routes.yaml", 7, 3), ..upstream(&[("b", 80), ("a", 80), ("b", 80)]) };
    assert_eq!(Identity::of(&spec), Identity::of(&moved));
    for other in [
        upstream(&[("a", 80)]),
        upstream(&[("a", 80), ("b", 81)]),
        Upstream { name: "o".into(), ..spec.clone() },
        Upstream { protocol: UpstreamProtocol::Http2, ..spec.clone() },
        Upstream { tls: Some(tls), ..spec.clone() },
        Upstream { dns_refresh: REFRESH * 2, ..spec.clone() },
    ] {
        assert_ne!(Identity::of(&spec), Identity::of(&other), "{other:?}");
    }
}

#[tokio::test]
async fn the_system_knows_localhost() {
    let spec = upstream(&[("localhost", 80)]);
    let cluster = Cluster::start(&spec, Arc::new(SystemResolver), &Handle::current());
    assert!(cluster.ready().await);
    assert!(cluster.pick().unwrap().ip().is_loopback());
}

#[test]
fn many_threads_pick_at_once_and_each_endpoint_still_gets_its_share() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cluster =
        Cluster::start(&upstream(&[("10.0.0.1", 80), ("10.0.0.2", 80)]), Arc::new(SystemResolver), runtime.handle());
    let first: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let count = || (0..1_000).filter(|_| cluster.pick() == Some(first)).count();
    let total: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(total, 2_000);
}
