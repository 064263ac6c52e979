//! What a gateway can be taught by whoever wants to look usual.

use super::scene::{BOTH, SHARE, Scene, odd, seen, train, usual};
use crate::support::{Client, eventually};

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
async fn what_a_service_fails_in_teaches_nothing() {
    let scene = Scene::trained("{ contamination: 2% }").await;
    let (name, key) = &scene.callers[0];
    let learned = seen(&scene.gateway).await;
    for target in ["broken", "half"] {
        let mut client = Client::connect(scene.gateway.address()).await;
        client
            .send(format!("GET /orders/1001?page=1&sort={target} HTTP/1.1\r\nHost: a\r\n{name}: {key}\r\n\r\n"))
            .await;
        let answer = client.try_response().await;
        assert_eq!(answer.is_ok_and(|answer| answer.status == 500), target == "broken");
    }
    scene.gateway.metric_reaches(r#"sluice_anomaly_requests_total{route="orders",action="observe"}"#, 2.0).await;
    assert_eq!(seen(&scene.gateway).await, learned);
    let mut caller = scene.caller(BOTH[0]).await;
    let usual = async || {
        usual(&mut caller, &scene.callers[0]).await;
        (seen(&scene.gateway).await > learned).then_some(())
    };
    eventually("what succeeds does", usual).await;
}

/// What came of earlier requests decides about later ones, but not for ever.
#[tokio::test]
async fn who_is_refused_for_what_came_of_earlier_requests_is_let_in_again() {
    let scene = Scene::trained("{ contamination: 5% }").await;
    // What comes of its requests usually is known once there are some that the model has judged.
    scene.send_usual(8 * 40).await;
    scene.reload("{ action: throttle, contamination: 5%, cool_down: 1s, throttle: 1/s }").await;
    let mut caller = scene.caller(BOTH[0]).await;
    let (name, key) = &scene.callers[0];
    let fields = [("user-agent", "orders/2.1"), ("accept", "*/*"), (*name, key)];
    let failing = async || {
        let response = caller.get("/orders/1001?page=1&sort=fail", &fields).await;
        (response.status == 429).then_some(())
    };
    eventually("its errors are held against it", failing).await;
    let passes = async || (usual(&mut caller, &scene.callers[0]).await.status == 200).then_some(());
    eventually("they are forgotten", passes).await;
}
