//! Which answers are fetched anew before they expire, because they will be asked for again.

use super::Moment;
use super::stored::Stored;

/// How many answers may be fetched without anybody waiting for them.
#[derive(Debug, Default)]
pub struct Budget {}

impl Budget {
    /// Whether this answer is worth fetching now, in the last `part` (percent) of its lifetime; a yes is charged, and marks the
    /// answer as being refreshed.
    #[must_use]
    pub fn grants(&self, _stored: &Stored, _part: u8, _now: Moment) -> bool {
        false
    }

    /// An answer was fetched because somebody waited for it: that earns a part of a refresh.
    pub fn earn(&self) {}
}
