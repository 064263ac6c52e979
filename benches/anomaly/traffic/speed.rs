//! What a usual request costs.

use std::time::Instant;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

use super::simulation::Run;

/// Goes on with usual requests of the last day, one after the other, as if a day later.
pub fn measure(run: &Run) {
    let (mut best, mut unusual, mut allocations, mut of) = (f64::INFINITY, 0, 0, 0);
    for part in run.last.chunks(5_000) {
        let started = Instant::now();
        for request in part {
            let mut arrived = run.engine.arrive(request, request.token_age);
            run.engine.leave(request, &mut arrived);
        }
        best = best.min(started.elapsed().as_secs_f64() / part.len() as f64);
    }
    for request in &run.last {
        let region = Region::new(&INSTRUMENTED_SYSTEM);
        let mut arrived = run.engine.arrive(request, request.token_age);
        run.engine.leave(request, &mut arrived);
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
