//! The id under which a request is found again in every log.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use fastrand::Rng;

/// The longest id that is taken over from a client.
pub const MAX_LENGTH: usize = 128;

/// 1 to [`MAX_LENGTH`] characters of `A-Z a-z 0-9 . _ ~ -`; safe in logs, header fields and URIs. Needs no heap.
///
/// The default has none, and stands for a request that is not there yet.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId {
    length: u8,
    characters: [u8; MAX_LENGTH],
}

impl Default for RequestId {
    fn default() -> Self {
        Self { length: 0, characters: [0; MAX_LENGTH] }
    }
}

impl RequestId {
    /// The id that came with the request when it is one, otherwise a new one.
    #[must_use]
    pub fn accept_or_new(sent: Option<&[u8]>) -> Self {
        sent.and_then(Self::accept).unwrap_or_else(Self::new_random)
    }

    /// `None` when what was sent has a character or a length that an id may not have.
    #[must_use]
    pub fn accept(sent: &[u8]) -> Option<Self> {
        let sound = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
        if sent.is_empty() || !sent.iter().all(sound) {
            return None;
        }
        let mut characters = [0; MAX_LENGTH];
        characters.get_mut(..sent.len())?.copy_from_slice(sent);
        Some(Self { length: u8::try_from(sent.len()).ok()?, characters })
    }

    /// 32 lower-case hex digits. Unique, not secret: who has seen some may guess others.
    #[must_use]
    pub fn new_random() -> Self {
        let (high, low) = RANDOM.with_borrow_mut(|(high, low)| (high.u64(..), low.u64(..)));
        let pairs = [high, low].map(|half| half.to_le_bytes().map(|byte| HEX[usize::from(byte)]));
        let mut characters = [0; MAX_LENGTH];
        characters[..32].copy_from_slice(pairs.as_flattened().as_flattened());
        Self { length: 32, characters }
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.characters.get(..usize::from(self.length)).unwrap_or_default()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// Every byte in two digits.
static HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

thread_local! {
    // Two generators, because one of 64 bits would repeat itself across a fleet; seeded from the system's randomness,
    // because threads that start together would otherwise begin alike.
    static RANDOM: RefCell<(Rng, Rng)> = RefCell::new((Rng::with_seed(seed()), Rng::with_seed(seed())));
}

/// The standard library keys its hash maps with randomness of the operating system.
fn seed() -> u64 {
    RandomState::new().hash_one(0_u64)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_over_what_is_an_id() {
        let longest = "x".repeat(MAX_LENGTH);
        for sent in ["a", "0b0f7a1e-4c1a-4a56-9b1c-0c2f4f9f6a11", "A.b_c~d-9", &longest] {
            assert_eq!(RequestId::accept_or_new(Some(sent.as_bytes())).as_str(), sent);
        }
    }

    #[test]
    fn makes_a_new_one_for_what_is_none() {
        let too_long = "x".repeat(MAX_LENGTH + 1);
        for sent in ["", " ", "a b", "a\"b", "a\r\nb", "a/b", "ä", "{}", &too_long] {
            let id = RequestId::accept_or_new(Some(sent.as_bytes()));
            assert_ne!(id.as_str(), sent);
            assert!(
                id.as_str().len() == 32 && id.as_bytes().iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "{id}"
            );
        }
    }

    #[test]
    fn new_ones_differ_within_and_between_threads() {
        let make = || (0..1_000).map(|_| RequestId::accept_or_new(None).to_string()).collect::<Vec<_>>();
        let ids: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4_000);
        assert!((0..32).all(|at| ids.iter().map(|id| id.as_bytes()[at]).collect::<HashSet<_>>().len() == 16));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_id_is_sound(sent in prop::collection::vec(any::<u8>(), 0..200)) {
            let id = RequestId::accept_or_new(Some(&sent));
            prop_assert!((1..=MAX_LENGTH).contains(&id.as_str().len()));
            prop_assert_eq!(RequestId::accept(id.as_bytes()), Some(id));
        }
    }
}
