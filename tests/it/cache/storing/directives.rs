//! What an answer allows caches (RFC 9111 §5.2.2).

use crate::cache::support::{Says, Scene, answer, assert_hit, good, x_cache};

#[tokio::test]
async fn rfc_9111_5_2_2_4_no_cache_is_validated_each_time() {
    let scene = Scene::start("{}").await;
    for said in [
        "no-cache",
        "no-cache, max-age=60",
        "max-age=60, NO-CACHE",
        "s-maxage=60, no-cache",
        "max-age=60, no-cache=\"\"",
        "max-age=60, no-cache=\"not a name\"",
        "max-age=60, no-cache=\"x-named\", no-cache",
        "max-age=60, no-cache, stale-while-revalidate=1000, stale-if-error=1000",
    ] {
        scene.twice(good(&format!("ETag: \"1\"\nCache-Control: {said}")), "").await.asked_again(said);
    }
    scene.twice(good("Cache-Control: no-cache, max-age=60"), "").await.not_kept("nothing to validate it by");
}

#[tokio::test]
async fn rfc_9111_5_2_2_4_no_cache_is_given_when_the_upstream_confirms_it() {
    let scene = Scene::start("{}").await;
    scene.origin.says_next(good("ETag: \"1\"\nCache-Control: no-cache, max-age=60"));
    scene.origin.says(answer("304 Not Modified", "ETag: \"1\"", ""));
    scene.get("/x", "").await;
    for count in 2..=4 {
        let response = scene.get("/x", "").await;
        assert_eq!((response.status, response.text(), x_cache(&response)), (200, "good", "REVALIDATED"));
        assert_eq!(scene.origin.count(), count);
    }
}

#[tokio::test]
async fn rfc_9111_5_2_2_what_must_be_revalidated_is_given_while_it_is_fresh() {
    let scene = Scene::start("{}").await;
    for said in [
        "max-age=60, must-revalidate",
        "max-age=60, proxy-revalidate",
        "s-maxage=60",
        "public, max-age=60",
        "max-age=60, no-transform",
        "max-age=60, immutable",
        "max-age=60, unknown, other=\"1\"",
        "max-age=60, no-cache=\"x-other\"",
    ] {
        scene.twice(good(&format!("Cache-Control: {said}")), "").await.kept(said);
    }
}

#[tokio::test]
async fn rfc_9111_5_2_2_2_what_must_be_revalidated_is_an_error_when_the_upstream_fails() {
    let scene = Scene::start("{ stale_if_error: 1h, stale_while_revalidate: 1h }").await;
    for said in [
        "max-age=60, must-revalidate",
        "max-age=60, proxy-revalidate",
        "s-maxage=60",
        "max-age=60, no-cache",
        "max-age=60, must-revalidate, stale-if-error=1000, stale-while-revalidate=1000",
    ] {
        let path = scene.path();
        scene.origin.says(good(&format!("ETag: \"1\"\nAge: 100\nCache-Control: {said}")));
        scene.get(&path, "").await;
        for asked in ["", "Cache-Control: max-stale", "Cache-Control: stale-if-error=1000"] {
            scene.origin.says(answer("503 Unavailable", "", "bad"));
            let response = scene.get(&path, asked).await;
            assert_eq!((response.status, response.text()), (503, "bad"), "{said} {asked}");
            scene.origin.says(Says::Cut(Vec::new()));
            let response = scene.get(&path, asked).await;
            assert!(matches!(response.status, 502 | 504), "{said} {asked}: {response:?}");
        }
    }
}

#[tokio::test]
async fn rfc_9111_5_2_2_10_s_maxage_goes_before_the_others() {
    let scene = Scene::start("{}").await;
    scene
        .twice(good("ETag: \"1\"\nCache-Control: s-maxage=60, max-age=1000\nAge: 100"), "")
        .await
        .asked_again("shorter");
    scene.twice(good("Cache-Control: s-maxage=1000, max-age=60\nAge: 100"), "").await.kept("longer");
    scene.twice(good("ETag: \"1\"\nCache-Control: S-MaxAge=0, max-age=1000"), "").await.asked_again("zero");
}

#[tokio::test]
async fn rfc_9111_5_2_2_6_no_transform_changes_nothing_of_what_is_given() {
    let scene = Scene::start("{}").await;
    let twice = scene
        .twice(good("Cache-Control: max-age=60, no-transform\nContent-Encoding: gzip\nContent-Type: image/x"), "")
        .await;
    twice.kept("no-transform");
    let fields = ["content-encoding", "content-type", "cache-control"];
    assert_eq!(fields.map(|name| twice.first.field(name)), fields.map(|name| twice.second.field(name)));
}

#[tokio::test]
async fn rfc_9111_5_2_directives_are_read_from_all_lines() {
    let scene = Scene::start("{}").await;
    scene.twice(good("Cache-Control: public\nX-Between: 1\nCache-Control: max-age=60"), "").await.kept("two lines");
    scene
        .twice(good("Cache-Control: max-age=60\nX-Between: 1\nCache-Control: no-store"), "")
        .await
        .not_kept("two lines");
    scene.twice(good("Cache-Control: ,,max-age=60,,"), "").await.kept("empty members");
    scene.twice(good("Cache-Control: max-age=60 , public\t,x"), "").await.kept("white space");
}

#[tokio::test]
async fn rfc_9111_4_3_3_an_error_for_a_validation_is_passed_on_and_leaves_what_is_stored() {
    let scene = Scene::start("{}").await;
    scene.origin.says(good("ETag: \"1\"\nCache-Control: max-age=3600\nAge: 100"));
    scene.get("/x", "").await;
    scene.origin.says(answer("500 Error", "", "bad"));
    let response = scene.get("/x", "Cache-Control: no-cache").await;
    assert_eq!((response.status, response.text()), (500, "bad"));
    assert_hit(&scene.get("/x", "").await, "a 500 is not kept, so what is there stays");
}
