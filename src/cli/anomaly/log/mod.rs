//! Requests of an access log, as far as anomaly checks look at them.

mod line;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub(super) use self::line::{Fate, Request, digest};
use super::super::{Failure, tell};

/// A gateway writes none that is longer.
const MAX_LINE: usize = 64 << 10;
/// Requests that are kept at most, the last ones: some hundred megabytes.
const MAX_REQUESTS: usize = 1_000_000;
/// Bad lines that are told one by one.
const TOLD: usize = 5;

/// What was read.
#[derive(Default)]
pub(super) struct Log {
    /// That were wanted, in the order in which they arrived.
    pub requests: Vec<Request>,
    pub lines: u64,
    pub bad: u64,
    /// The first bad lines: file, number and what is wrong.
    told: Vec<(String, u64, String)>,
    /// Wanted, and forgotten, because there were too many after them.
    pub forgotten: u64,
}

impl Log {
    /// Reads what is wanted of these files; lines that are none of an access log are told, and left out.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or has no line that is one of an access log.
    pub(super) fn read(files: &[PathBuf], wanted: impl FnMut(&Request) -> bool) -> Result<Self, Failure> {
        let log = Self::quietly(files, wanted)?;
        log.warn();
        Ok(log)
    }

    /// As [`Log::read`], for who has told what is wrong before.
    pub(super) fn quietly(files: &[PathBuf], mut wanted: impl FnMut(&Request) -> bool) -> Result<Self, Failure> {
        let (mut log, mut requests) = (Self::default(), VecDeque::new());
        for path in files {
            let name = path.display().to_string();
            let failed = |error: io::Error| Failure::found(format!("cannot read {name}: {error}"));
            let mut take = |request: Request| {
                if wanted(&request) {
                    log.forgotten += u64::from(requests.len() == MAX_REQUESTS && requests.pop_front().is_some());
                    requests.push_back(request);
                }
            };
            let mut counts = Counts::default();
            if path == Path::new("-") {
                counts.read(io::stdin().lock(), &mut take).map_err(failed)?;
            } else {
                counts.read(BufReader::new(File::open(path).map_err(failed)?), &mut take).map_err(failed)?;
            }
            log.lines += counts.lines;
            log.bad += counts.bad;
            let told = counts.told.into_iter().map(|(line, why)| (name.clone(), line, why));
            let room = TOLD.saturating_sub(log.told.len());
            log.told.extend(told.take(room));
        }
        match log.told.first() {
            None if log.lines == 0 => Err(Failure::found(format!("there is no line in {}", named(files)))),
            Some((file, line, why)) if log.bad == log.lines => Err(Failure::found(format!(
                "no line of {} is one of an access log; the first that is not is {file}:{line}: {why}",
                named(files)
            ))),
            _ => {
                log.requests = requests.into();
                // Lines are written when requests end.
                log.requests.sort_by_key(|request| request.time);
                Ok(log)
            }
        }
    }

    fn warn(&self) {
        for (file, line, why) in &self.told {
            tell(&format!("warning: {file}:{line}: left out: {why}\n"));
        }
        let more = self.bad.saturating_sub(self.told.len() as u64);
        if more > 0 {
            tell(&format!("warning: {more} more such lines are left out\n"));
        }
        if self.forgotten > 0 {
            tell(&format!(
                "warning: only the last {MAX_REQUESTS} requests count, {} before them do not\n",
                self.forgotten
            ));
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let told = self.told.iter().map(|(file, line, why)| json!({ "file": file, "line": line, "why": why }));
        json!({
            "lines": self.lines,
            "bad": self.bad,
            "first_bad": told.collect::<Vec<_>>(),
            "forgotten": self.forgotten,
        })
    }
}

/// For people.
pub(super) fn named(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Default)]
struct Counts {
    lines: u64,
    bad: u64,
    told: Vec<(u64, String)>,
}

impl Counts {
    /// Reads line after line, of which one at a time is in memory. Empty ones count for nothing.
    fn read(&mut self, mut from: impl BufRead, mut take: impl FnMut(Request)) -> io::Result<()> {
        let (mut text, mut number) = (Vec::new(), 0);
        loop {
            text.clear();
            from.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut text)?;
            if text.is_empty() {
                return Ok(());
            }
            number += 1;
            let read = if text.len() > MAX_LINE && !text.ends_with(b"\n") {
                from.skip_until(b'\n')?;
                Err(format!("longer than {MAX_LINE} bytes"))
            } else if text.trim_ascii().is_empty() {
                continue;
            } else {
                Request::parse(&text)
            };
            self.lines += 1;
            match read {
                Ok(request) => take(request),
                Err(why) => {
                    self.bad += 1;
                    if self.told.len() < TOLD {
                        self.told.push((number, why));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
