//! Known attacks, and how well they are found.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use super::super::super::Failure;
use super::super::log::{Fate, Request};
use super::{Judged, key};

/// No id is longer.
const MAX_ID: usize = 512;
const MAX_LABELS: usize = 1_000_000;

/// Ids of requests that were attacks.
pub(super) struct Labels(HashSet<Box<str>>);

/// How well attacks are told from everything else.
pub(super) struct Quality {
    pub labels: usize,
    /// Labelled requests that a check would have seen: these are what can be found.
    pub judged: usize,
    /// Those that were refused before any check.
    pub unseen: usize,
    /// For each request, the rarest first: whether it was an attack, and how rare it was.
    ranked: Vec<(bool, (u32, u32), f32)>,
}

impl Labels {
    /// One id a line; empty lines, and those that begin with `#`, count for nothing.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has no id, or too many, or something that is none.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::found(format!("cannot read {}: {error}", path.display()));
        Self::of(BufReader::new(File::open(path).map_err(failed)?)).map_err(|error| match error {
            Fault::Io(error) => failed(error),
            Fault::Content(what) => Failure::found(format!("{}: {what}", path.display())),
        })
    }

    fn of(mut from: impl BufRead) -> Result<Self, Fault> {
        let (mut ids, mut line, mut number) = (HashSet::new(), Vec::new(), 0_u64);
        loop {
            line.clear();
            number += 1;
            if from.by_ref().take(MAX_ID as u64 + 2).read_until(b'\n', &mut line).map_err(Fault::Io)? == 0 {
                break;
            }
            let id = str::from_utf8(line.trim_ascii()).ok().filter(|id| id.len() <= MAX_ID);
            match id {
                Some(id) if id.is_empty() || id.starts_with('#') => {}
                Some(id) => drop(ids.insert(Box::from(id))),
                None => return Err(Fault::Content(format!("line {number} is no id of a request"))),
            }
            if ids.len() > MAX_LABELS {
                return Err(Fault::Content(format!("there are more than {MAX_LABELS} ids")));
            }
        }
        if ids.is_empty() { Err(Fault::Content("there is no id of a request".to_owned())) } else { Ok(Self(ids)) }
    }

    /// `judged` has the rarest first.
    pub(super) fn against(&self, judged: &[Judged<'_>], requests: &[Request]) -> Quality {
        let is_attack = |request: &Request| self.0.contains(&request.id);
        let ranked: Vec<_> = judged.iter().map(|one| (is_attack(one.request), key(one), one.rarity)).collect();
        let unseen = requests.iter().filter(|request| request.fate == Fate::Unseen && is_attack(request));
        Quality {
            labels: self.0.len(),
            judged: ranked.iter().filter(|(is_attack, ..)| *is_attack).count(),
            unseen: unseen.count(),
            ranked,
        }
    }
}

#[derive(Debug)]
enum Fault {
    Io(std::io::Error),
    Content(String),
}

impl Quality {
    /// Of those as rare as this or rarer, the share that are attacks; `None` when there are none.
    pub(super) fn precision(&self, share: f32) -> Option<f64> {
        let (found, taken) = self.up_to(share);
        (taken > 0).then(|| found as f64 / taken as f64)
    }

    /// Of all attacks that were seen, the share that are as rare as this or rarer.
    pub(super) fn recall(&self, share: f32) -> Option<f64> {
        (self.judged > 0).then(|| self.up_to(share).0 as f64 / self.judged as f64)
    }

    fn up_to(&self, share: f32) -> (usize, usize) {
        let taken = self.ranked.partition_point(|(.., rarity)| *rarity <= share);
        (self.ranked.iter().take(taken).filter(|(is_attack, ..)| *is_attack).count(), taken)
    }

    /// The mean of the precision at each rank, weighted with what it adds to the recall; requests that are told from each other by nothing
    /// have one rank. A random order gives the share of attacks (Davis, Goadrich: The Relationship Between Precision-Recall and ROC
    /// Curves, ICML 2006; without interpolation).
    pub(super) fn average_precision(&self) -> Option<f64> {
        let (mut found, mut taken, mut sum) = (0, 0, 0.0);
        for tied in self.ranked.chunk_by(|(_, one, _), (_, other, _)| one == other) {
            let attacks = tied.iter().filter(|(is_attack, ..)| *is_attack).count();
            found += attacks;
            taken += tied.len();
            sum += attacks as f64 * found as f64 / taken as f64;
        }
        (found > 0).then(|| sum / found as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quality(ranked: &[(bool, u32)]) -> Quality {
        let judged = ranked.iter().filter(|(is_attack, _)| *is_attack).count();
        let ranked = ranked.iter().map(|(is_attack, rank)| (*is_attack, (*rank, 0), *rank as f32 / 100.0)).collect();
        Quality { labels: judged, judged, unseen: 0, ranked }
    }

    #[test]
    fn the_average_precision_is_that_of_the_textbooks() {
        // (1/1 + 2/3) / 2.
        let found = quality(&[(true, 1), (false, 2), (true, 3), (false, 4)]);
        assert!((found.average_precision().unwrap() - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!((found.precision(0.03), found.recall(0.01)), (Some(2.0 / 3.0), Some(0.5)));
        assert_eq!((found.precision(0.0), found.recall(0.0)), (None, Some(0.0)));
        // Whatever the order within a tie.
        let tied = [quality(&[(true, 1), (false, 1)]), quality(&[(false, 1), (true, 1)])];
        assert!(tied.iter().all(|quality| quality.average_precision() == Some(0.5)));
        assert_eq!(quality(&[(false, 1)]).average_precision(), None);
    }

    #[test]
    fn ids_stand_one_a_line() {
        let labels = Labels::of(&b"r-1\n\n# a comment\r\n r-2 \r\nr-1"[..]).ok().unwrap();
        assert_eq!(labels.0.len(), 2);
        for text in [&b""[..], b"# none\n", b"\xff\n", "x".repeat(600).as_bytes()] {
            assert!(Labels::of(text).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_labels_or_refused(text in prop::collection::vec(any::<u8>(), 0..2_000)) {
            if let Ok(labels) = Labels::of(&text[..]) {
                prop_assert!(labels.0.iter().all(|id| !id.is_empty() && id.len() <= MAX_ID));
            }
        }

        #[test]
        fn shares_are_shares(attacks in prop::collection::vec(any::<bool>(), 1..50), step in 1_u32..4) {
            let ranked: Vec<_> = attacks.iter().zip(0..).map(|(is_attack, at)| (*is_attack, at / step)).collect();
            let quality = quality(&ranked);
            for share in [quality.precision(0.1), quality.recall(0.1), quality.average_precision()] {
                prop_assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)));
            }
        }
    }
}
