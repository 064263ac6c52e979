//! The commands that only read: check, routes, schema; and how they are misused.

use std::process::Stdio;

use serde_json::json;

use super::process::{Place, repository};
use crate::support::certificates::Authority;
use crate::support::eventually;

const SOUND: &str = r#"
version: 1
upstreams:
  app: { endpoints: ["127.0.0.1:1"] }
routes:
  - { name: item, match: { hosts: [a.test], methods: [GET], path: "/a/{id}", query: { v: "2" } }, auth: none, upstream: app }
  - { name: old, match: { path: /old }, auth: none, redirect: { location: /a/1 } }
"#;

#[tokio::test]
async fn check_ends_with_zero_when_nothing_is_wrong() {
    let place = Place::serving(SOUND);
    let ended = place.run(&["check"]).await.with(0);
    assert_eq!(ended.out, "config/gateway.yaml and routes.yaml: no errors, 2 routes\n");
    assert_eq!(ended.err, "");
    let report = place.run(&["check", "--format", "json"]).await.with(0).json();
    assert_eq!((&report["ok"], &report["routes"], &report["problems"]), (&json!(true), &json!(2), &json!([])));
    assert_eq!(report["files"][0]["file"], "config/gateway.yaml");
    assert_eq!(report["files"][1]["file"], "routes.yaml");
}

#[tokio::test]
async fn check_ends_with_one_and_tells_every_mistake() {
    let place = Place::serving(&SOUND.replace("upstream: app", "upstream: ap").replace("/old }", "old }"));
    let ended = place.run(&["check"]).await.with(1);
    for told in ["error[E0404]", "routes.yaml:6:", "did you mean `app`?", "error[E0207]", "routes.yaml:7:", "2 errors"]
    {
        assert!(ended.err.contains(told), "{told}: {}", ended.err);
    }
    assert_eq!(ended.out, "");
    let report = place.run(&["check", "--format", "json"]).await.with(1).json();
    assert_eq!((&report["ok"], &report["files"][1]["errors"]), (&json!(false), &json!(2)));

    place.write("config/gateway.yaml", "version: 1\nlisteners: []\n");
    let ended = place.run(&["check"]).await.with(1);
    assert!(ended.err.contains("config/gateway.yaml:2:") && ended.err.contains("the routes were not checked"));
}

#[tokio::test]
async fn check_opens_what_the_files_name() {
    let place =
        Place::serving(&SOUND.replace("127.0.0.1:1\"]", "a.test:1\"], tls: { server_name: a.test, ca: ca.pem }"));
    place.write("ca.pem", "nothing of use\n");
    let ended = place.run(&["check"]).await.with(1);
    assert!(ended.err.contains("routes.yaml:6:") && ended.err.contains("ca.pem holds no certificate"), "{ended:?}");
    assert!(ended.err.contains("it closes the route `item`"), "{ended:?}");
    let problems = place.run(&["check", "--format", "json"]).await.with(1).json()["problems"].clone();
    assert_eq!(problems.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn check_notes_answers_that_there_is_no_memory_for() {
    let place = Place::serving(&SOUND.replace("upstream: app", "upstream: app, cache: { max_object: 4MiB }"));
    assert_eq!(place.run(&["check"]).await.with(0).err, "");
    let listener = "version: 1\nlisteners: [{ name: http, address: \"127.0.0.1:0\" }]\n";
    for (memory, told) in [
        ("off", "nothing is kept for the route `item`, because config/gateway.yaml says `memory: off`"),
        ("2MiB", "`max_object` of the route `item` is more than `cache.memory` of config/gateway.yaml"),
    ] {
        place.write("config/gateway.yaml", format!("{listener}cache: {{ memory: {memory} }}\n"));
        assert_eq!(place.run(&["check"]).await.with(0).err, format!("note: routes.yaml: {told}\n"));
    }
}

#[tokio::test]
async fn check_notes_what_one_file_asks_for_and_the_other_does_not_give() {
    let routes = "
version: 1
partners: { acme: { certificates: [{ dns: acme.test }] } }
upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }
routes:
  - { name: a, match: { path: /a }, auth: { certificate: true }, upstream: app }
  - { name: b, match: { path: /b }, auth: { any_of: [{ api_key: {} }, { certificate: true }] }, upstream: app }
  - { name: c, match: { path: /c }, auth: none, quota: { per: address, limit: 10/day }, upstream: app }
";
    let place = Place::serving(routes);
    let ended = place.run(&["check"]).await.with(0);
    let notes = "note: routes.yaml: no client can show a certificate to the routes `a`, `b`, because no listener of config/gateway.yaml has \
                 `tls.client_certificates`\n\
                 note: routes.yaml: quotas begin anew at each start, because config/gateway.yaml has no `store`\n";
    assert_eq!(ended.err, notes);
    let report = place.run(&["check", "--format", "json"]).await.with(0).json();
    assert_eq!((&report["ok"], report["notes"].as_array().unwrap().len()), (&json!(true), 2));

    let authority = Authority::new("Clients");
    authority.issue(&["gateway.test"]).write(&place.path(""), "gateway");
    place.write("clients.pem", authority.bundle());
    place.write(
        "config/gateway.yaml",
        "version: 1\nroutes: ../routes.yaml\nstore: { file: ../sluice.db }\nlisteners:\n  \
         - { name: https, address: \"127.0.0.1:0\", tls: { certificates: [{ certificate: ../gateway.crt, key: ../gateway.key }], \
         client_certificates: { ca: ../clients.pem, mode: optional } } }\n",
    );
    let ended = place.run(&["check"]).await.with(0);
    assert_eq!(ended.err, "");
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused_rather_than_guessed() {
    let place = Place::serving("");
    place.write("routes.yaml", b"version: 1\n# caf\xe9\nroutes: []\n");
    for (command, code) in [("check", 1), ("run", 64)] {
        let ended = place.run(&[command]).await.with(code);
        assert!(ended.err.contains("line 2 is not UTF-8"), "{ended:?}");
    }
}

#[tokio::test]
async fn the_shipped_files_are_right() {
    let place = Place::new();
    let root = repository();
    let (config, routes) = (root.join("config/gateway.yaml"), root.join("routes.yaml"));
    let arguments = ["check", "--config", config.to_str().unwrap(), "--routes", routes.to_str().unwrap()];
    place.run(&arguments).await.with(0);
    place.run(&["test", "--config", config.to_str().unwrap(), "--routes", routes.to_str().unwrap()]).await.with(0);
    let ended = place.run(&["check"]).await.with(0);
    assert_eq!(ended.out, "config/gateway.yaml and <built-in>/routes.yaml: no errors, 21 routes\n");
}

#[tokio::test]
async fn routes_lists_what_was_understood() {
    let place = Place::serving(SOUND);
    let ended = place.run(&["routes"]).await.with(0);
    let expected = "\
ROUTE  METHODS  HOSTS   PATH          DOES
item   GET      a.test  /a/{id} ?v=2  -> app
old    *        *       /old          307 redirect
";
    assert_eq!(ended.out, expected);
    let listed = place.run(&["routes", "--format", "json"]).await.with(0).json();
    assert_eq!(listed["routes"][0]["name"], "item");
    assert_eq!(listed["routes"][0]["action"], json!({ "upstream": "app" }));
    assert_eq!(listed["routes"][1]["at"], "routes.yaml:7:5");

    place.write("routes.yaml", SOUND.replace("upstream: app", "upstream: ap"));
    let ended = place.run(&["routes"]).await.with(1);
    assert!(ended.out.contains("closed: 503 ROUTE_FAULTY") && ended.err.contains("error[E0404]"), "{ended:?}");
    let listed = place.run(&["routes", "--format", "json"]).await.with(1).json();
    assert_eq!(listed["routes"][0]["state"], "faulty");
}

#[tokio::test]
async fn schema_prints_what_is_shipped() {
    let place = Place::new();
    for (arguments, name) in
        [(&["schema", "gateway"][..], "gateway"), (&["schema", "routes"], "routes"), (&["schema"], "routes")]
    {
        let shipped = std::fs::read_to_string(repository().join(format!("config/schema/{name}.schema.json"))).unwrap();
        assert_eq!(place.run(arguments).await.with(0).out, shipped);
    }
}

#[tokio::test]
async fn misuse_ends_with_two() {
    let place = Place::serving(SOUND);
    for (arguments, told) in [
        (&["--bogus"][..], "--bogus"),
        (&["frobnicate"], "frobnicate"),
        (&["run", "--listen", "http"], "NAME=ADDRESS"),
        (&["run", "--listen", "http=localhost:80"], "localhost:80"),
        (&["run", "--threads", "0"], "--threads"),
        (&["--admin", "127.0.0.1:0", "check"], "`--admin` belongs to `run`"),
        (&["check", "--format", "xml"], "xml"),
        (&["explain", "GET"], "<URL>"),
        (&["explain", "GET", "orders"], "/api/orders"),
        (&["explain", "GET", "/", "-H", "x"], "NAME: VALUE"),
    ] {
        let ended = place.run(arguments).await.with(2);
        assert!(ended.err.contains(told) && ended.out.is_empty(), "{arguments:?}: {ended:?}");
    }
    let ended = place.run(&["run", "--listen", "https=127.0.0.1:0"]).await.with(64);
    assert!(ended.err.contains("no listener `https`; there are: http"), "{ended:?}");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_crash() {
    let place = Place::new();
    let mut child = place.command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = eventually("the process ends", async || child.try_wait().unwrap()).await;
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}
