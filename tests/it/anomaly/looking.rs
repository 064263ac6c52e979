//! Scores, and what is said of them: to logs and metrics, and from `tag` on to upstreams.

use serde_json::{Value, json};

use super::scene::{
    BOTH, Caller, ODD, SCORE, SHARE, Scene, Setup, Version, WARM_UP, odd, odd_with, orders, usual, usual_with,
};

/// A model of a few hundred requests takes some usual ones for rare; of so many, hardly more than this.
const MISTAKES: usize = 4;

#[tokio::test]
async fn nothing_is_scored_before_there_is_enough_data() {
    let scene = Setup::new().start(&format!("{{ action: block, {SHARE} }}")).await;
    for version in BOTH {
        let mut caller = scene.caller(version).await;
        for who in &scene.callers {
            for _ in 0..4 {
                assert_eq!(usual(&mut caller, who).await.status, 200);
            }
            assert_eq!(odd(&mut caller, who).await.status, 200, "however odd");
            assert_eq!(scene.told(SCORE), None);
        }
    }
    for line in scene.gateway.access_log(80).await {
        assert!(line.as_object().unwrap().keys().all(|key| !key.starts_with("anomaly")), "{line}");
    }
    let route = orders(&scene.gateway).await;
    let rows = route["rows"].as_u64().unwrap();
    assert!((55..=80).contains(&rows), "{rows}");
    assert_eq!(route["state"], format!("not enough data: {rows} of {WARM_UP}"));
    assert_eq!((&route["model"], &route["rate"]), (&Value::Null, &Value::Null));
    let (status, text) = scene.gateway.admin_send("POST", "/anomaly/train?route=orders", "").await;
    assert_eq!(status, 409);
    assert!(text.contains("not enough data"), "{text}");
    let metrics = scene.gateway.admin_get("/metrics").await.1;
    let of_requests = |line: &&str| line.starts_with("sluice_anomaly_requests_total{route=\"orders\"");
    assert!(metrics.lines().filter(of_requests).all(|line| line.ends_with("} 0")), "nothing was scored");
    assert!(!metrics.contains("sluice_anomaly_model_timestamp_seconds{"));
    scene.counts("unusual_total", 0.0).await;
}

/// Fails unless the line says how unusual a request was, and that it was.
#[track_caller]
fn is_unusual(line: &Value, action: &str) {
    assert_eq!(line["anomaly_action"], action, "{line}");
    let (score, rarity) = (line["anomaly_score"].as_f64().unwrap(), line["anomaly_rarity"].as_f64().unwrap());
    assert!(0.0 < score && score < 1.0 && 0.0 < rarity && rarity <= 0.006, "{line}");
    let why = line["anomaly_why"].as_array().unwrap();
    assert!((1..=3).contains(&why.len()) && why.iter().all(|why| why.as_str().unwrap().len() > 5), "{line}");
}

#[tokio::test]
async fn observing_says_in_the_log_what_was_unusual_and_why() {
    let scene = Scene::trained(&format!("{{ {SHARE} }}")).await;
    let (mut scored, mut unusual) = (0, 0);
    for (who, version) in scene.callers.iter().zip(BOTH) {
        let mut caller = scene.caller(version).await;
        let mut mistakes = 0;
        for _ in 0..12 {
            let (response, line) = scene.log_of(usual(&mut caller, who)).await;
            assert_eq!((response.status, scene.told(SCORE)), (200, None));
            assert!(line["anomaly_score"].is_number() && line["anomaly_rarity"].is_number(), "{line}");
            mistakes += usize::from(line.get("anomaly_action").is_some());
            assert_eq!(line.get("anomaly_action").is_some(), line.get("anomaly_why").is_some(), "{line}");
        }
        assert!(mistakes <= MISTAKES, "{mistakes}");
        let (response, line) = scene.log_of(odd(&mut caller, who)).await;
        assert_eq!((response.status, scene.told(SCORE)), (200, None));
        is_unusual(&line, "observe");
        assert!(line.get("reason").is_none() && line.get("observed").is_none(), "{line}");
        (scored, unusual) = (scored + 13, unusual + mistakes + 1);
    }
    scene.counts("unusual_total", unusual as f64).await;
    scene.counts("refused_total", 0.0).await;
    scene.done("observe", f64::from(scored)).await;
    let route = orders(&scene.gateway).await;
    assert_eq!((&route["requests"]["observe"], &route["requests"]["unusual"]), (&json!(scored), &json!(unusual)));
    assert_eq!((&route["expected_rate"], &route["rungs"][0]["reachable"]), (&json!(0.006), &json!(true)));
    let rate = route["rate"].as_f64().unwrap();
    assert!((rate - unusual as f64 / f64::from(scored)).abs() < 1e-9, "{route}");
}

/// The score, as an upstream is told it.
#[track_caller]
fn is_told(field: Option<String>, line: &Value) {
    let field = field.unwrap_or_else(|| panic!("the upstream is not told: {line}"));
    let mut parts = field.split(';');
    let score: f64 = parts.next().unwrap().parse().unwrap();
    let rarity: u32 = parts.next().unwrap().strip_prefix("rarity_ppm=").unwrap().parse().unwrap();
    assert!(0.0 < score && score < 1.0 && (1..=6_000).contains(&rarity), "{field}");
    assert_eq!((parts.next(), parts.next()), (Some("action=tag"), None), "{field}");
}

#[tokio::test]
async fn upstreams_are_told_of_unusual_requests_and_clients_cannot_tell_them() {
    let scene = Scene::trained(&format!("{{ action: tag, {SHARE} }}")).await;
    // What somebody has sent before is less unusual.
    let mut fresh = scene.callers.iter();
    for version in BOTH {
        for (field, other, checks) in [
            (SCORE, "x-odd", format!("{{ action: tag, {SHARE} }}")),
            ("x-odd", SCORE, format!("{{ action: tag, header: X-Odd, {SHARE} }}")),
        ] {
            scene.reload(&checks).await;
            let mut caller = scene.caller(version).await;
            let who = fresh.next().unwrap();
            let own = [(field, "0.0;rarity_ppm=1;action=tag"), (other, "mine"), (who.0, &*who.1)];
            let mut usual_ones = 0;
            for _ in 0..5 {
                let (response, line) = scene.log_of(usual_with(&mut caller, &own)).await;
                assert_eq!(response.status, 200);
                match line.get("anomaly_action") {
                    None => {
                        assert_eq!(scene.told(field), None, "{line}");
                        usual_ones += 1;
                    }
                    Some(_) => is_told(scene.told(field), &line),
                }
                assert_eq!(scene.told(other).as_deref(), Some("mine"), "a field like any other");
            }
            assert!(usual_ones + MISTAKES > 5, "{usual_ones}");
            let (response, line) = scene.log_of(odd_with(&mut caller, &own)).await;
            assert_eq!(response.status, 200);
            is_unusual(&line, "tag");
            is_told(scene.told(field), &line);
            assert_eq!(scene.last().target, ODD);
            if let (Caller::One(_), Version::One) = (&caller, version) {
                let nominated = [&own[..], &[("connection", field)]].concat();
                let (_, line) = scene.log_of(usual_with(&mut caller, &nominated)).await;
                assert_eq!(scene.told(field).is_some(), line.get("anomaly_action").is_some(), "{line}");
                let who = fresh.next().unwrap();
                let nominated = [(field, "mine"), ("connection", field), (who.0, &*who.1)];
                let (_, line) = scene.log_of(odd_with(&mut caller, &nominated)).await;
                is_told(scene.told(field), &line);
            }
        }
    }
}
