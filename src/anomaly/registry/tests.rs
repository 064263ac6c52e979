use super::Outcome as Made;
use super::models::GONE;
use super::*;
use crate::anomaly::features::{Arrival, Fields, Outcome};
use crate::anomaly::forest::{Forest, Options, Rows};
use crate::anomaly::ladder::{Action, Ladder};
use crate::anomaly::model::{Part, Tails};
use crate::anomaly::profile::Place;
use crate::anomaly::watch::Arrived;

const HOUR: Duration = Duration::from_secs(3_600);

fn policy(model: Option<&str>, shadow: Option<&str>) -> AnomalyPolicy {
    AnomalyPolicy {
        ladder: Ladder {
            rungs: vec![(Action::Observe, 0.001)],
            cool_down: Duration::from_secs(300),
            throttle: Duration::from_secs(1),
        },
        header: http::HeaderName::from_static("x-anomaly-score"),
        explain: false,
        model: model.map(Into::into),
        shadow: shadow.map(Into::into),
    }
}

fn model(version: &str, route: Option<&str>, made_at: Duration) -> Arc<Model> {
    let values = [0.0, 1.0, 2.0, 3.0];
    let part = || Part {
        forest: Forest::grow(Rows { columns: 1, values: &values }, Options::default()).unwrap(),
        tails: Tails::of(&mut [0.4, 0.5, 0.6]),
        medians: Box::new([1.5]),
    };
    Arc::new(Model {
        version: version.into(),
        route: route.map(Into::into),
        made_at,
        window: (Duration::ZERO, made_at),
        rows: 4,
        arrival: part(),
        outcome: part(),
    })
}

/// With these models, the newest first.
fn registry(models: Vec<Arc<Model>>) -> Registry {
    Registry::new(Models { folder: None, is_detached: false, kept: Mutex::new(models) }, 1_000)
}

/// As a reload does that has come to its end.
fn under_watch(registry: &Registry, route: &Arc<str>, policy: &AnomalyPolicy) -> Arc<Watch> {
    let (watch, pins) = registry.find(route, policy).unwrap();
    registry.judge(&watch, &pins);
    watch
}

fn version(of: &ArcSwapOption<Model>) -> Option<Arc<str>> {
    of.load().as_ref().map(|model| Arc::clone(&model.version))
}

#[test]
fn a_watch_lives_as_long_as_somebody_has_it() {
    let registry = registry(Vec::new());
    let first = under_watch(&registry, &"orders".into(), &policy(None, None));
    let again = under_watch(&registry, &"orders".into(), &policy(None, None));
    assert!(Arc::ptr_eq(&first, &again));
    let other = under_watch(&registry, &"prices".into(), &policy(None, None));
    assert!(!Arc::ptr_eq(&first, &other));
    assert_eq!(registry.watches().len(), 2);
    drop((first, again));
    assert_eq!(registry.watches().len(), 1);
    assert_eq!(lock(&registry.watched).len(), 1, "nothing is left of a route that is gone");
}

#[test]
fn the_newest_model_of_the_route_judges_unless_one_is_pinned() {
    let (new, old) = (model("2", Some("orders"), 2 * HOUR), model("1", Some("orders"), HOUR));
    let registry = registry(vec![model("3", Some("prices"), 3 * HOUR), new, old]);
    let route = "orders".into();
    let watch = under_watch(&registry, &route, &policy(None, None));
    assert_eq!(version(&watch.model).as_deref(), Some("2"));
    assert_eq!(version(&watch.shadow), None);
    under_watch(&registry, &route, &policy(Some("1"), Some("3")));
    assert_eq!(version(&watch.model).as_deref(), Some("1"));
    assert_eq!(version(&watch.shadow).as_deref(), Some("3"));
    under_watch(&registry, &route, &policy(None, None));
    assert_eq!((version(&watch.model).as_deref(), version(&watch.shadow)), (Some("2"), None));
}

#[test]
fn a_pinned_model_that_is_not_there_is_an_error_and_changes_nothing() {
    let registry = registry(vec![model("1", Some("orders"), HOUR)]);
    let route = "orders".into();
    let watch = under_watch(&registry, &route, &policy(None, None));
    for (wrong, key) in [(policy(Some("9"), None), "anomaly.model"), (policy(None, Some("9")), "anomaly.shadow")] {
        let error = registry.find(&route, &wrong).unwrap_err();
        assert!(error.contains(key) && error.contains("`9`") && error.contains("anomaly.folder"), "{error}");
    }
    assert_eq!(version(&watch.model).as_deref(), Some("1"));
    assert!(Registry::default().find(&route, &policy(Some("9"), Some("8"))).is_ok(), "nothing is served from there");
}

#[test]
fn what_is_only_looked_for_judges_nothing_and_is_no_pin() {
    let registry = registry(vec![model("2", Some("orders"), 2 * HOUR), model("1", Some("orders"), HOUR)]);
    let route = "orders".into();
    let running = under_watch(&registry, &route, &policy(None, None));
    let (found, pins) = registry.find(&route, &policy(Some("1"), Some("1"))).unwrap();
    assert!(Arc::ptr_eq(&found, &running));
    assert_eq!((version(&running.model).as_deref(), version(&running.shadow)), (Some("2"), None));
    registry.configure(&AnomalySettings { keep: 2, ..AnomalySettings::default() });
    registry.adopt(&model("3", Some("orders"), 3 * HOUR)).unwrap();
    assert_eq!(version(&running.model).as_deref(), Some("3"), "nobody has pinned another");
    let versions: Vec<_> = registry.models().iter().map(|model| model.version.to_string()).collect();
    assert_eq!(versions, ["3", "2"]);
    registry.judge(&found, &pins);
    assert_eq!((version(&running.model).as_deref(), version(&running.shadow).as_deref()), (Some("1"), Some("1")));
}

#[test]
fn a_new_model_judges_at_once_but_where_another_one_is_pinned() {
    let registry = registry(vec![model("1", Some("orders"), HOUR)]);
    let free = under_watch(&registry, &"prices".into(), &policy(None, None));
    let pinned = under_watch(&registry, &"orders".into(), &policy(Some("1"), None));
    registry.adopt(&model("2", Some("prices"), 2 * HOUR)).unwrap();
    registry.adopt(&model("3", Some("orders"), 2 * HOUR)).unwrap();
    registry.adopt(&model("4", None, 2 * HOUR)).unwrap();
    assert_eq!(version(&free.model).as_deref(), Some("2"));
    assert_eq!(version(&pinned.model).as_deref(), Some("1"));
    assert_eq!(version(&registry.shared.fallback).as_deref(), Some("4"));
    under_watch(&registry, &"orders".into(), &policy(None, None));
    assert_eq!(version(&pinned.model).as_deref(), Some("3"), "it waited for the pin to be taken off");
}

#[test]
fn so_many_models_of_a_route_are_kept_and_those_that_are_pinned() {
    let registry = registry(vec![model("0", Some("orders"), HOUR), model("p", Some("prices"), HOUR)]);
    registry.configure(&AnomalySettings { keep: 2, ..AnomalySettings::default() });
    let _pinned = under_watch(&registry, &"orders".into(), &policy(Some("0"), None));
    for version in ["1", "2", "3"] {
        registry.adopt(&model(version, Some("orders"), 2 * HOUR)).unwrap();
    }
    let versions: Vec<_> = registry.models().iter().map(|model| model.version.to_string()).collect();
    assert_eq!(versions, ["3", "2", "0", "p"]);
}

#[test]
fn of_routes_that_are_gone_the_newest_models_stay() {
    let gone = |number: usize| format!("gone-{number}");
    let models = (0..GONE + 5).rev().map(|at| model(&at.to_string(), Some(&gone(at)), Duration::from_secs(at as u64)));
    let kept = [model("n", Some("orders"), Duration::ZERO), model("f", None, Duration::ZERO)];
    let registry = registry(models.chain(kept).collect());
    let runs = under_watch(&registry, &"orders".into(), &policy(None, None));
    let pins = under_watch(&registry, &"prices".into(), &policy(Some("2"), None));
    registry.adopt(&model("p", Some("prices"), HOUR)).unwrap();
    let versions: Vec<_> = registry.models().iter().map(|model| model.version.to_string()).collect();
    let mut expected = vec!["p".to_owned()];
    expected.extend((5..GONE + 5).rev().map(|at| at.to_string()));
    expected.extend(["2", "n", "f"].map(str::to_owned));
    assert_eq!(versions, expected, "pinned ones stay, and those of routes that run, however old");
    let back = under_watch(&registry, &gone(5).into(), &policy(None, None));
    assert_eq!(version(&back.model).as_deref(), Some("5"));
    drop((runs, pins));
}

#[test]
fn settings_hold_for_watches_that_are_there_and_for_those_to_come() {
    let registry = registry(Vec::new());
    let before = under_watch(&registry, &"orders".into(), &policy(None, None));
    let settings = AnomalySettings { half_life: HOUR, caller_share: 0.5, warm_up: 300, ..AnomalySettings::default() };
    registry.configure(&settings);
    let after = under_watch(&registry, &"prices".into(), &policy(None, None));
    for watch in [before, after] {
        assert_eq!(lock(&watch.reservoir).settings(), sample(&settings));
        assert_eq!(registry.numbers(&watch), Numbers { rows: 0, needed: 300, seen: 0, drift: None });
    }
}

#[test]
fn nothing_is_made_of_nothing() {
    let registry = registry(Vec::new());
    let watch = under_watch(&registry, &"orders".into(), &policy(None, None));
    assert!(registry.tick(HOUR).is_empty() && registry.train_now(None, HOUR).is_empty());
    assert!(registry.train_now(Some("orders"), HOUR).is_empty());
    assert_eq!(version(&watch.model), None);
}

/// A request of this caller, in its own way.
fn request(registry: &Registry, watch: &Watch, caller: u64, at: u64, path: &str) -> Arrived {
    let arrival = Arrival {
        at: Duration::from_millis(100 * at),
        wall: HOUR + Duration::from_millis(100 * at),
        method: &http::Method::GET,
        path,
        query: None,
        fields: Fields::of([(&b"host"[..], &b"api.test"[..])].into_iter()),
        content_type: None,
        body: Some(0),
        caller,
        network: caller,
        token_age: None,
    };
    let mut arrived = watch.arrive(&registry.shared, &policy(None, None).ladder, &arrival, None);
    let outcome = Outcome {
        at: arrival.at + Duration::from_millis(10 + at % 7),
        duration: Duration::from_millis(10 + at % 7),
        status: 200,
        request_bytes: 0,
        response_bytes: 900 + at % 50,
        is_failure: false,
    };
    watch.leave(&registry.shared, &mut arrived, &outcome);
    arrived
}

#[test]
fn models_are_made_of_what_came_and_judge_what_comes() {
    let registry = registry(Vec::new());
    registry.configure(&AnomalySettings { warm_up: 1_000, retrain: HOUR, ..AnomalySettings::default() });
    let orders = under_watch(&registry, &"orders".into(), &policy(None, None));
    let prices = under_watch(&registry, &"prices".into(), &policy(None, None));
    for at in 0..999 {
        let arrived = request(&registry, &orders, at % 5, at, &format!("/orders/{}", at % 40));
        assert!(arrived.judged.is_none() && arrived.verdict.action == Action::Observe, "not enough data");
    }
    assert!(registry.tick(HOUR).is_empty(), "999 are too few");
    (0..400).for_each(|at| drop(request(&registry, &prices, at % 5, at, "/prices")));
    request(&registry, &orders, 0, 1_000, "/orders/1");
    let made = registry.tick(HOUR);
    let routes: Vec<_> = made.iter().map(|one| (one.route.as_deref(), matches!(one.outcome, Made::Made(_)))).collect();
    assert_eq!(routes, [(Some("orders"), true), (None, true)], "and one for routes that are new");
    assert!(registry.tick(HOUR + HOUR / 2).is_empty(), "not yet due again");
    let usual = request(&registry, &orders, 0, 1_001, "/orders/7").judged.unwrap();
    let odd =
        request(&registry, &orders, 0, 1_002, &format!("/orders/{}/{}", "..%27--<script>".repeat(40), "/a".repeat(60)));
    let odd = odd.judged.unwrap();
    assert!(odd.score > usual.score && odd.rarity < 0.05, "{odd:?} {usual:?}");
    assert!(request(&registry, &prices, 0, 1_001, "/prices").judged.is_some(), "by the model of all");
    let again = registry.tick(2 * HOUR);
    assert_eq!(again.len(), 2, "{again:?}");
    assert!(registry.tick(9 * HOUR).is_empty(), "nothing is new");
}

#[test]
fn a_window_of_a_caller_ends_with_all_others() {
    let registry = registry(Vec::new());
    let orders = under_watch(&registry, &"orders".into(), &policy(None, None));
    (0..50).for_each(|at| drop(request(&registry, &orders, 1, at, "/orders")));
    let place = Place { route: orders.number, caller: 1 };
    assert_eq!(registry.shared.profiles.with(place, |profile| profile.counts.requests), 50);
    registry.close_windows();
    assert_eq!(registry.shared.profiles.with(place, |profile| profile.counts.requests), 0);
}

/// Removed in the end.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new() -> Self {
        let name = format!("sluice-registry-{}-{:x}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }

    fn folder(&self) -> Folder {
        Folder::open(&self.0).unwrap()
    }

    fn registry(&self) -> Registry {
        Registry::open(Some(&self.0), 1_000).unwrap().0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As the folder has it, made after so many hours.
fn made(route: &str, hours: u32) -> Model {
    let mut random = fastrand::Rng::with_seed(hours.into());
    let mut seen = |caller| Seen { caller, at: HOUR, row: crate::anomaly::Row(std::array::from_fn(|_| random.f32())) };
    let rows: Vec<Seen> = (0..300).map(&mut seen).collect();
    Model::make(Some(route.into()), &rows, hours * HOUR).unwrap()
}

#[test]
fn a_model_that_came_into_the_folder_since_judges_whoever_names_it_and_all_from_the_next_start() {
    let temporary = Temporary::new();
    let registry = temporary.registry();
    let model = made("orders", 1);
    assert!(registry.find(&"orders".into(), &policy(Some(&model.version), None)).is_err());
    temporary.folder().save(&model, 5, &[]).unwrap();
    let watch = under_watch(&registry, &"orders".into(), &policy(None, Some(&model.version)));
    assert_eq!((version(&watch.model), version(&watch.shadow)), (None, Some(Arc::clone(&model.version))));
    under_watch(&registry, &"orders".into(), &policy(Some(&model.version), None));
    assert_eq!(version(&watch.model), Some(Arc::clone(&model.version)));
    under_watch(&registry, &"orders".into(), &policy(None, None));
    assert_eq!(version(&watch.model), None, "a reload takes none from the folder that is not named");
    let watch = under_watch(&temporary.registry(), &"orders".into(), &policy(None, None));
    assert_eq!(version(&watch.model), Some(model.version), "a start takes the newest");
}

#[test]
fn a_pinned_model_that_judges_outlives_its_file() {
    let temporary = Temporary::new();
    let models = [made("orders", 1), made("orders", 2), made("orders", 3)];
    models.iter().for_each(|model| drop(temporary.folder().save(model, 5, &[]).unwrap()));
    let registry = temporary.registry();
    let pinned = policy(Some(&models[0].version), Some(&models[1].version));
    let watch = under_watch(&registry, &"orders".into(), &pinned);
    temporary.folder().save(&models[2], 1, &[]).unwrap();
    under_watch(&registry, &"orders".into(), &pinned);
    assert_eq!(version(&watch.model).as_ref(), Some(&models[0].version));
    assert_eq!(version(&watch.shadow).as_ref(), Some(&models[1].version));
    assert!(registry.find(&"prices".into(), &pinned).is_ok(), "nor is it gone for other routes");
    assert!(temporary.registry().find(&"orders".into(), &pinned).is_err(), "but for the next start");
}
