//! Answers to requests that were made for somebody (RFC 9111 §3.5).

use crate::cache::support::{Scene, assert_hit, good, x_cache};
use crate::identity::scene::build;
use crate::limits::scene::{File, Partner};

/// What says that others may have it, and what does not.
const ALLOWING: [&str; 4] =
    ["public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60", "max-age=5, s-maxage=60"];
const SILENT: [&str; 4] =
    ["max-age=60", "proxy-revalidate, max-age=60", "max-age=60, immutable", "no-cache=\"x\", max-age=60"];

#[tokio::test]
async fn rfc_9111_3_5_an_answer_to_a_request_with_authorization_is_not_kept() {
    for scheme in ["Basic YW5uOmJvYg==", "Bearer abc", "Custom a=b", "Basic"] {
        let scene = Scene::start("{}").await;
        for said in SILENT {
            let asked = format!("Authorization: {scheme}");
            scene.twice(good(&format!("ETag: \"1\"\nCache-Control: {said}")), &asked).await.not_kept(said);
        }
    }
}

#[tokio::test]
async fn rfc_9111_3_5_an_answer_to_a_request_with_authorization_is_not_given_to_others() {
    let scene = Scene::start("{}").await;
    for said in SILENT {
        let said = good(&format!("Cache-Control: {said}"));
        for then in ["Authorization: Basic Ym9iOmJvYg==", ""] {
            let twice = scene.twice_with(said.clone(), "Authorization: Basic YW5uOmFubg==", then).await;
            assert_eq!((x_cache(&twice.second), twice.asked), ("MISS", 2), "{then}");
        }
    }
}

#[tokio::test]
async fn rfc_9111_3_5_unless_it_says_that_others_may_have_it() {
    let scene = Scene::start("{}").await;
    for said in ALLOWING {
        let twice =
            scene.twice_with(good(&format!("Cache-Control: {said}")), "Authorization: Basic YW5uOmFubg==", "").await;
        twice.kept(said);
    }
}

#[tokio::test]
async fn rfc_9111_3_5_what_was_kept_for_nobody_is_given_with_authorization() {
    let scene = Scene::start("{}").await;
    scene.twice_with(good("Cache-Control: max-age=60"), "", "Authorization: Basic YW5uOmFubg==").await.kept("max-age");
}

#[tokio::test]
async fn rfc_9111_3_5_a_ttl_is_no_permission_for_a_credential_that_the_gateway_does_not_know() {
    for cache in ["{ ttl: 60s }", "{ ttl: 60s, shared: true }", "{ ttl: { default: 60s, mode: override } }"] {
        let scene = Scene::start(cache).await;
        for said in ["X-Some: thing", "Cache-Control: max-age=60"] {
            scene.twice(good(said), "Authorization: Basic YW5uOmFubg==").await.not_kept(cache);
        }
    }
}

/// Routes at `/plain`, `/timed`, `/shared` and `/partner` that partners call with their keys.
async fn keyed(partners: &[&Partner]) -> Scene {
    Scene::build(build(), |address| {
        let route = |cache: &str| format!("auth: {{ api_key: {{}} }}, upstream: app, cache: {cache}");
        let file = File::new(address)
            .route("plain", &route("{}"))
            .route("timed", &route("60s"))
            .route("shared", &route("{ ttl: 60s, shared: true }"));
        partners.iter().fold(file, |file, partner| file.partner("", partner)).to_string()
    })
    .await
}

#[tokio::test]
async fn rfc_9111_3_5_a_caller_whom_the_gateway_knows_counts_as_one_with_authorization() {
    let ann = Partner::new("ann");
    let scene = keyed(&[&ann]).await;
    let key = format!("x-api-key: {}", ann.key);
    for (at, said) in SILENT.iter().enumerate() {
        scene.origin.says(good(&format!("Cache-Control: {said}")));
        for _ in 0..2 {
            let before = scene.origin.count();
            let response = scene.get(&format!("/plain/no/{at}"), &key).await;
            assert_eq!(
                (response.status, x_cache(&response), scene.origin.count() - before),
                (200, "MISS", 1),
                "{said}"
            );
        }
    }
    for (at, said) in ALLOWING.iter().enumerate() {
        let path = format!("/plain/yes/{at}");
        scene.origin.says(good(&format!("Cache-Control: {said}")));
        assert_eq!(x_cache(&scene.get(&path, &key).await), "MISS");
        assert_hit(&scene.get(&path, &key).await, said);
    }
}

#[tokio::test]
async fn a_ttl_keeps_answers_of_known_callers_each_for_itself() {
    let (ann, bob) = (Partner::new("ann"), Partner::new("bob"));
    let scene = keyed(&[&ann, &bob]).await;
    scene.origin.says(good(""));
    let key = |partner: &Partner| format!("x-api-key: {}", partner.key);
    assert_eq!(x_cache(&scene.get("/timed/x", &key(&ann)).await), "MISS");
    assert_hit(&scene.get("/timed/x", &key(&ann)).await, "ann again");
    assert_eq!(x_cache(&scene.get("/timed/x", &key(&bob)).await), "MISS");
    assert_eq!(scene.origin.count(), 2);

    assert_eq!(x_cache(&scene.get("/shared/x", &key(&ann)).await), "MISS");
    assert_hit(&scene.get("/shared/x", &key(&bob)).await, "bob, who shares");
    assert_eq!(scene.origin.count(), 3);
    // Whoever has no key gets nothing of it.
    scene.get("/shared/x", "").await.refused(401, "CREDENTIAL_MISSING");
}
