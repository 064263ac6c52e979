//! What a usual request costs.

use std::time::Instant;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

use super::simulation::Run;
use super::usual::Request;
use super::world::DAY;

/// Goes on with usual requests of the last day, as if they came on the next, and then on that after it.
pub fn measure(run: &Run) {
    let (mut best, mut unusual, mut allocations, mut of) = (f64::INFINITY, 0, 0, 0);
    let after =
        |days: f64| run.last.iter().map(move |request| Request { at: request.at + days * DAY, ..request.clone() });
    for part in after(1.0).collect::<Vec<_>>().chunks(5_000) {
        let started = Instant::now();
        for request in part {
            let mut arrived = run.engine.arrive(request, request.token_age);
            run.engine.leave(request, &mut arrived);
        }
        best = best.min(started.elapsed().as_secs_f64() / part.len() as f64);
    }
    for request in after(2.0) {
        let region = Region::new(&INSTRUMENTED_SYSTEM);
        let mut arrived = run.engine.arrive(&request, request.token_age);
        run.engine.leave(&request, &mut arrived);
        let count = region.change().allocations;
        if arrived.explanation.is_some() {
            unusual += 1;
        } else {
            of += 1;
            allocations += count;
        }
    }
    println!(
        "`arrive` and `leave`: {:.2} µs together, the best of {} runs of 5,000 requests; {allocations} allocations in {of} usual requests ({unusual} unusual ones not counted).",
        best * 1e6,
        run.last.len() / 5_000
    );
}
