//! Actions on callers: throttled and challenged ones, and the others, who are not.

use serde_json::json;
use sluice::base::clock;

use super::scene::{BOTH, Caller, SCORE, SHARE, Scene, Setup, odd, usual};
use crate::identity::scene::{bearer, claims_with, keys_of, provider};
use crate::support::client::Response;
use crate::support::eventually;

#[track_caller]
fn is_throttled(response: &Response) {
    response.refused(429, "ANOMALY_THROTTLED");
    let wait: u64 = response.field("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn who_is_unusual_is_throttled_and_others_are_not() {
    let throttle = |rate: &str| format!("{{ action: throttle, {SHARE}, throttle: {rate} }}");
    let scene = Scene::trained(&throttle("1/h")).await;
    let [mut one, mut two] = [scene.caller(BOTH[0]).await, scene.caller(BOTH[1]).await];
    let (acme, globex) = (&scene.callers[0], &scene.callers[1]);
    let (response, line) = scene.log_of(odd(&mut one, acme)).await;
    assert_eq!((response.status, &line["anomaly_action"]), (200, &json!("throttle")), "one may come at once: {line}");
    assert!(scene.told(SCORE).unwrap().ends_with(";action=throttle"));
    // On whichever connection.
    for caller in [&mut one, &mut two] {
        let (response, line) = scene.log_of(odd(caller, acme)).await;
        is_throttled(&response);
        assert_eq!((&line["reason"], &line["anomaly_action"]), (&json!("ANOMALY_THROTTLED"), &json!("throttle")));
    }
    scene.counts("refused_total", 2.0).await;
    for (who, why) in [(acme, "what is usual passes"), (globex, "another caller has done nothing")] {
        let mut passed = 0;
        for _ in 0..4 {
            passed += usize::from(usual(&mut two, who).await.status == 200);
        }
        assert!(passed >= 1, "{why}");
    }

    // A faster rate holds from the reload on, for who waits already.
    is_throttled(&odd(&mut one, acme).await);
    scene.reload(&throttle("1/s")).await;
    let passes = async || (odd(&mut one, acme).await.status == 200).then_some(());
    eventually("the wait ends", passes).await;
    // And none at all, where only is observed.
    scene.reload(&throttle("1/h")).await;
    let waits = async || (odd(&mut one, acme).await.status == 429).then_some(());
    eventually("a wait", waits).await;
    scene.reload(&format!("{{ {SHARE} }}")).await;
    assert_eq!(odd(&mut one, acme).await.status, 200);
}

/// A token of `acme` that was issued so many seconds ago.
fn token(key: &crate::support::issuer::SigningKey, ago: u64) -> String {
    bearer(&key.sign(&claims_with(json!({ "iat": clock::since_epoch().as_secs() - ago }))))
}

#[tokio::test]
async fn who_is_challenged_needs_a_newer_token_and_who_has_none_is_throttled() {
    let (key, provider) = provider();
    let mut setup = Setup::new();
    setup.route = "auth: { any_of: [{ issuer: main }, { api_key: {} }] }, upstream: app".to_owned();
    let tokens = super::scene::Partner::new("tokens");
    setup.file = setup.file.issuer("main", &keys_of(&provider, "")).partner_with("", &[&tokens], "clients: [acme-app]");
    setup.callers[0] = ("authorization", token(&key, 30));
    let scene = setup.trained(&format!("{{ action: challenge, {SHARE}, throttle: 1/h }}")).await;
    let (old, with_key) = (scene.callers[0].clone(), scene.callers[1].clone());
    for version in BOTH {
        // A caller of each version, as a challenge that was met does not end.
        let mut caller = scene.caller(version).await;
        let (response, line) = scene.log_of(odd(&mut caller, &old)).await;
        if version == BOTH[0] {
            is_challenged(&response);
            assert_eq!(
                (&line["reason"], &line["anomaly_action"]),
                (&json!("REAUTHENTICATION_REQUIRED"), &json!("challenge"))
            );
            assert!(!line["anomaly_why"].as_array().unwrap().is_empty(), "{line}");
            is_challenged(&odd(&mut caller, &old).await);
            scene.counts("refused_total", 2.0).await;
            let new = ("authorization", token(&key, 0));
            let response = usual(&mut caller, &new).await;
            assert_eq!(response.status, 200, "{}", response.text());
            // Nobody has to authenticate for each of them.
            let (response, line) = scene.log_of(odd(&mut caller, &new)).await;
            assert_eq!((response.status, &line["anomaly_action"]), (200, &json!("tag")), "{line}");
        } else {
            is_challenged(&response);
        }
    }
    let mut caller = scene.caller(BOTH[0]).await;
    let (response, line) = scene.log_of(odd(&mut caller, &with_key)).await;
    assert_eq!((response.status, &line["anomaly_action"]), (200, &json!("throttle")), "{line}");
    is_throttled(&odd(&mut caller, &with_key).await);
    assert_ne!(usual(&mut another(&scene).await, &scene.callers[2]).await.status, 401);
}

async fn another(scene: &Scene) -> Caller {
    scene.caller(BOTH[1]).await
}

/// RFC 9470 §3.
#[track_caller]
fn is_challenged(response: &Response) {
    response.refused(401, "REAUTHENTICATION_REQUIRED");
    let challenge = response.field("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    assert!(challenge.contains(r#"error="insufficient_user_authentication""#), "{challenge}");
    let age = challenge.split("max_age=").nth(1).unwrap().trim_matches('"');
    assert!(age.parse::<u64>().unwrap() < 20, "{challenge}");
}
