//! What operators see and do: the admin API, `sluice explain` and `sluice check`.

use serde_json::{Value, json};

use super::scene::{SHARE, Setup, WARM_UP, anomaly, json_of, orders, seen};
use crate::cli::process::Place;
use crate::support::eventually;

#[tokio::test]
async fn the_admin_api_tells_what_was_learned_and_makes_models() {
    let mut setup = Setup::new();
    setup.file = setup.file.route("quiet", "auth: { api_key: {} }, upstream: app, anomaly: { action: tag }");
    let scene = setup.start(&format!("{{ action: tag, {SHARE} }}")).await;
    let gateway = &scene.gateway;
    let train = async |query: &str| gateway.admin_send("POST", &format!("/anomaly/train{query}"), "").await;
    for (query, status) in [("?route=nobody", 404), ("?route=quiet", 409), ("?route=", 400), ("?x=1", 400)] {
        assert_eq!(train(query).await.0, status, "{query}");
    }
    scene.send_usual(WARM_UP + 30).await;
    // Of all routes that have seen enough; and of one alone there is nothing for others to fall back to.
    let (status, text) = train("").await;
    let said: Value = serde_json::from_str(&text).unwrap();
    let trained = said["trained"].as_array().unwrap();
    assert_eq!((status, trained.len()), (200, 1), "{said}");
    assert_eq!((&trained[0]["route"], &trained[0]["result"]), (&json!("orders"), &json!("made")));
    assert!(trained[0]["seconds"].as_f64().unwrap() > 0.0);
    let version = trained[0]["version"].as_str().unwrap();

    let all = anomaly(gateway).await;
    assert_eq!((&all["callers"], &all["warm_up"], &all["retrain_seconds"]), (&json!(8), &json!(512), &json!(3_600)));
    assert_eq!(all["routes"].as_array().unwrap().len(), 2);
    let route = orders(gateway).await;
    assert_eq!((&route["state"], &route["pinned"]), (&json!("judged by its own model"), &json!(false)));
    let (rows, model) = (seen(gateway).await, &route["model"]);
    assert_eq!((&model["version"], &route["rows"]), (&json!(version), &json!(rows)));
    assert!(model["rows"].as_u64().unwrap() >= 512 && model["age_seconds"].as_u64().unwrap() < 60, "{model}");
    assert!(model["window"]["from"].as_u64() <= model["window"]["to"].as_u64(), "{model}");
    let rung = &route["rungs"][0];
    let score = rung["score"].as_f64().unwrap();
    assert!(0.3 < score && score < 1.0, "{rung}");
    assert_eq!((&rung["action"], &rung["reachable"]), (&json!("tag"), &json!(true)));
    let models = json_of(gateway, "/anomaly/models").await;
    assert_eq!((&models["count"], &models["models"][0]["route"]), (&json!(1), &json!("orders")));
    assert_eq!(models["models"][0]["version"], version);
    gateway.metric_reaches(r#"sluice_anomaly_trainings_total{result="made"}"#, 1.0).await;
    gateway.metric_reaches(r#"sluice_anomaly_model_rows{route="orders"}"#, model["rows"].as_f64().unwrap()).await;
    gateway.metric_reaches(r#"sluice_anomaly_warm_up_ratio{route="orders"}"#, 1.0).await;

    // The second route has something to be judged by, once there are requests of two.
    let mut caller = scene.caller(super::scene::BOTH[0]).await;
    let (name, key) = &scene.callers[0];
    for _ in 0..3 {
        assert_eq!(caller.get("/quiet/", &[(name, key)]).await.status, 200);
    }
    let fallback = async || {
        train("").await;
        let all = anomaly(gateway).await;
        all["fallback"]["version"].is_string().then_some(all)
    };
    let all = eventually("a model for routes without one", fallback).await;
    let quiet = all["routes"].as_array().unwrap().iter().find(|route| route["route"] == "quiet").unwrap();
    assert_eq!((&quiet["state"], &quiet["model"]), (&json!("judged by the fallback model"), &Value::Null));
    let (_, line) = scene.log_of(caller.get("/quiet/", &[(name, key)])).await;
    assert!(line["anomaly_score"].is_number(), "{line}");

    for fields in ["Origin: http://a.test", "Sec-Fetch-Site: cross-site"] {
        let page = format!("POST /anomaly/train HTTP/1.1\r\nHost: localhost\r\n{fields}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(gateway.admin_request(page).await.status, 403, "{fields}");
    }
}

const ROUTES: &str = r#"version: 1
partners: { acme: { api_keys: [{ id: 7f3k, sha256: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" }] } }
upstreams: { app: { endpoints: ["127.0.0.1:1"] } }
routes:
  - name: open
    match: { path: /open }
    auth: none
    upstream: app
    anomaly: { action: tag, contamination: 0.5%, header: X-Odd }
  - name: plain
    match: { path: /plain }
    auth: none
    upstream: app
"#;

#[tokio::test]
async fn explain_shows_what_would_be_done() {
    let place = Place::serving(ROUTES);
    let told = place.run(&["explain", "GET", "http://api.test/open"]).await.with(0).out;
    let lines: Vec<&str> = told.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("anomaly")).unwrap_or_else(|| panic!("{told}"));
    assert!(lines[at].contains("tag 0.5% of usual requests") && lines[at].ends_with("routes.yaml:9:5"), "{told}");
    assert!(lines[at + 1].contains("the upstream, in x-odd"), "{told}");
    assert!(lines[at + 2].contains("model") && lines[at + 2].contains("the newest of the gateway that runs"), "{told}");
    let json = place.run(&["explain", "--format", "json", "GET", "http://api.test/open"]).await.with(0).json();
    let of = json.pointer("/decision/anomaly").or_else(|| json.get("anomaly")).unwrap_or_else(|| panic!("{json:#}"));
    assert_eq!((&of["ladder"], &of["header"]), (&json!({ "tag": "0.5%" }), &json!("x-odd")));
    assert_eq!(of["judged"], Value::Null);
    let told = place.run(&["explain", "GET", "http://api.test/plain"]).await.with(0).out;
    assert!(!told.contains("anomaly"), "{told}");
}

#[tokio::test]
async fn check_tells_where_a_mistake_is() {
    for (from, to, code, place, told) in [
        ("action: tag", "action: tagg", "E0", "9:24", "did you mean `tag`?"),
        ("0.5%", "60%", "E0203", "9:44", "out of range"),
        ("action: tag", "action: throttle", "E1004", "9:24", "asks nobody who they are"),
        ("contamination: 0.5%", "ladder: { tag: 0.1%, block: 1% }", "E1003", "9:16", "says what is done"),
        ("action: tag, contamination: 0.5%", "ladder: { tag: 0.1%, block: 1% }", "E1002", "9:44", "milder `tag`"),
        ("X-Odd", "Accept", "E", "9:58", "means something already"),
        ("header: X-Odd", "model: latest", "E1001", "9:57", "version of a model"),
        ("routes:", "anomaly: { warm_up: 10 }\nroutes:", "E0203", "4:21", "from 256 to 16384"),
    ] {
        let broken = Place::serving(&ROUTES.replacen(from, to, 1));
        let ended = broken.run(&["check"]).await.with(1);
        for told in [format!("error[{code}"), format!("routes.yaml:{place}\n"), told.to_owned()] {
            assert!(ended.err.contains(&told), "{told} in:\n{}", ended.err);
        }
    }
}
