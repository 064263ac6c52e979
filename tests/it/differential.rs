//! Both engines, confronted with the same bytes, do the same: towards the upstream, towards the client, in the log;
//! except where a list says why not.

mod corpus;
mod differences;
mod exchange;
mod generate;
mod message;
mod pair;
mod seen;
mod socket;
mod tokens;
mod upstream;

use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use differences::DIFFERENCES;
use exchange::Exchange;
use pair::Pair;

const ENGINES: [&str; 2] = ["engine: auto", "engine: pingora"];
/// Generated exchanges of one batch; the log is asked once for a batch.
const BATCH: usize = 24;
/// Steps to make an exchange smaller.
const STEPS: usize = 400;

/// Confronts a pair with generated exchanges, always the same; the error is about the smallest found that makes a difference.
async fn search(engines: [&str; 2], batches: usize) -> Result<(), String> {
    let mut pair = Pair::start(engines).await;
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = generate::exchange();
    for _ in 0..batches {
        let mut trees: Vec<_> = (0..BATCH).map(|_| strategy.new_tree(&mut runner).unwrap()).collect();
        let Err((index, mut report)) = pair.compare(trees.iter().map(ValueTree::current)).await else { continue };
        let tree = &mut trees[index];
        let mut simpler = tree.simplify();
        for _ in 0..STEPS {
            if !simpler {
                break;
            }
            simpler = match pair.difference(&tree.current()).await {
                Some(smaller) => {
                    report = smaller;
                    tree.simplify()
                }
                None => tree.complicate(),
            };
        }
        return Err(report);
    }
    pair.steady()
}

async fn agree(exchanges: impl IntoIterator<Item = Exchange>) {
    let mut pair = Pair::start(ENGINES).await;
    pair.compare(exchanges).await.unwrap_or_else(|(_, report)| panic!("{report}"));
    pair.steady().unwrap();
}

#[tokio::test]
async fn engines_agree_on_whatever_is_said() {
    search(ENGINES, 24).await.unwrap_or_else(|report| panic!("{report}"));
}

#[tokio::test]
async fn engines_agree_on_requests_cut_at_every_byte() {
    agree(corpus::requests().iter().flat_map(Exchange::cut_everywhere)).await;
}

#[tokio::test]
async fn engines_agree_on_answers_cut_at_every_byte() {
    agree(corpus::answers().iter().flat_map(Exchange::cut_everywhere)).await;
}

#[tokio::test]
async fn a_difference_is_found_and_made_small() {
    for (seeded, sign) in [
        ("response_headers: { set: { x-seeded: a } }", "x-seeded: a"),
        ("request_headers: { set: { x-seeded: b } }", "x-seeded: b"),
        ("rewrite: { path: /c }", "GET /c"),
        ("max_body: 0B", "413 "),
    ] {
        let report = search(["", seeded], 4).await.expect_err(seeded);
        assert!(report.contains(sign), "{report}");
        let (_, said) = report.split_once("the client sends").expect("what was said");
        let (said, _) = said.split_once("with one").expect("what was made of it");
        assert!(said.lines().count() <= 16, "{report}");
    }
}

#[test]
fn the_documentation_lists_every_difference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/engines.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- generated: differences -->\n").expect("the mark of the generated part");
    let (_, after) = rest.split_once("<!-- end of generated part -->\n").expect("the mark of its end");
    let table = differences::table();
    let now = format!("{before}<!-- generated: differences -->\n{table}<!-- end of generated part -->\n{after}");
    if std::env::var_os("SLUICE_UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, now).unwrap();
    } else {
        assert_eq!(page, now, "SLUICE_UPDATE=1 writes it anew");
    }
}

#[tokio::test]
async fn every_difference_that_is_listed_is_one() {
    let mut pair = Pair::start(ENGINES).await;
    let mut unseen = Vec::new();
    for (index, difference) in DIFFERENCES.iter().enumerate() {
        let (exchange, [one, other]) = pair.confront([(difference.example)()]).await.swap_remove(0);
        let but_for_this = |mut seen: seen::Seen| {
            let others = DIFFERENCES.iter().enumerate().filter(|(other, _)| *other != index);
            others.for_each(|(_, difference)| (difference.forgive)(&exchange, &mut seen));
            seen
        };
        if but_for_this(one).differs(&but_for_this(other), false).is_none() {
            unseen.push(difference.what);
        }
    }
    assert!(unseen.is_empty(), "nothing differs here any more: {unseen:#?}");
}
