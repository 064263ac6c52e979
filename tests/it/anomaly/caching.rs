//! Checks on a route with a cache.

use super::scene::{BOTH, SCORE, SHARE, Setup, odd_with, seen, usual_with};
use crate::cache::support::{status_of, x_cache};
use crate::support::eventually;

#[tokio::test]
async fn answers_from_memory_are_watched_and_answers_to_the_unusual_are_nobody_elses() {
    let mut setup = Setup::new();
    setup.route.push_str(", cache: { ttl: 10m, per: partner, query: { ignore: [\"*\"] } }");
    let scene = setup.trained(&format!("{{ action: tag, {SHARE} }}")).await;
    for (who, version) in scene.callers.iter().zip(BOTH) {
        let mut caller = scene.caller(version).await;
        let before = seen(&scene.gateway).await;
        let fields = [(who.0, &*who.1)];
        let (mut hits, asked) = (0, scene.upstream.requests().len());
        for _ in 0..80 {
            let (response, line) = scene.log_of(usual_with(&mut caller, &fields)).await;
            hits += usize::from(x_cache(&response) == "HIT");
            assert!(line["anomaly_score"].is_number(), "{line}");
        }
        assert!(hits >= 5 && scene.upstream.requests().len() <= asked + 80 - hits, "{hits}");
        let all = async || (seen(&scene.gateway).await >= before + 75).then_some(());
        eventually("hits are learned from as well", all).await;

        for _ in 0..2 {
            let response = odd_with(&mut caller, &fields).await;
            assert_eq!((response.status, x_cache(&response)), (200, "BYPASS"), "{:?}", response.head.fields);
            assert!(
                !status_of(&response).has("stored") && !status_of(&response).has("hit"),
                "{:?}",
                status_of(&response)
            );
            assert!(scene.told(SCORE).is_some());
        }
    }
}
