//! `sluice key new`: a key that nobody keeps, and lines that the routes file takes.

use sluice::auth::api_key;

use super::process::Place;

fn routes(partners: &str) -> String {
    format!(
        "version: 1\npartners:\n{partners}routes:\n\
         \x20 - {{ name: all, match: {{ path: / }}, auth: none, respond: {{ body: hello }} }}\n"
    )
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn what_is_printed_is_what_the_routes_file_takes() {
    let place = Place::serving("");
    let ended = place.run(&["key", "new", "--partner", "acme", "--expires", "2090-01-31"]).await.with(0);
    let (key, lines) = ended.out.split_once("\n\n").unwrap();
    let id = api_key::id_of(key.as_bytes()).unwrap();
    let digest = hex(api_key::digest(key.as_bytes()));
    let expected = format!(
        "  acme:\n    api_keys:\n      - id: \"{id}\"\n        sha256: \"{digest}\"\n        expires: \"2090-01-31\"\n"
    );
    assert_eq!(lines, expected);
    assert!(ended.err.contains("shown this once") && !ended.err.contains(key), "{ended:?}");
    place.write("routes.yaml", routes(lines));
    place.run(&["check"]).await.with(0);
}

#[tokio::test]
async fn the_same_as_an_object() {
    let place = Place::serving("");
    let made = place.run(&["key", "new", "--id", "acme00000001", "--format", "json"]).await.with(0).json();
    let key = made["key"].as_str().unwrap();
    assert_eq!(api_key::id_of(key.as_bytes()), Some("acme00000001"));
    assert_eq!((&made["id"], &made["expires"], &made["partner"]), (&"acme00000001".into(), &().into(), &().into()));
    assert_eq!(made["sha256"], hex(api_key::digest(key.as_bytes())));
    place.write("routes.yaml", routes(&format!("  acme:\n{}", made["yaml"].as_str().unwrap())));
    place.run(&["check"]).await.with(0);
}

#[tokio::test]
async fn no_two_keys_are_the_same_and_none_is_left_behind() {
    let place = Place::new();
    let one = place.run(&["key", "new"]).await.with(0).out;
    let other = place.run(&["key", "new"]).await.with(0).out;
    let key = |out: &str| out.lines().next().unwrap().to_owned();
    assert_ne!(key(&one), key(&other));
    let left = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "stdout.log" && name != "stderr.log").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_no_file_could_take_is_refused() {
    let place = Place::new();
    for (arguments, told) in [
        (&["key"][..], "new"),
        (&["key", "new", "--id", "acme"], "12 letters and digits"),
        (&["key", "new", "--id", "acme-0000001"], "12 letters and digits"),
        (&["key", "new", "--partner", "a: b"], "a name is"),
        (&["key", "new", "--partner", ""], "a name is"),
        (&["key", "new", "--expires", "tomorrow"], "2027-01-31"),
        (&["key", "new", "--expires", "2090-02-30"], "2090-02-30"),
        (&["key", "new", "--expires", "2020-01-01"], "past already"),
    ] {
        let ended = place.run(arguments).await.with(2);
        assert!(ended.err.contains(told) && ended.out.is_empty(), "{arguments:?}: {ended:?}");
    }
}
