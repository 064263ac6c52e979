//! The reference pages under `docs/`, whose tables are made from the code: the tests fail when a page is out of date, and
//! `SLUICE_UPDATE=1 cargo test` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use super::access_log;
use super::metrics::{AGE_BUCKETS, FAMILIES, Family, LABELS, LATENCY_BUCKETS, PROCESS};
use crate::base::reason::{Origin, Reason};

const END: &str = "<!-- end of generated part -->";

/// Compares what stands between `<!-- generated: NAME -->` and the end mark.
fn assert_generated(page: &str, name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let start = format!("<!-- generated: {name} -->");
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("docs/{page} has no `{start}`"));
    let (found, after) = rest.split_once(END).unwrap_or_else(|| panic!("docs/{page} has no `{END}`"));
    let expected = format!("\n{expected}");
    if std::env::var_os("SLUICE_UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{start}{expected}{END}{after}")).unwrap();
    } else {
        assert!(
            found == expected,
            "docs/{page} is out of date; run the tests with SLUICE_UPDATE=1 and look at the change"
        );
    }
}

/// A table cell holds no bar.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn family_table(families: &[Family]) -> String {
    let mut table = "| metric | type | labels | unit | meaning |\n|---|---|---|---|---|\n".to_owned();
    for Family { name, kind, labels, unit, help } in families {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        writeln!(table, "| `{name}` | {} | {labels} | {unit} | {} |", kind.as_str(), cell(help)).unwrap();
    }
    table
}

#[test]
fn metrics_page_is_up_to_date() {
    let mut text = family_table(FAMILIES);
    text.push_str("\n## Labels\n\n| label | values |\n|---|---|\n");
    for label in LABELS {
        writeln!(text, "| `{}` | {} |", label.name, cell(label.values)).unwrap();
    }
    let listed = |bounds: &[f64]| bounds.iter().map(|bound| format!("`{bound}`")).collect::<Vec<_>>().join(", ");
    let (latencies, ages) = (listed(LATENCY_BUCKETS), listed(AGE_BUCKETS));
    writeln!(text, "\n## Buckets\n\nHistograms have these upper bounds, in seconds: {latencies};").unwrap();
    writeln!(text, "those of ages: {ages}.").unwrap();
    text.push_str("\n## Of the process\n\nOn Linux, read from `/proc` at each scrape.\n\n");
    text.push_str(&family_table(PROCESS));
    assert_generated("metrics.md", "metrics", &text);
}

#[test]
fn access_log_page_is_up_to_date() {
    let mut table = "| field | type | there when | meaning |\n|---|---|---|---|\n".to_owned();
    for access_log::Field { name, kind, when, meaning } in access_log::FIELDS {
        let when = if when.is_empty() { "always" } else { when };
        writeln!(table, "| `{name}` | {kind} | {when} | {} |", cell(meaning)).unwrap();
    }
    assert_generated("access-log.md", "fields", &table);
}

#[test]
fn reasons_page_is_up_to_date() {
    let mut text =
        "| reason | status | gRPC status | who acts | what happened | next step |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for reason in Reason::ALL {
        let who = match reason.origin() {
            Origin::Client => "client",
            Origin::Gateway => "gateway",
            Origin::Upstream => "upstream",
        };
        let grpc = reason.grpc_status();
        writeln!(
            text,
            "| <a id=\"{0}\"></a>`{reason}` | {1} | {2} `{3}` | {who} | {4} | {5} |",
            reason.as_str().to_lowercase().replace('_', "-"),
            reason.status(),
            grpc.code(),
            grpc.as_str(),
            cell(reason.detail()),
            cell(reason.next_step()),
        )
        .unwrap();
    }
    assert_generated("reasons.md", "reasons", &text);
}
