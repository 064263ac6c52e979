//! What a gateway can be taught by whoever wants to look usual.

use super::scene::{BOTH, SHARE, Scene, odd, train, usual};

#[tokio::test]
async fn an_attack_that_one_caller_repeats_stays_unusual_for_others() {
    let scene = Scene::trained("{ contamination: 2% }").await;
    // First a part of what is learned, then half of it.
    for (count, version, who) in [(160, BOTH[0], 1), (400, BOTH[1], 2)] {
        scene.flood(&scene.callers[0], count).await;
        train(&scene.gateway).await;
        let mut caller = scene.caller(version).await;
        let (_, line) = scene.log_of(odd(&mut caller, &scene.callers[who])).await;
        assert_eq!(line["anomaly_action"], "observe", "{line}");
    }
}

#[tokio::test]
async fn who_is_refused_again_and_again_stays_unusual() {
    let scene = Scene::trained(&format!("{{ action: block, {SHARE} }}")).await;
    let mut caller = scene.caller(BOTH[0]).await;
    for _ in 0..80 {
        odd(&mut caller, &scene.callers[0]).await.refused(403, "ANOMALOUS");
    }
}

#[tokio::test]
async fn what_an_upstream_fails_in_is_held_against_nobody() {
    let scene = Scene::trained(&format!("{{ action: throttle, throttle: 1/h, {SHARE} }}")).await;
    let who = &scene.callers[0];
    let fields = [("user-agent", "orders/2.1"), ("accept", "*/*"), (who.0, &*who.1)];
    let mut caller = scene.caller(BOTH[1]).await;
    for _ in 0..40 {
        assert_eq!(caller.get("/orders/1001?page=1&sort=date&fail", &fields).await.status, 500);
    }
    assert_eq!(usual(&mut caller, who).await.status, 200);
}
