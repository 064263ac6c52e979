//! Revocations as JSON: a file of many, or a single one.

use std::fmt;

use foldhash::{HashMap, HashMapExt as _};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Deserializer;

use super::{MAX_FOR_ONE, MAX_REVOCATIONS, Revocation, Target, Written};

/// Mistakes that are told; further ones are counted.
const TOLD: usize = 50;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1 on; for what is wrong with a revocation as a whole, where it begins.
    pub line: usize,
    pub message: String,
}

/// Everything that is wrong with a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    /// The first of them.
    pub told: Vec<Mistake>,
    pub count: usize,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.told.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}line {}: {}", mistake.line, mistake.message)?;
        }
        match self.count - self.told.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Mistakes {
    fn note(&mut self, line: usize, message: impl Into<String>) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(Mistake { line, message: message.into() });
        }
    }
}

/// Reads a single revocation. `now` is in seconds since 1970 UTC.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn read_one(bytes: &[u8], now: u64) -> Result<Revocation, Vec<String>> {
    let written: Written = serde_json::from_slice(bytes).map_err(|error| vec![error.to_string()])?;
    written.check(now)
}

/// Reads `{"revocations": [ … ]}`, and nothing else. `now` is in seconds since 1970 UTC.
///
/// # Errors
///
/// Everything that is wrong with it; where the text is no JSON, all up to there.
pub(super) fn read(bytes: &[u8], now: u64) -> Result<Vec<Revocation>, Mistakes> {
    let mut reader = Reader { bytes, at: 0, line: 1, now, revocations: Vec::new(), mistakes: Mistakes::default() };
    if let Err(Stop(message)) = reader.document() {
        reader.mistakes.note(reader.line, message);
    }
    if reader.mistakes.count == 0 {
        reader.limits();
    }
    if reader.mistakes.count > 0 { Err(reader.mistakes) } else { Ok(reader.revocations) }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Of `at`.
    line: usize,
    now: u64,
    revocations: Vec<Revocation>,
    mistakes: Mistakes,
}

/// Why nothing of what follows can be read.
struct Stop(String);

/// Why a value was not read: it is no JSON, or another value than was expected.
struct Unread {
    line: usize,
    message: String,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Stop> {
        self.expect(b'{', "expected `{\"revocations\": […]}`")?;
        self.skip_space();
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(Stop("expected the key `revocations`".to_owned()));
        }
        let key: String = self.value().map_err(|unread| self.stop(unread))?;
        if key != "revocations" {
            return Err(Stop(format!("unknown key {key:?}; there is `revocations` only")));
        }
        self.expect(b':', "expected `:`")?;
        self.expect(b'[', "expected `[`, and a list of revocations")?;
        self.list()?;
        self.expect(b'}', "expected `}`: there is no other key")?;
        self.skip_space();
        if self.at < self.bytes.len() { Err(Stop("something follows the end".into())) } else { Ok(()) }
    }

    fn list(&mut self) -> Result<(), Stop> {
        if self.next_is(b']') {
            return Ok(());
        }
        loop {
            self.revocation()?;
            if self.next_is(b']') {
                return Ok(());
            }
            self.expect(b',', "expected `,` or `]`")?;
        }
    }

    fn revocation(&mut self) -> Result<(), Stop> {
        self.skip_space();
        let line = self.line;
        match self.value::<Written>() {
            Ok(written) => match written.check(self.now) {
                Ok(_) if self.revocations.len() == MAX_REVOCATIONS => {
                    return Err(Stop(format!("there are more than {MAX_REVOCATIONS} revocations")));
                }
                Ok(revocation) => self.revocations.push(revocation),
                Err(mistakes) => mistakes.into_iter().for_each(|mistake| self.mistakes.note(line, mistake)),
            },
            Err(unread) => {
                // When it is JSON, it is only no revocation, and the next one may be.
                self.value::<IgnoredAny>().map_err(|unread| self.stop(unread))?;
                self.mistakes.note(unread.line, unread.message);
            }
        }
        Ok(())
    }

    /// So many for one name that requests would feel it.
    fn limits(&mut self) {
        let mut counts: HashMap<&Target, usize> = HashMap::with_capacity(self.revocations.len());
        for revocation in &self.revocations {
            *counts.entry(&revocation.target).or_default() += 1;
        }
        for (target, count) in counts.into_iter().filter(|(_, count)| *count > MAX_FOR_ONE) {
            let (key, name) = (target.key(), target.name());
            let message =
                format!("{count} revocations with {key} {name:?}; there may be {MAX_FOR_ONE} that name the same");
            self.mistakes.note(1, message);
        }
    }

    /// The next value, and nothing behind it; where there is none, nothing is read.
    fn value<T: DeserializeOwned>(&mut self) -> Result<T, Unread> {
        self.skip_space();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut values = Deserializer::from_slice(rest).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                let read = values.byte_offset();
                self.advance(read);
                Ok(value)
            }
            Some(Err(error)) => {
                let place = format!(" at line {} column {}", error.line(), error.column());
                let message = error.to_string();
                let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
                Err(Unread { line: self.line + error.line().saturating_sub(1), message })
            }
            None => Err(Unread { line: self.line, message: "the file ends here, before it is complete".to_owned() }),
        }
    }

    fn stop(&mut self, unread: Unread) -> Stop {
        self.line = unread.line;
        Stop(unread.message)
    }

    fn expect(&mut self, byte: u8, otherwise: &str) -> Result<(), Stop> {
        if self.next_is(byte) { Ok(()) } else { Err(Stop(otherwise.to_owned())) }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is);
        is
    }

    fn skip_space(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.advance(space);
    }

    fn advance(&mut self, by: usize) {
        let read = self.bytes.get(self.at..).unwrap_or_default().iter().take(by);
        self.line += read.filter(|byte| **byte == b'\n').count();
        self.at += by;
    }
}

/// Reads any bytes as a file, for fuzzing: mistakes lie in it, and what is read is written and read again as the same.
pub fn check_invariants(bytes: &[u8]) {
    const NOW: u64 = 1_800_000_000;
    match read(bytes, NOW) {
        Err(mistakes) => {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!(mistakes.count > 0 && !mistakes.told.is_empty(), "refused without a word");
            assert!(mistakes.told.iter().all(|mistake| (1..=lines).contains(&mistake.line)), "{lines}: {mistakes:?}");
            assert!(!mistakes.to_string().is_empty());
        }
        Ok(revocations) => {
            let written: Vec<_> = revocations.iter().map(Revocation::to_json).collect();
            let written = serde_json::json!({ "revocations": written }).to_string();
            assert_eq!(read(written.as_bytes(), NOW).as_deref(), Ok(&*revocations), "{written}");
            for revocation in &revocations {
                let single = read_one(revocation.to_json().to_string().as_bytes(), NOW);
                assert_eq!(single.as_ref(), Ok(revocation));
                assert_eq!(super::Id::parse(&revocation.id().to_string()), Some(revocation.id()));
                assert!(!revocation.effect().is_empty());
            }
        }
    }
}
