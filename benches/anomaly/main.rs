//! The isolation forest by itself: `anomaly score MATRIX SCORES SEEDS EXTENSION` for `run.py`, `anomaly speed` for people.
//!
//! `score` reads a matrix (rows and columns as u32, then values as f32, all little-endian), grows a forest with each seed from 0 on, writes the
//! scores of all rows to a file (f32, seed after seed) and prints times as JSON. `speed` prints what a score costs on 40 columns. Without
//! arguments it runs on a small scale, as a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sluice::anomaly::forest::{Forest, Options, Rows};

/// That of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows that are timed, each scored by itself.
const TIMED: usize = 2_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => speed(200, 2),
        ["speed"] => speed(20_000, 50),
        ["score", matrix, scores, seeds, extension] => score(matrix, scores, seeds, extension),
        _ => Err("usage: anomaly [speed | score MATRIX SCORES SEEDS EXTENSION]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn score(matrix: &str, scores: &str, seeds: &str, extension: &str) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(matrix)?;
    let (columns, values) = read(&bytes).ok_or("not a matrix")?;
    let rows = Rows { columns, values: &values };
    let (mut written, mut grow, mut row) = (Vec::new(), Duration::MAX, Duration::MAX);
    for seed in 0..seeds.parse()? {
        let options = Options { seed, extension: extension.parse()?, ..Options::default() };
        let started = Instant::now();
        let forest = Forest::grow(rows, options).ok_or("too few rows, or too many columns")?;
        grow = grow.min(started.elapsed());
        row = row.min(per_row(&forest, rows, 5));
        written.extend(rows.iter().flat_map(|row| forest.score(row).to_le_bytes()));
    }
    fs::write(scores, written)?;
    println!("{{\"grow_ms\": {:.3}, \"row_us\": {:.4}}}", grow.as_secs_f64() * 1e3, row.as_secs_f64() * 1e6);
    Ok(())
}

fn read(bytes: &[u8]) -> Option<(usize, Vec<f32>)> {
    let (words, []) = bytes.as_chunks::<4>() else { return None };
    let ([rows, columns], values) = words.split_first_chunk()?;
    let (rows, columns) = (u32::from_le_bytes(*rows) as usize, u32::from_le_bytes(*columns) as usize);
    (values.len() == rows * columns).then(|| (columns, values.iter().copied().map(f32::from_le_bytes).collect()))
}

/// The least of so many times.
fn per_row(forest: &Forest, rows: Rows<'_>, repeats: usize) -> Duration {
    let count = rows.len().min(TIMED);
    let times = (0..repeats).map(|_| {
        let started = Instant::now();
        for row in rows.iter().take(count) {
            black_box(forest.score(black_box(row)));
        }
        started.elapsed() / u32::try_from(count.max(1)).unwrap_or(u32::MAX)
    });
    times.min().unwrap_or_default()
}

/// Of 40 columns as unlike each other as those of requests are.
fn speed(count: usize, repeats: usize) -> Result<(), Box<dyn Error>> {
    const COLUMNS: usize = 40;
    let mut state = 1_u64;
    let mut chance = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).unwrap_or_default()) / 65536.0
    };
    let mut values = Vec::with_capacity(count * COLUMNS);
    for at in 0..count * COLUMNS {
        values.push(match at % COLUMNS {
            0..8 => f32::from(u8::from(chance() < 0.2)),
            8..16 => -chance().ln(),
            16 if chance() < 0.5 => f32::NAN,
            _ => chance() + chance() + chance(),
        });
    }
    let rows = Rows { columns: COLUMNS, values: &values };
    let mut far = vec![0_u8; 64 << 20];
    for extension in [0, 1, 2, COLUMNS as u16 - 1] {
        let started = Instant::now();
        let forest = Forest::grow(rows, Options { extension, ..Options::default() }).ok_or("too few rows")?;
        let grow = started.elapsed();
        let warm = per_row(&forest, rows, repeats);
        let cold = rows.iter().take(repeats).map(|row| {
            far.iter_mut().step_by(64).for_each(|byte| *byte = black_box(*byte).wrapping_add(1));
            let started = Instant::now();
            black_box(forest.score(black_box(row)));
            started.elapsed()
        });
        let cold = cold.min().unwrap_or_default();
        let mut contributions = [0.0; COLUMNS];
        let attributed = (0..repeats).map(|_| {
            let started = Instant::now();
            for row in rows.iter().take(200) {
                forest.attribute(black_box(row), &mut contributions);
                black_box(&contributions);
            }
            started.elapsed() / 200
        });
        let attributed = attributed.min().unwrap_or_default();
        let mut bytes = Vec::new();
        forest.write(&mut bytes);
        println!(
            "extension {extension}: grown in {grow:.1?}, {} bytes; a score {warm:?}, after 64 MiB of other memory {cold:?}; contributions {attributed:?}",
            bytes.len()
        );
    }
    Ok(())
}
