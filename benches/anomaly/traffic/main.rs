//! Labelled traffic through the anomaly checks: what they find, and what they take for something that it is not.
//!
//! `traffic all` prints every table; `usual`, `attacks`, `variants`, `ladder` a part of them, `detail` where false alerts come from. Without
//! arguments it runs on a small scale, as a smoke test. `SEED`, `DAYS` and `RETRAIN` (hours) in the environment change the world.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

mod attacks;
mod chance;
mod payloads;
mod simulation;
mod speed;
mod tables;
mod usual;
mod world;

use std::process::ExitCode;

use simulation::{Setup, Variant, run};
use world::HOUR;

/// Counts, and is that of the system otherwise.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let number =
        |name: &str, default: f64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let setup = Setup {
        seed: number("SEED", 1.0) as u64,
        days: number("DAYS", 10.0),
        retrain: number("RETRAIN", 1.0) * HOUR,
        has_attacks: false,
        refuses: false,
        variant: Variant::AsShipped,
    };
    let attacked = Setup { has_attacks: true, ..setup };
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let run = run(Setup { days: 5.0, retrain: 12.0 * HOUR, ..attacked });
            tables::attacks(&run);
        }
        ["usual"] => usual(setup),
        ["detail"] => {
            tables::usual_in_detail(&run(setup));
            tables::incidents(&run(attacked));
        }
        ["attacks"] => attacks(attacked),
        ["variants"] => variants(attacked),
        ["ladder"] => tables::refused(&run(Setup { refuses: true, ..attacked })),
        ["all"] => {
            usual(setup);
            attacks(attacked);
            tables::refused(&run(Setup { refuses: true, ..attacked }));
            variants(attacked);
        }
        _ => {
            eprintln!("usage: traffic [all | usual | attacks | variants | ladder | detail]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn usual(setup: Setup) {
    tables::usual(&run(setup));
}

fn attacks(setup: Setup) {
    let run = run(setup);
    tables::attacks(&run);
    println!();
    tables::beside(&run);
    println!();
    tables::compare_head();
    tables::compare("all three witnesses", &run, |one| one.rarity);
    tables::compare("arrival alone", &run, |one| one.witnesses[0] / 2.0);
    tables::compare("running alone", &run, |one| one.witnesses[1] / 4.0);
    tables::compare("window alone", &run, |one| one.witnesses[2] / 4.0);
    println!();
    speed::measure(&run);
}

fn variants(setup: Setup) {
    tables::compare_head();
    for (name, variant) in [
        ("as shipped", Variant::AsShipped),
        ("without z-scores", Variant::WithoutZScores),
        ("nothing trimmed", Variant::Untrimmed(0)),
        ("nothing trimmed, extension 1", Variant::Untrimmed(1)),
        ("nothing trimmed, extension 3", Variant::Untrimmed(3)),
    ] {
        let run = run(Setup { variant, ..setup });
        tables::compare(name, &run, |one| one.rarity);
        tables::compare(&format!("{name}, arrival alone"), &run, |one| one.witnesses[0] / 2.0);
    }
}
