//! A quick hash for sets of what was seen: folded multiplication, as wyhash and foldhash do it, eight bytes at a time.
//!
//! Nothing is kept beyond the process by it, and nothing is secret; where somebody could gain from a collision, the seed is.

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Every bit of the result depends on every bit of the word.
#[inline]
#[must_use]
pub fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(FACTOR);
    let folded = (product as u64) ^ (product >> 64) as u64;
    folded ^ folded.rotate_right(29).wrapping_mul(FACTOR)
}

/// Of bytes as they are.
#[inline]
pub(super) fn of(seed: u64, bytes: &[u8]) -> u64 {
    words(seed, bytes, 0)
}

/// Equal for names that differ in the case of ASCII letters only.
#[inline]
pub(super) fn of_name(seed: u64, name: &[u8]) -> u64 {
    words(seed, name, 0x2020_2020_2020_2020)
}

#[inline]
fn words(seed: u64, bytes: &[u8], set: u64) -> u64 {
    let mut state = seed ^ bytes.len() as u64;
    let (whole, rest) = bytes.as_chunks::<8>();
    for word in whole {
        state = mix(state ^ (u64::from_le_bytes(*word) | set));
    }
    mix(state ^ (last(rest) | set))
}

/// Fewer than eight bytes in one word: for all of one length, different words. Read in two that may overlap.
#[inline]
fn last(rest: &[u8]) -> u64 {
    match (rest.first_chunk::<4>(), rest.last_chunk::<4>(), rest) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        (_, _, [first, .., last]) => {
            let middle = rest[rest.len() / 2];
            u64::from(*first) << 16 | u64::from(middle) << 8 | u64::from(*last)
        }
        (_, _, [only]) => u64::from(*only),
        _ => 0,
    }
}
