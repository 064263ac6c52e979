//! Requests that are refused, why, and how many of them.

use serde_json::json;

use super::scene::{BOTH, SCORE, SHARE, Setup, odd, seen, usual};

#[tokio::test]
async fn what_is_blocked_is_told_why_where_that_is_wanted() {
    let block = |explain: bool| format!("{{ action: block, {SHARE}, explain: {explain} }}");
    let mut setup = Setup::new();
    setup.route.push_str(", rate_limit: { per: partner, rate: 10000/h, name: most }");
    let scene = setup.trained(&block(true)).await;
    let learned = seen(&scene.gateway).await;
    let mut refused = 0;
    for (explain, version) in [(true, BOTH[0]), (true, BOTH[1]), (false, BOTH[0]), (false, BOTH[1])] {
        scene.reload(&block(explain)).await;
        let mut caller = scene.caller(version).await;
        let before = scene.upstream.requests().len();
        let (response, line) = scene.log_of(odd(&mut caller, &scene.callers[refused])).await;
        let problem = response.refused(403, "ANOMALOUS");
        assert_eq!(scene.upstream.requests().len(), before);
        assert_eq!((&line["reason"], &line["anomaly_action"]), (&json!("ANOMALOUS"), &json!("block")), "{line}");
        let why: Vec<&str> = line["anomaly_why"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect();
        assert!(!why.is_empty());
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(why.iter().all(|why| detail.contains(why)), explain, "{detail} {why:?}");
        assert_eq!(detail.contains("Unusual: "), explain, "{detail}");
        assert!(response.field("ratelimit").unwrap().contains("most"), "{:?}", response.head.fields);
        assert_eq!(response.field(SCORE), None);
        refused += 1;
    }
    scene.done("block", refused as f64).await;
    scene.counts("refused_total", refused as f64).await;
    assert_eq!(seen(&scene.gateway).await, learned, "who is refused teaches nothing");
    let mut caller = scene.caller(BOTH[0]).await;
    let response = usual(&mut caller, &scene.callers[0]).await;
    assert_eq!(response.status, 200, "the caller itself is not blocked: {}", response.text());
}

#[tokio::test]
async fn never_more_than_a_share_is_refused() {
    let mut setup = Setup::new();
    setup.settings = "warm_up: 512, max_blocked: 0.0001%".to_owned();
    let scene = setup.trained(&format!("{{ action: block, {SHARE} }}")).await;
    let (mut refused, mut held_back) = (0, 0);
    for version in BOTH {
        let mut caller = scene.caller(version).await;
        for who in &scene.callers {
            let (response, line) = scene.log_of(odd(&mut caller, who)).await;
            if held_back == 0 && response.status != 200 {
                response.refused(403, "ANOMALOUS");
                refused += 1;
                continue;
            }
            assert_eq!(response.status, 200);
            assert!(scene.told(SCORE).unwrap().ends_with(";action=tag"), "{:?}", scene.told(SCORE));
            assert_eq!((&line["observed"], &line["anomaly_action"]), (&json!(["ANOMALOUS"]), &json!("tag")), "{line}");
            assert!(line.get("reason").is_none() && line["anomaly_why"].is_array(), "{line}");
            held_back += 1;
        }
    }
    // Ten, and what each sends beyond one request a second is not missed.
    assert!((10..=12).contains(&refused), "{refused}");
    scene.done("held_back", held_back.into()).await;
    scene.done("block", refused.into()).await;
    scene.counts("refused_total", refused.into()).await;
    scene.gateway.metric_reaches(r#"sluice_observed_refusals_total{reason="ANOMALOUS"}"#, held_back.into()).await;
}
