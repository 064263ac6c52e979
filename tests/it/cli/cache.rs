//! `sluice cache`: what it asks a gateway that runs, and what it says.

use super::process::{Place, Process};

const ROUTES: &str =
    "version: 1\nroutes:\n  - { name: all, match: { path: / }, auth: none, respond: { body: hello } }\n";

/// A gateway, and the address of its admin API.
async fn serving() -> (Place, Process, String) {
    let place = Place::serving(ROUTES);
    let gateway = place.start(&["run", "--format", "json"]);
    let admin = gateway.first_line().await["admin"].as_str().unwrap().to_owned();
    (place, gateway, admin)
}

#[tokio::test]
async fn an_empty_cache_is_shown_and_purged_and_the_log_says_who_did() {
    let (_serving, gateway, admin) = serving().await;
    let place = Place::new();
    let cache = async |arguments: &[&str]| place.run(&[&["cache"], arguments, &["--admin", &admin]].concat()).await;
    let ended = cache(&["stats"]).await.with(0);
    assert!(ended.out.starts_with("stored     0 answers, 0 of "), "{ended:?}");
    assert_eq!(cache(&["stats", "--format", "json"]).await.with(0).json()["in_flight"], 0);
    assert_eq!(cache(&["look-up", "https://api.test/x?a=1&b=2"]).await.with(0).out, "nothing is stored\n");

    let ended = cache(&["purge", "--all"]).await.with(0);
    assert_eq!((&*ended.out, &*ended.err), ("purged 0 answers\n", ""));
    let peer = gateway.says("action=\"purge\" what=all soft=false purged=0").await;
    assert!(peer.contains("sluice::audit: audit peer=127.0.0.1:"), "{peer}");
    for (arguments, said) in [
        (&["--url", "https://API.test/x?token=t"][..], "what=url https://api.test/x soft=false"),
        (&["--tag", "order:7", "--soft"], "what=tag \"order:7\" soft=true"),
        (&["--route", "all"], "what=route \"all\" soft=false"),
    ] {
        let ended = cache(&[&["purge"], arguments].concat()).await.with(0);
        assert_eq!((&*ended.out, &*ended.err), ("purged 0 answers\n", ""));
        gateway.says(said).await;
    }
    let ended = cache(&["purge", "--partner", "acme", "--format", "json"]).await.with(0);
    assert_eq!(ended.json()["purged"], 0);
    assert_eq!(ended.err, "warning: no partner is named \"acme\" in the routes that run\n");
}

#[tokio::test]
async fn what_the_gateway_refuses_is_told() {
    let (_serving, _gateway, admin) = serving().await;
    let place = Place::new();
    for arguments in [&["look-up", "/x"][..], &["purge", "--url", "/x"]] {
        let ended = place.run(&[&["cache"], arguments, &["--admin", &admin]].concat()).await.with(1);
        assert!(ended.err.contains("400: Write the whole URL"), "{ended:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_a_usage_error_and_no_gateway_an_error() {
    let place = Place::serving(ROUTES);
    for arguments in [
        &["cache"][..],
        &["cache", "look-up"],
        &["cache", "purge"],
        &["cache", "purge", "--soft"],
        &["cache", "purge", "--all", "--tag", "a"],
        &["cache", "purge", "--route", "a", "--partner", "b"],
    ] {
        place.run(arguments).await.with(2);
    }
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = place.run(&["cache", "stats", "--admin", &unused]).await.with(1);
    assert!(ended.err.contains(&format!("the admin API at http://{unused}: ")), "{ended:?}");
}
