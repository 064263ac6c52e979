//! What was found, in tables.

use sluice::anomaly::Action;

use super::attacks::{INTENSITIES, Incident, Kind};
use super::simulation::{Judged, RUNGS, Run};
use super::usual::{Change, Label};
use super::world::ROUTES;

const WITNESSES: [&str; 3] = ["arrival", "running", "window"];

/// The rung that incidents are told by.
const NOTICED: f32 = RUNGS[1].1;

fn is_attack(judged: &Judged) -> bool {
    matches!(judged.label, Label::Attack(_))
}

fn percent(count: usize, of: usize) -> String {
    match 100.0 * count as f64 / of.max(1) as f64 {
        _ if of == 0 => "".into(),
        share if share < 0.995 => format!("{share:.2}"),
        share => format!("{share:.1}"),
    }
}

fn reach<'a>(judged: impl Iterator<Item = &'a Judged>, of: impl Fn(&Judged) -> f32) -> (usize, [usize; 4]) {
    let (mut all, mut counts) = (0, [0; 4]);
    for one in judged {
        all += 1;
        for (count, (_, share)) in counts.iter_mut().zip(RUNGS) {
            *count += usize::from(of(one) <= share);
        }
    }
    (all, counts)
}

fn line(name: &str, (all, counts): (usize, [usize; 4])) {
    println!("| {name} | {all} | {} |", counts.map(|count| percent(count, all)).join(" | "));
}

/// How many usual requests are taken for unusual.
pub fn usual(run: &Run) {
    println!(
        "| usual requests, no attacks; % | requests | tag ≤ 2 | throttle ≤ 0.5 | challenge ≤ 0.2 | block ≤ 0.05 |\n|---|---:|---:|---:|---:|---:|"
    );
    let all = || run.judged.iter();
    let steady = || all().filter(|one| one.label == Label::Usual);
    line("**all, with what changes**", reach(all(), |one| one.rarity));
    line("**all, without what changes**", reach(steady(), |one| one.rarity));
    for (at, name) in ROUTES.iter().enumerate() {
        line(name, reach(steady().filter(|one| one.route == at), |one| one.rarity));
    }
    for (at, name) in WITNESSES.iter().enumerate() {
        line(&format!("by {name} alone (of its part)"), reach(steady(), |one| one.witnesses[at]));
    }
    for (change, name) in Change::ALL {
        line(name, reach(all().filter(|one| one.label == Label::Change(change)), |one| one.rarity));
    }
}

/// Of usual requests, those at most as rare, by caller and day: where false alerts come from.
pub fn usual_in_detail(run: &Run) {
    println!(
        "\n| usual requests by partner | requests | tag | throttle | challenge | block |\n|---|---:|---:|---:|---:|---:|"
    );
    for partner in 0..=20 {
        for (witness, name) in WITNESSES.iter().enumerate() {
            let own = run.judged.iter().filter(|one| one.partner == partner && one.label == Label::Usual);
            line(&format!("{partner} {name}"), reach(own, |one| one.witnesses[witness]));
        }
    }
    for (at, route) in ROUTES.iter().enumerate() {
        for (witness, name) in WITNESSES.iter().enumerate() {
            let own = run.judged.iter().filter(|one| one.route == at && one.label == Label::Usual);
            line(&format!("{route} {name}"), reach(own, |one| one.witnesses[witness]));
        }
    }
}

/// Each incident, by each witness.
pub fn incidents(run: &Run) {
    println!(
        "| incident | partner | requests | arrival: tag | throttle | running: tag | throttle | window: tag | throttle | rarest window |"
    );
    for Found { incident, requests } in found(run) {
        let by = |witness: usize| {
            let (all, counts) = reach(requests.iter().copied(), |one| one.witnesses[witness]);
            format!("{} | {}", percent(counts[0], all), percent(counts[1], all))
        };
        let rarest = requests.iter().map(|one| one.witnesses[2]).fold(4.0, f32::min);
        println!(
            "| {:?} {} | {} | {} | {} | {} | {} | {rarest:.5} |",
            incident.kind,
            INTENSITIES[incident.intensity],
            incident.partner,
            requests.len(),
            by(0),
            by(1),
            by(2)
        );
    }
}

struct Found<'a> {
    incident: &'a Incident,
    requests: Vec<&'a Judged>,
}

fn found(run: &Run) -> Vec<Found<'_>> {
    let mut found: Vec<Found<'_>> =
        run.incidents.iter().map(|incident| Found { incident, requests: Vec::new() }).collect();
    for one in &run.judged {
        if let Label::Attack(number) = one.label {
            found[number].requests.push(one);
        }
    }
    found
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Recall by request and by incident, precision, and which witness was first.
pub fn attacks(run: &Run) {
    println!(
        "| attack | route | requests | recall: tag | throttle | challenge | block | precision: tag | throttle | challenge | block | AP | AP arrival | incidents noticed | after requests | after s | first seen by | chance |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|"
    );
    let found = found(run);
    for (kind, name) in Kind::ALL {
        for (intensity, how) in INTENSITIES.iter().enumerate() {
            let of: Vec<&Found<'_>> = found
                .iter()
                .filter(|found| found.incident.kind == kind && found.incident.intensity == intensity)
                .collect();
            attack(&format!("{name}, {how}"), &of, run);
        }
    }
    let of: Vec<&Found<'_>> = found.iter().collect();
    attack("**all**", &of, run);
}

fn attack(name: &str, of: &[&Found<'_>], run: &Run) {
    let routes: Vec<usize> = (0..ROUTES.len()).filter(|at| of.iter().any(|one| one.incident.route == *at)).collect();
    let requests = || of.iter().flat_map(|found| found.requests.iter().copied());
    let (all, reached) = reach(requests(), |one| one.rarity);
    let benign = || run.judged.iter().filter(|one| routes.contains(&one.route) && !is_attack(one) && !one.is_beside);
    let (_, mistaken) = reach(benign(), |one| one.rarity);
    let precision: Vec<String> =
        reached.iter().zip(mistaken).map(|(right, wrong)| percent(*right, right + wrong)).collect();
    let ap = average_precision(requests(), benign(), |one| -one.rarity);
    let ap_arrival = average_precision(requests(), benign(), |one| one.score);
    let mut firsts = [0; 3];
    let (mut after, mut seconds, mut chance) = (Vec::new(), Vec::new(), 0.0);
    for found in of {
        chance += 1.0 - (1.0 - f64::from(NOTICED)).powi(found.requests.len() as i32);
        let Some(first) = found.requests.iter().position(|one| one.rarity <= NOTICED) else { continue };
        let one = found.requests[first];
        after.push(first as f64 + 1.0);
        seconds.push(one.at - found.incident.start);
        if let Some(witness) = one.witnesses.iter().position(|rarity| *rarity <= one.rarity) {
            firsts[witness] += 1;
        }
    }
    let noticed = after.len();
    let by: Vec<String> = WITNESSES
        .iter()
        .zip(firsts)
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let names: Vec<&str> = routes.iter().map(|at| ROUTES[*at]).collect();
    let or_none = |value: Option<f64>| value.map_or("".into(), |value| format!("{value:.0}"));
    println!(
        "| {name} | {} | {all} | {} | {} | {ap:.2} | {ap_arrival:.2} | {noticed}/{} | {} | {} | {} | {:.1}/{} |",
        if routes.len() < ROUTES.len() - 1 { names.join(", ") } else { "all".into() },
        reached.map(|count| percent(count, all)).join(" | "),
        precision.join(" | "),
        of.len(),
        or_none(median(after)),
        or_none(median(seconds)),
        by.join(", "),
        chance,
        of.len(),
    );
}

/// Of requests in the order of how unusual they are; those that are alike count as one step.
fn average_precision<'a>(
    attacks: impl Iterator<Item = &'a Judged>,
    usual: impl Iterator<Item = &'a Judged>,
    of: impl Fn(&Judged) -> f32,
) -> f64 {
    let mut all: Vec<(f32, bool)> = attacks.map(|one| (of(one), true)).collect();
    let positives = all.len() as f64;
    all.extend(usual.map(|one| (of(one), false)));
    all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut right, mut seen, mut sum) = (0.0, 0.0, 0.0);
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        let new = same.iter().filter(|(_, is_attack)| *is_attack).count() as f64;
        right += new;
        seen += same.len() as f64;
        sum += new * right / seen;
    }
    sum / positives.max(1.0)
}

/// One line for each way to judge: of usual requests, those taken for unusual; of each attack, those found.
pub fn compare(name: &str, run: &Run, of: impl Fn(&Judged) -> f32 + Copy) {
    let usual = run.judged.iter().filter(|one| !is_attack(one) && !one.is_beside);
    let (all, mistaken) = reach(usual, of);
    let recalls: Vec<String> = Kind::ALL
        .iter()
        .map(|(kind, _)| {
            let own = run
                .judged
                .iter()
                .filter(|one| matches!(one.label, Label::Attack(number) if run.incidents[number].kind == *kind));
            let (all, reached) = reach(own, of);
            percent(reached[1], all)
        })
        .collect();
    let attacks = run.judged.iter().filter(|one| is_attack(one));
    let usual = run.judged.iter().filter(|one| !is_attack(one) && !one.is_beside);
    let ap = average_precision(attacks, usual, |one| -of(one));
    println!(
        "| {name} | {} | {} | {} | {ap:.2} |",
        percent(mistaken[0], all),
        percent(mistaken[1], all),
        recalls.join(" | ")
    );
}

pub fn compare_head() {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|(_, name)| *name).collect();
    println!(
        "| judged by | false: tag ≤ 2 | throttle ≤ 0.5 | {} | AP of all |\n|---|---:|---:|{}---:|",
        kinds.join(" | "),
        "---:|".repeat(kinds.len())
    );
}

/// Usual requests of callers that are attacked on the same route, and up to five minutes after.
pub fn beside(run: &Run) {
    println!(
        "| usual requests beside attacks | requests | tag | throttle | challenge | block |\n|---|---:|---:|---:|---:|---:|"
    );
    line("of the caller, on the route", reach(run.judged.iter().filter(|one| one.is_beside), |one| one.rarity));
    line("of all others", reach(run.judged.iter().filter(|one| !is_attack(one) && !one.is_beside), |one| one.rarity));
}

/// What the whole ladder refused.
pub fn refused(run: &Run) {
    println!(
        "| with the ladder in force | requests | refused: throttled | challenged | blocked | held back by `max_blocked` |\n|---|---:|---:|---:|---:|---:|"
    );
    let row = |name: &str, of: &dyn Fn(&Judged) -> bool| {
        let own: Vec<&Judged> = run.judged.iter().filter(|one| of(one)).collect();
        let refused = |action: Action| own.iter().filter(|one| one.refused == Some(action)).count();
        let shares =
            [Action::Throttle, Action::Challenge, Action::Block].map(|action| percent(refused(action), own.len()));
        let held_back = own.iter().filter(|one| one.is_held_back).count();
        println!("| {name} | {} | {} | {} |", own.len(), shares.join(" | "), percent(held_back, own.len()));
    };
    row("**usual, with what changes**", &|one| !is_attack(one) && !one.is_beside);
    row("**usual, without what changes**", &|one| one.label == Label::Usual && !one.is_beside);
    for (change, name) in Change::ALL {
        row(name, &|one| one.label == Label::Change(change) && !one.is_beside);
    }
    row("usual, beside attacks", &|one| one.is_beside);
    for (kind, name) in Kind::ALL {
        for (intensity, how) in INTENSITIES.iter().enumerate() {
            row(
                &format!("{name}, {how}"),
                &|one| matches!(one.label, Label::Attack(number) if run.incidents[number].kind == kind && run.incidents[number].intensity == intensity),
            );
        }
    }
}
