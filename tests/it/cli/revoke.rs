//! `sluice revoke`: what it asks a gateway that runs, and what it says when there is none.

use std::path::Path;

use super::process::{Place, Process, bootstrap};

const ROUTES: &str =
    "version: 1\nroutes:\n  - { name: all, match: { path: / }, auth: none, respond: { body: hello } }\n";

/// A gateway with a store, and the address of its admin API.
async fn serving() -> (Place, Process, String) {
    let place = Place::serving(ROUTES);
    place.write("config/gateway.yaml", bootstrap("store: { file: ../state/sluice.db }\n"));
    let gateway = place.start(&["run", "--format", "json"]);
    let admin = gateway.first_line().await["admin"].as_str().unwrap().to_owned();
    (place, gateway, admin)
}

#[tokio::test]
async fn what_it_revokes_is_listed_until_it_is_taken_off() {
    let (serving, _gateway, admin) = serving().await;
    assert!(Path::new(&serving.path("state/sluice.db")).exists());
    // What it prints would be mixed with what the gateway prints.
    let place = Place::new();
    let revoke = async |arguments: &[&str]| place.run(&[&["revoke", "--admin", &admin], arguments].concat()).await;
    let ended = revoke(&["--token-id", "t 1", "--until", "12h", "--reason", "lost"]).await.with(0);
    assert!(ended.out.starts_with("the token with the id \"t 1\" is refused until 20"), "{ended:?}");
    let id = ended.out.lines().find_map(|line| line.strip_prefix("id ")).unwrap().to_owned();
    assert_eq!(ended.err, "");

    let ended = revoke(&["--subject", "ann", "--issued-before", "now", "--issuer", "main"]).await.with(0);
    assert!(
        ended.out.starts_with("all tokens of the subject \"ann\" by the issuer \"main\" issued before 20"),
        "{ended:?}"
    );
    assert!(ended.err.contains("warning: no issuer is named \"main\""), "{ended:?}");

    let listed = revoke(&["--list"]).await.with(0).out;
    assert_eq!(listed.lines().count(), 2);
    assert!(listed.contains(&format!("{id}  api       the token")) && listed.contains("(\"lost\")"), "{listed}");
    let listed = revoke(&["--list", "--format", "json"]).await.with(0).json();
    assert_eq!(listed["revocations"].as_array().unwrap().len(), 2);

    let ended = revoke(&["--delete", &id]).await.with(0);
    assert!(ended.out.starts_with("no longer: the token with the id"), "{ended:?}");
    let ended = revoke(&["--delete", &id]).await.with(1);
    assert!(ended.err.contains("404: There is no such revocation."), "{ended:?}");
}

#[tokio::test]
async fn what_the_gateway_refuses_is_told() {
    let (_place, _gateway, admin) = serving().await;
    let place = Place::new();
    let ended = place.run(&["revoke", "--admin", &admin, "--issued-before", "tomorrow"]).await.with(1);
    assert!(ended.err.contains("422: ") && ended.err.contains("`tomorrow` is not a point in time"), "{ended:?}");
    let ended = place.run(&["revoke", "--admin", &admin, "--partner", "acme", "--until", "1970-01-02"]).await.with(1);
    assert!(ended.err.contains("`until` is over already"), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_a_usage_error_and_no_gateway_an_error() {
    let place = Place::serving(ROUTES);
    for arguments in [
        &["revoke"][..],
        &["revoke", "--issuer", "main"],
        &["revoke", "--token-id", "a", "--subject", "b"],
        &["revoke", "--token-id", "a", "--issued-before", "now"],
        &["revoke", "--list", "--partner", "acme"],
        &["revoke", "--delete", "no-id"],
    ] {
        place.run(arguments).await.with(2);
    }
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = place.run(&["revoke", "--partner", "acme", "--admin", &unused]).await.with(1);
    assert!(ended.err.contains(&format!("the admin API at http://{unused}: ")), "{ended:?}");
    place.write(
        "config/gateway.yaml",
        "version: 1\nlisteners: [{ name: http, address: \"127.0.0.1:0\" }]\nadmin: off\n",
    );
    let ended = place.run(&["revoke", "--partner", "acme"]).await.with(1);
    assert!(ended.err.contains("`admin: off`"), "{ended:?}");
}

#[tokio::test]
async fn a_file_of_revocations_with_mistakes_is_found_before_it_goes_live() {
    let place = Place::serving(ROUTES);
    place.write("config/gateway.yaml", bootstrap("credentials: { revocations: ../revoked.json }\n"));
    place.write("revoked.json", "{\"revocations\": [\n{\"token_id\": \"a\"},\n{\"tokenid\": \"b\"}, {}]}");
    let ended = place.run(&["check"]).await.with(1);
    assert!(
        ended.err.contains("line 3: unknown field `tokenid`") && ended.err.contains("line 3: nothing is named"),
        "{ended:?}"
    );
    place.write("revoked.json", "{\"revocations\": [{\"token_id\": \"a\"}]}");
    place.run(&["check"]).await.with(0);
}
