//! What survives a reload and a restart: models, samples, and where callers stand.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;

use super::scene::{BOTH, Caller, File, SHARE, Scene, Setup, json_of, odd, orders, seen, train, usual, version};
use crate::cli::process::{Place, bootstrap};
use crate::support::gateway::Folder;
use crate::support::{TestGateway, eventually};

fn kept_in(folder: &Folder) -> Setup {
    let mut setup = Setup::new();
    setup.builder = setup.builder.set("anomaly", &format!("{{ folder: \"{}\" }}", folder.path().display()));
    setup
}

/// The same routes behind a gateway that has just started.
async fn restarted(folder: &Folder, scene: Scene, anomaly: &str) -> Result<Scene, String> {
    let Scene { gateway, upstream, callers, file, route, settings } = scene;
    drop(gateway);
    let builder = kept_in(folder).builder;
    let gateway = builder.try_start(&super::scene::written(&file, &route, anomaly, &settings)).await?;
    Ok(Scene { gateway, upstream, callers, file, route, settings })
}

async fn versions(gateway: &TestGateway) -> Vec<String> {
    let models = json_of(gateway, "/anomaly/models").await;
    let list = models["models"].as_array().unwrap();
    assert_eq!(models["count"], list.len());
    list.iter().map(|model| model["version"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn models_survive_a_restart_and_can_be_pinned() {
    let folder = Folder::new();
    let observe = format!("{{ {SHARE} }}");
    let scene = kept_in(&folder).trained(&observe).await;
    let first = version(&scene.gateway).await.unwrap();
    let scene = restarted(&folder, scene, &observe).await.unwrap();
    assert_eq!(version(&scene.gateway).await.as_ref(), Some(&first));
    let route = orders(&scene.gateway).await;
    assert_eq!((&route["state"], &route["rows"]), (&json!("judged by its own model"), &json!(0)));
    let mut caller = scene.caller(BOTH[0]).await;
    let (_, line) = scene.log_of(usual(&mut caller, &scene.callers[0])).await;
    assert!(line["anomaly_score"].is_number(), "{line}");

    // What is pinned judges, whatever is made meanwhile.
    let pinned = format!("{{ {SHARE}, model: {first} }}");
    scene.reload(&pinned).await;
    scene.send_usual(super::scene::WARM_UP + 30).await;
    let second = train(&scene.gateway).await;
    assert_ne!(first, second);
    let route = orders(&scene.gateway).await;
    assert_eq!((&route["model"]["version"], &route["pinned"]), (&json!(first), &json!(true)));
    assert_eq!(versions(&scene.gateway).await, [&*second, &*first]);
    scene.reload(&observe).await;
    assert_eq!(version(&scene.gateway).await.as_ref(), Some(&second));

    // A shadow judges beside it, and decides nothing.
    scene.reload(&format!("{{ action: block, {SHARE}, shadow: {first} }}")).await;
    let route = orders(&scene.gateway).await;
    assert_eq!((&route["shadow"], &route["model"]["version"]), (&json!(first), &json!(second)));
    let mut caller = scene.caller(BOTH[1]).await;
    for who in &scene.callers {
        usual(&mut caller, who).await;
    }
    odd(&mut caller, &scene.callers[0]).await.refused(403, "ANOMALOUS");
    let agreement = async |name: &str| {
        let sample = format!(r#"sluice_anomaly_shadow_total{{route="orders",agreement="{name}"}}"#);
        scene.gateway.metrics_value(&sample).await
    };
    scene.gateway.metric_reaches(r#"sluice_anomaly_shadow_total{route="orders"}"#, 9.0).await;
    assert!(agreement("neither").await >= 4.0, "the usual ones");
    let said = orders(&scene.gateway).await;
    for name in ["both", "only_model", "only_shadow", "neither"] {
        assert_eq!(said["agreement"][name].as_f64().unwrap(), agreement(name).await, "{name}");
    }

    // A restart takes the newest, or the one that is pinned.
    let scene = restarted(&folder, scene, &pinned).await.unwrap();
    assert_eq!(version(&scene.gateway).await.as_ref(), Some(&first));

    // What is not there closes the route, and keeps a gateway from starting.
    let lost = pinned.replace(&first, "20200101T000000Z-00000000");
    scene.reload(&lost).await;
    let mut caller = scene.caller(BOTH[0]).await;
    usual(&mut caller, &scene.callers[0]).await.refused(503, "ROUTE_FAULTY");
    scene.reload(&observe).await;
    assert_eq!(usual(&mut caller, &scene.callers[0]).await.status, 200);
    let complaint = restarted(&folder, scene, &lost).await.err().unwrap();
    for told in ["20200101T000000Z-00000000", &*folder.path().display().to_string()] {
        assert!(complaint.contains(told), "{complaint}");
    }
}

/// A copy of a model under another name, with another content.
fn changed(folder: &Path, name: &str, change: impl Fn(&mut Vec<u8>)) {
    let model = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let model = model.into_iter().find(|path| path.to_str().unwrap().contains("orders--")).unwrap();
    let mut bytes = std::fs::read(model).unwrap();
    change(&mut bytes);
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// Where the checksum of a model file begins, and what it is of.
const CHECKSUM: usize = 12;
const PAYLOAD: usize = CHECKSUM + 32;

#[tokio::test]
async fn what_cannot_be_read_is_said_and_keeps_nothing_from_starting() {
    let folder = Folder::new();
    let scene = kept_in(&folder).trained("observe").await;
    let first = version(&scene.gateway).await.unwrap();
    changed(folder.path(), "orders--20990101T000000Z-00000001.model", |bytes| bytes[PAYLOAD + 1_000] ^= 1);
    changed(folder.path(), "orders--20990101T000000Z-00000002.model", |bytes| bytes.truncate(700));
    changed(folder.path(), "orders--20990101T000000Z-00000003.model", |bytes| {
        // Another digest of the table of features, under a seal that is whole.
        bytes[PAYLOAD] ^= 1;
        let sealed = digest(&SHA256, &bytes[PAYLOAD..]);
        bytes[CHECKSUM..PAYLOAD].copy_from_slice(sealed.as_ref());
    });
    let routes = scene.with("observe");
    let scene = restarted(&folder, scene, "observe").await.unwrap();
    assert_eq!(version(&scene.gateway).await, Some(first.clone()), "the newest that can be read");
    assert_eq!(versions(&scene.gateway).await, [first]);
    scene.gateway.metric_reaches("sluice_anomaly_damaged_models_total", 3.0).await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "they are left where they are");

    let place = Place::new();
    place.write("routes.yaml", routes);
    place.write("config/gateway.yaml", bootstrap(&format!("anomaly: {{ folder: \"{}\" }}\n", folder.path().display())));
    let process = place.start(&["run", "--format", "json"]);
    process.started().await;
    for (file, fault) in [
        ("00000001.model", "its checksum is another one"),
        ("00000002.model", "its checksum is another one"),
        ("00000003.model", "made for another table of features"),
    ] {
        let said = process.says(file).await;
        let line = said.lines().find(|line| line.contains(file)).unwrap();
        assert!(line.contains(fault), "{line}");
    }
}

/// A caller whose unusual requests have to wait for an hour.
async fn throttled(scene: &Scene) -> Caller {
    let (mut caller, who) = (scene.caller(BOTH[0]).await, &scene.callers[0]);
    assert_eq!(odd(&mut caller, who).await.status, 200);
    odd(&mut caller, who).await.refused(429, "ANOMALY_THROTTLED");
    caller
}

/// The routes file with one more route.
fn with_second(scene: &Scene) -> File {
    scene.file.clone().route("second", "auth: none, respond: { body: good }, anomaly: observe")
}

/// Waits until replaced snapshots were let go, after the first request to a route that is new.
async fn housekeeping(gateway: &TestGateway) {
    let kept_house = async || {
        let warm_up = gateway.metrics_value(r#"sluice_anomaly_warm_up_ratio{route="second"}"#).await;
        (warm_up > 0.0).then_some(())
    };
    eventually("housekeeping", kept_house).await;
}

#[tokio::test]
async fn a_mistake_in_a_route_loses_nothing_that_it_has_learned() {
    let throttle = format!("{{ action: throttle, {SHARE}, throttle: 1/h, cool_down: 1h }}");
    let scene = Scene::trained(&throttle).await;
    let (model, learned) = (version(&scene.gateway).await, seen(&scene.gateway).await);
    let (mut caller, acme) = (throttled(&scene).await, &scene.callers[0]);
    let another = with_second(&scene);
    let with = |route: &str, anomaly: &str| super::scene::written(&another, route, anomaly, &scene.settings);
    let lost = format!("{{ {SHARE}, model: 20200101T000000Z-00000000 }}");
    for faulty in [with(&scene.route, &lost), with(&scene.route.replace("app", "nowhere"), &throttle)] {
        scene.gateway.reload_with(&faulty).await;
        usual(&mut caller, acme).await.refused(503, "ROUTE_FAULTY");
    }
    assert_eq!(caller.get("/second/", &[]).await.status, 200);
    housekeeping(&scene.gateway).await;
    scene.gateway.reload_with(&with(&scene.route, &throttle)).await;
    assert_eq!(version(&scene.gateway).await, model);
    assert!(seen(&scene.gateway).await >= learned);
    odd(&mut caller, acme).await.refused(429, "ANOMALY_THROTTLED");
}

#[tokio::test]
async fn a_reload_keeps_what_was_learned_and_where_callers_stand() {
    let throttle = format!("{{ action: throttle, {SHARE}, throttle: 1/h, cool_down: 1h }}");
    let scene = Scene::trained(&throttle).await;
    let (model, learned) = (version(&scene.gateway).await, seen(&scene.gateway).await);
    let (mut caller, acme) = (throttled(&scene).await, &scene.callers[0]);
    let another = with_second(&scene);
    let settings = format!("{}, half_life: 2d, caller_share: 50%", scene.settings);
    for routes in [
        super::scene::written(&another, &scene.route, &throttle, &scene.settings),
        super::scene::written(&scene.file, &scene.route, &throttle.replace("0.6%", "0.5%"), &settings),
    ] {
        scene.gateway.reload_with(&routes).await;
        assert_eq!(version(&scene.gateway).await, model);
        assert!(seen(&scene.gateway).await >= learned);
        odd(&mut caller, acme).await.refused(429, "ANOMALY_THROTTLED");
    }

    // A route that was away begins anew, once housekeeping has let go of the routes before.
    let without = with_second(&scene);
    scene.gateway.reload_with(&without.to_string()).await;
    assert_eq!(usual(&mut caller, acme).await.status, 404);
    assert_eq!(caller.get("/second/", &[]).await.status, 200);
    housekeeping(&scene.gateway).await;
    scene.reload(&throttle).await;
    let route = orders(&scene.gateway).await;
    assert_eq!((&route["rows"], &route["seen"]), (&json!(0), &json!(0)));
    assert_eq!(odd(&mut caller, acme).await.status, 200, "nobody stands anywhere yet");
}
