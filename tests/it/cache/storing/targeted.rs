//! `CDN-Cache-Control` (RFC 9213).

use crate::cache::support::{Scene, good, status_of};

/// With this in `CDN-Cache-Control`, and more.
fn targeted(said: &str, more: &str) -> String {
    good(&format!("ETag: \"1\"\n{more}\nCDN-Cache-Control: {said}"))
}

#[tokio::test]
async fn rfc_9213_2_2_what_is_targeted_goes_before_cache_control_and_expires() {
    let scene = Scene::start("{}").await;
    for (said, more) in [
        ("max-age=60", "Cache-Control: no-store"),
        ("max-age=60", "Cache-Control: private, no-cache"),
        ("max-age=60", "Cache-Control: max-age=0\nExpires: 0"),
        ("max-age=60", "Expires: 0"),
        ("max-age=60;ext=1;other", "Cache-Control: no-store"),
        ("max-age=60, unknown, other=\"text\", list=(1 2 \"a\");q=0.5", "Cache-Control: no-store"),
        ("max-age=0, max-age=60", "Cache-Control: no-store"),
        ("no-store=?0, max-age=60", "Cache-Control: no-store"),
        ("  max-age=60  ", "Cache-Control: no-store"),
        ("max-age=60\nCDN-Cache-Control: public", "Cache-Control: no-store"),
    ] {
        scene.twice(targeted(said, more), "").await.kept(&format!("{said} / {more}"));
    }
    for said in [
        "no-store",
        "private",
        "private, max-age=60",
        "max-age=60, no-store",
        "no-store=?1",
        "max-age=60\nCDN-Cache-Control: no-store",
    ] {
        scene.twice(targeted(said, "Cache-Control: public, max-age=60"), "").await.not_kept(said);
    }
    for said in
        ["max-age=0", "no-cache", "no-cache, max-age=60", "s-maxage=0", "must-revalidate", "max-age=60\nAge: 100"]
    {
        let more = "Cache-Control: public, max-age=6000, s-maxage=6000\nExpires: Fri, 15 Nov 2030 08:12:31 GMT";
        scene.twice(targeted(said, more), "").await.asked_again(said);
    }
}

#[tokio::test]
async fn rfc_9213_2_1_what_is_malformed_or_empty_is_as_if_it_were_not_there() {
    let scene = Scene::start("{}").await;
    for said in [
        "",
        "   ",
        "max-age=60,",
        ",max-age=60",
        "max-age=60,,public",
        "max-age = 60",
        "max-age=",
        "=60",
        "Max-Age=60",
        "max-age=60 public",
        "max-age=60; public x",
        "max-age=\"60",
        "max-age=60, \"no-store\"",
        "max-age=60, é",
        "max-age=?2",
        "max-age=60\nCDN-Cache-Control: (",
        "max-age=1234567890123456",
    ] {
        scene.twice(targeted(said, "Cache-Control: no-store"), "").await.not_kept(&format!("no-store behind {said:?}"));
    }
    for said in ["", "no-store,", "no-store,,", "No-Store", "no-store; =", "private x"] {
        scene.twice(targeted(said, "Cache-Control: max-age=60"), "").await.kept(&format!("max-age behind {said:?}"));
    }
}

#[tokio::test]
async fn rfc_9213_2_1_a_value_of_another_type_is_not_fresher_for_it() {
    let scene = Scene::start("{}").await;
    for said in [
        "max-age=\"60\"",
        "max-age=60.5",
        "max-age=-60",
        "max-age=?1",
        "max-age",
        "max-age=abc",
        "max-age=(60)",
        "max-age=:NjA=:",
    ] {
        scene.twice(targeted(said, "Cache-Control: max-age=6000"), "").await.asked_again(said);
    }
}

#[tokio::test]
async fn rfc_9213_2_2_authorization_looks_at_what_is_targeted() {
    let scene = Scene::start("{}").await;
    let asked = "Authorization: Basic YW5uOmFubg==";
    scene
        .twice(targeted("max-age=60", "Cache-Control: public, s-maxage=60"), asked)
        .await
        .not_kept("public is not for us");
    scene.twice(targeted("public, max-age=60", "Cache-Control: private"), asked).await.kept("public is for us");
}

#[tokio::test]
async fn rfc_9213_what_others_are_told_is_passed_on() {
    let scene = Scene::start("{}").await;
    let twice =
        scene.twice(targeted("max-age=600", "Cache-Control: max-age=1, private\nSurrogate-Capability: x"), "").await;
    twice.kept("both");
    assert_eq!(
        (twice.first.field("cache-control"), twice.second.field("cache-control")),
        (Some("max-age=1, private"), Some("max-age=1, private"))
    );
    let ttl: u64 = status_of(&twice.second).get("ttl").unwrap().parse().unwrap();
    assert!(ttl > 590, "{ttl}");
}
