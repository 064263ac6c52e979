//! `sluice anomaly`: models of an access log, what they say of it, and what is asked of a gateway that runs.

use std::fmt::Write as _;

use serde_json::Value;

use super::process::{Place, Process, bootstrap};

const ROUTES: &str = "version: 1\nanomaly: { warm_up: 1000 }\nroutes:\n  \
    - name: orders\n    match: { path: \"/orders/{rest...}\" }\n    auth: none\n    respond: { body: hello }\n    \
    anomaly: { ladder: { tag: 5%, block: 0.5% } }\n  \
    - { name: prices, match: { path: /prices }, auth: none, respond: { body: hello }, anomaly: observe }\n";

/// Of this many lines, the last is an attack.
const LINES: u64 = 3_000;

/// A folder with a log, routes and a folder of models.
fn place() -> Place {
    let place = Place::new();
    place.write("routes.yaml", ROUTES);
    place.write(
        "config/gateway.yaml",
        bootstrap("anomaly: { folder: ../models }\naccess_log: { target: ../access.log }\n"),
    );
    place.write("access.log", log(LINES));
    place
}

/// Three partners who do the same from day to day; every hundredth request is refused before a check, and the last one is by a
/// partner who never did such a thing.
fn log(lines: u64) -> String {
    let mut log = String::new();
    for at in 0..lines {
        let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let (partner, second) = (["acme", "globex", "initech"][at as usize % 3], at * 7);
        let time = format!(
            "2026-11-23T{:02}:{:02}:{:02}.{:06}Z",
            second / 3_600,
            second / 60 % 60,
            second % 60,
            mixed % 1_000_000
        );
        let (id, took, bytes) = (mixed % 40, 9_000 + mixed % 3_000, 900 + mixed % 200);
        let method = if mixed % 41 == 0 { "DELETE" } else { "GET" };
        let deep = if mixed % 43 == 0 { format!("/items/{at}") } else { String::new() };
        let (network, agent) = (if mixed % 53 == 0 { mixed % 200 } else { 113 }, if mixed % 61 == 0 { at } else { 0 });
        let usual = format!(
            r#""client":"203.0.{network}.{}","method":"{method}","path":"/orders/{id}{deep}","status":200,"request_bytes":0,"response_bytes":{bytes},"total_us":{took},"user_agent":"client/{partner}{agent}""#,
            at % 3
        );
        let odd = r#""client":"198.51.100.9","method":"DELETE","path":"/orders/admin/export/all/now/and/then","status":200,"request_bytes":0,"response_bytes":9000000,"total_us":4000000,"user_agent":"curl/8""#;
        let refused = r#""client":"203.0.113.1","method":"GET","path":"/orders/1","status":429,"reason":"RATE_LIMITED","request_bytes":0,"response_bytes":0,"total_us":50,"user_agent":"client""#;
        let rest = if at + 1 == lines {
            odd
        } else if at % 100 == 99 {
            refused
        } else {
            &usual
        };
        writeln!(
            log,
            r#"{{"time":"{time}","request_id":"r-{at}","route":"orders","partner":"{partner}","auth":"jwt",{rest}}}"#
        )
        .unwrap();
    }
    log
}

async fn trained(place: &Place) -> Value {
    place
        .run(&["anomaly", "train", "--route", "orders", "--from", "access.log", "--format", "json"])
        .await
        .with(0)
        .json()
}

/// What differs from run to run by its name, and other numbers as `#`.
fn masked(text: &str, version: &str) -> String {
    let text = text.replace(version, "VERSION");
    let mut masked = String::new();
    for c in text.chars() {
        let is_part = masked.ends_with('#') && matches!(c, '.' | '%');
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            _ if is_part => {}
            c => masked.push(c),
        }
    }
    masked
}

#[tokio::test]
async fn a_model_is_made_of_a_log_and_judges_it() {
    let place = place();
    let made = trained(&place).await;
    let version = made["version"].as_str().unwrap();
    assert_eq!((&made["route"], &made["rows"], &made["requests"]), (&"orders".into(), &2_971.into(), &2_971.into()));
    assert!(place.path(made["path"].as_str().unwrap()).is_file(), "{made}");

    place.write("labels", "# an attack\nr-2999\nr-99\nr-nobody\n");
    let evaluate = ["anomaly", "evaluate", "--model", version, "--from", "access.log", "--labels", "labels"];
    let told = place.run(&evaluate).await.with(0);
    assert_eq!(told.err, "");
    let golden = "\
model      VERSION of route orders, made from # requests of #-#-#T#:#:#Z to #-#-#T#:#:#Z
log        # lines, # requests of route orders; # more were refused before a check
score      least #, #, #, #, most #
drift      #, below #
";
    let head: Vec<&str> = told.out.lines().collect();
    let shown = masked(&head[..4].join("\n"), version).replace("# #,", "#,");
    assert_eq!(format!("{shown}\n"), golden, "{}", told.out);
    let rest = [
        "ladder     rung   expected  actual",
        "           tag    5%        ",
        "           block  0.5%      ",
        "attacks    3: 1 judged, 1 refused before a check, 1 not of this route or log",
        "           rung   precision  recall",
        "           tag    ",
        "           block  ",
        "           average precision 1.000",
        "rarest     r-2999 rarity 0.00",
        "             path depth",
    ];
    for (line, expected) in head[4..].iter().zip(rest) {
        assert!(line.starts_with(expected), "{line} is not {expected}");
    }

    let json = place.run(&[&evaluate[..], &["--format", "json"]].concat()).await.with(0).json();
    assert_eq!(json["log"]["requests"], 2_971);
    assert_eq!(json["log"]["refused_before"], 29);
    assert_eq!(json["drift"]["alarming"], false);
    assert_eq!(json["rarest"].as_array().unwrap().len(), 20);
    assert_eq!(json["attacks"]["rungs"][1]["recall"], 1.0);
    assert_eq!(json["ladder"][0]["expected"], 0.05);
    let actual = json["ladder"][0]["actual"].as_f64().unwrap();
    assert!(actual < 0.06, "of its own log, no more is rare than is expected: {actual}");
}

#[tokio::test]
async fn the_same_log_makes_the_same_model() {
    let place = place();
    let mut scores = Vec::new();
    for folder in ["one", "two"] {
        let train = ["anomaly", "train", "--route", "orders", "--from", "access.log", "--folder", folder];
        let made = place.run(&[&train[..], &["--format", "json"]].concat()).await.with(0).json();
        // A file is a model as well.
        let path = made["path"].as_str().unwrap();
        let evaluate = ["anomaly", "evaluate", "--model", path, "--from", "access.log", "--format", "json"];
        let judged = place.run(&evaluate).await.with(0).json();
        scores.push((judged["scores"].clone(), judged["rarest"].clone()));
    }
    assert_eq!(scores[0], scores[1]);
}

#[tokio::test]
async fn a_request_is_explained_by_the_log_that_the_gateway_writes() {
    let place = place();
    let version = trained(&place).await["version"].as_str().unwrap().to_owned();
    let told = place.run(&["anomaly", "explain", "r-2999"]).await.with(0);
    let golden = "\
request    r-# at #-#-#T#:#:#Z: DELETE /orders/admin/export/all/now/and/then # on route orders, by partner initech from #
model      VERSION of route orders, made from # requests of #-#-#T#:#:#Z to #-#-#T#:#:#Z
rarity     #
  arrival  #, score #
  earlier  #, what came of # requests of this caller before
why        # path_depth";
    let shown = masked(&told.out, &version);
    assert!(shown.starts_with(golden), "{shown}");
    for line in [
        "features   feature ",
        "           method ",
        "outcome    rarity 0.000",
        "           duration_z ",
        "not logged url_length, ",
    ] {
        assert!(told.out.lines().any(|found| found.starts_with(line)), "{line} in {}", told.out);
    }

    let json =
        place.run(&["anomaly", "explain", "r-2999", "--model", &version, "--format", "json"]).await.with(0).json();
    let features = json["arrival"]["features"].as_array().unwrap();
    let method = features.iter().find(|one| one["feature"] == "method").unwrap();
    assert_eq!((&method["value"], &method["median"]), (&"DELETE".into(), &"GET".into()));
    let why = json["why"].as_array().unwrap();
    assert!(why.iter().any(|why| why["text"] == "path depth 7 segments, 3.5x the usual 2"), "{why:?}");
    assert_eq!((&json["logged"], &json["earlier"]["requests"]), (&Value::Null, &990.into()));
    assert!(json["outcome"]["score"].as_f64() > Some(0.5), "{json}");
}

#[tokio::test]
async fn what_the_gateway_said_at_that_time_is_shown_and_steers_no_terminal() {
    let place = place();
    trained(&place).await;
    let more = r#"{"time":"2026-11-23T06:00:00Z","request_id":"odd","client":"203.0.113.1","method":"GET","path":"/orders/\u001b[31m","route":"orders","partner":"acme","status":403,"reason":"ANOMALOUS","anomaly_score":0.8,"anomaly_rarity":0.0004,"anomaly_action":"block","anomaly_why":["path not seen"],"request_bytes":0,"response_bytes":9,"total_us":90}"#;
    place.write("more.log", more);
    let told = place.run(&["anomaly", "explain", "odd", "--from", "access.log", "--from", "more.log"]).await.with(0);
    assert!(
        told.out.contains("\nlogged     score 0.800, rarity 0.0004, block\n           path not seen\n"),
        "{}",
        told.out
    );
    assert!(told.out.contains("/orders/\\u{1b}[31m") && !told.out.contains('\u{1b}'), "{}", told.out);
    assert!(!told.out.contains("outcome "), "it had none: {}", told.out);
}

#[tokio::test]
async fn a_model_of_a_log_takes_the_place_of_none() {
    let place = place();
    place.write("routes.yaml", ROUTES.replace("warm_up: 1000", "warm_up: 1000, keep: 1"));
    let judges = trained(&place).await;
    place.write("access.log", log(LINES - 500));
    let tried = trained(&place).await;
    assert_ne!(judges["version"], tried["version"]);
    for made in [judges, tried] {
        assert!(place.path(made["path"].as_str().unwrap()).is_file(), "{made}");
    }
}

#[tokio::test]
async fn models_of_a_folder_are_listed_with_what_is_damaged() {
    let place = place();
    let ended = place.run(&["anomaly", "models", "--folder"]).await.with(1);
    assert_eq!(ended.err, "error: there is no folder models\n");
    let version = trained(&place).await["version"].as_str().unwrap().to_owned();
    let routes = ROUTES
        .replace("anomaly: observe", &format!("anomaly: {{ model: {version} }}"))
        .replace("block: 0.5% }", &format!("block: 0.5% }}, shadow: {version}"));
    place.write("routes.yaml", routes);
    place.write("models/prices--20261123T000000Z-00000000.model", "not this");
    let told = place.run(&["anomaly", "models", "--folder"]).await.with(0);
    let lines: Vec<&str> = told.out.lines().collect();
    assert!(lines[0].starts_with("VERSION ") && lines[0].ends_with("  DOES"), "{}", told.out);
    assert!(lines[1].ends_with("  judges orders, judges prices (pinned), shadows orders"), "{}", told.out);
    assert_eq!(lines[2], "damaged: models/prices--20261123T000000Z-00000000.model: not a model");
    let json = place.run(&["anomaly", "models", "--folder", "models", "--format", "json"]).await.with(0).json();
    assert_eq!(json["models"][0]["pinned_by"][0], "prices");
    assert_eq!(json["damaged"][0]["why"], "not a model");
}

#[tokio::test]
async fn lines_that_are_none_are_told_with_their_numbers_and_only_all_of_them_are_an_error() {
    let place = place();
    place.write("access.log", format!("nonsense\n{}{{}}\n", log(LINES)));
    let made = place.run(&["anomaly", "train", "--route", "orders", "--from", "access.log"]).await.with(0);
    let told: Vec<&str> = made.err.lines().map(|line| line.split(" left out").next().unwrap()).collect();
    assert_eq!(told, ["warning: access.log:1:", "warning: access.log:3002:"]);
    for (content, said) in
        [("", "there is no line in empty.log"), ("a\nb\n", "no line of empty.log is one of an access log")]
    {
        place.write("empty.log", content);
        let ended = place.run(&["anomaly", "train", "--route", "orders", "--from", "empty.log"]).await.with(1);
        assert!(ended.err.starts_with(&format!("error: {said}")), "{ended:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_told() {
    let place = place();
    trained(&place).await;
    place.write("few.log", log(500));
    place.write("none", "");
    for (arguments, said) in [
        (
            &["evaluate", "--model", "none-such", "--from", "access.log"][..],
            "there is no model `none-such`, neither as a file nor in ",
        ),
        (&["evaluate", "--model", "none", "--from", "access.log"], "none: not a model"),
        (&["explain", "r-1", "--model", "none-such"], "there is no model `none-such`"),
        (&["explain", "nobody"], "there is no request `nobody` in "),
        (&["explain", "r-99"], "request `r-99` was refused with 429 before any check of route `orders` saw it"),
        (&["explain", "r-1", "--from", "absent.log"], "cannot read absent.log: "),
        (&["explain", "r-1", "--from", "-"], "the log is read twice"),
        (
            &["train", "--route", "orders", "--from", "few.log"],
            "not enough data: 496 requests of route `orders`, and `anomaly.warm_up` wants 1000",
        ),
        (&["train", "--route", "prices", "--from", "few.log"], "not enough data: 0 requests of route `prices`"),
    ] {
        let ended = place.run(&[&["anomaly"], arguments].concat()).await.with(1);
        assert!(ended.err.contains(&format!("error: {said}")), "{arguments:?}: {ended:?}");
        let ended = place.run(&[&["anomaly"], arguments, &["--format", "json"]].concat()).await.with(1);
        assert!(ended.json()["error"].as_str().unwrap().contains(said), "{arguments:?}: {ended:?}");
    }
    let version = trained(&place).await["version"].as_str().unwrap().to_owned();
    let evaluate = ["anomaly", "evaluate", "--model", &version, "--from", "access.log"];
    let ended = place.run(&[&evaluate[..], &["--labels", "none"]].concat()).await.with(1);
    assert_eq!(ended.err, "error: none: there is no id of a request\n");
    place.write("routes.yaml", ROUTES.replace("block: 0.5%", "block: 50%"));
    let ended = place.run(&evaluate).await.with(1);
    assert!(ended.err.starts_with("error: route `orders` is faulty: "), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_a_usage_error() {
    let place = Place::new();
    for arguments in [
        &["anomaly"][..],
        &["anomaly", "explain"],
        &["anomaly", "evaluate", "--model", "x"],
        &["anomaly", "evaluate", "--from", "x"],
        &["anomaly", "train", "--from", "x"],
        &["anomaly", "train", "--route", "x", "--folder", "y"],
        &["anomaly", "train", "--route", "x y"],
    ] {
        place.run(arguments).await.with(2);
    }
}

#[tokio::test]
async fn a_gateway_that_runs_is_asked() {
    let place = place();
    let serving: Process = place.start(&["run", "--format", "json"]);
    let admin = serving.first_line().await["admin"].as_str().unwrap().to_owned();
    let elsewhere = Place::new();
    let ask = async |arguments: &[&str]| elsewhere.run(&[&["anomaly"], arguments, &["--admin", &admin]].concat()).await;
    assert_eq!(ask(&["models"]).await.with(0).out, "there are no models\n");
    assert_eq!(ask(&["train"]).await.with(1).out, "no route has seen enough requests for a model\n");
    let ended = ask(&["train", "--route", "orders"]).await.with(1);
    assert_eq!(ended.err, "error: 409: There is not enough data: 0 of 1000 requests.\n");
    let ended = ask(&["train", "--route", "nobody"]).await.with(1);
    assert!(ended.err.contains("404: There is no route of this name with anomaly checks"), "{ended:?}");
    drop(serving);

    let version = trained(&place).await["version"].as_str().unwrap().to_owned();
    let serving = place.start(&["run", "--format", "json"]);
    let admin = serving.first_line().await["admin"].as_str().unwrap().to_owned();
    let models = async |arguments: &[&str]| {
        elsewhere.run(&[&["anomaly", "models", "--admin", &admin], arguments].concat()).await
    };
    let told = models(&[]).await.with(0).out;
    assert!(
        told.lines().nth(1).is_some_and(|line| line.starts_with(&version) && line.ends_with("  judges orders")),
        "{told}"
    );
    let json = models(&["--format", "json"]).await.with(0).json();
    assert_eq!(json["models"][0]["judges"][0], "orders");

    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for arguments in [&["models"][..], &["train"]] {
        let ended = elsewhere.run(&[&["anomaly"], arguments, &["--admin", &unused]].concat()).await.with(1);
        assert!(ended.err.contains(&format!("the admin API at http://{unused}: ")), "{ended:?}");
    }
}
