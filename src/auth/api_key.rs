//! API keys: `sk_<id>_<secret>`, known by their id, proven by their digest.
//!
//! A key is 65 letters, digits and `_`, so that a double click selects it whole:
//!
//! | | characters | |
//! |---|---|---|
//! | `sk_` | 3 | tells people and scanners for secrets what it is |
//! | id | 12 | public: what the key is looked up by, and shown as |
//! | `_` | 1 | |
//! | secret | 43 | at random, 256 bits |
//! | checksum | 6 | CRC-32 (ISO 3309) of all before it, to the base of 62, most significant digit first |
//!
//! The digits of that base, and the characters of id and secret, are `0-9A-Za-z` in this order. Because of the checksum a mistyped key is told
//! from an unknown one without a look-up, and a scanner that matches `sk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}` can rule chance out.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest as hash};
use aws_lc_rs::rand;

use crate::base::secret::Secret;

const PREFIX: &[u8] = b"sk_";
const SECRET: usize = 43;
const CHECKSUM: usize = 6;

/// Characters of an id.
pub const ID: usize = 12;

/// Characters of a key.
pub const LENGTH: usize = PREFIX.len() + ID + 1 + SECRET + CHECKSUM;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public part of a key that has the right form; whether there is such a key is another question.
#[must_use]
pub fn id_of(key: &[u8]) -> Option<&str> {
    let (said, check) = key.split_last_chunk::<CHECKSUM>()?;
    let (id, rest) = said.strip_prefix(PREFIX)?.split_at_checked(ID)?;
    let secret = rest.strip_prefix(b"_")?;
    let is_of_form = is_id(id) && secret.len() == SECRET && secret.iter().all(u8::is_ascii_alphanumeric);
    // Neither the checksum nor where it differs is a secret: whoever has made the key up can compute it.
    if is_of_form && *check == checksum(said) { std::str::from_utf8(id).ok() } else { None }
}

/// Whether it could stand in a key.
#[must_use]
pub fn is_id(id: &[u8]) -> bool {
    id.len() == ID && id.iter().all(u8::is_ascii_alphanumeric)
}

/// Whether it is the key of this digest; takes the same time for every wrong one of a length.
#[must_use]
pub fn proves(key: &[u8], sha256: &[u8; 32]) -> bool {
    verify_slices_are_equal(hash(&SHA256, key).as_ref(), sha256).is_ok()
}

/// SHA-256 of a key: what is kept of it. Its 256 random bits are what makes a slow hash needless.
#[must_use]
pub fn digest(key: &[u8]) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hash(&SHA256, key).as_ref());
    sha256
}

/// A key that was made just now; nothing else in the program ever holds a whole one.
pub struct NewKey {
    pub id: String,
    pub key: Secret,
    pub sha256: [u8; 32],
}

#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("an id is {ID} letters and digits, such as `acme00000001`")]
    Id,
    #[error("the system gives no random numbers")]
    Random,
}

/// Makes a key, with an id at random unless one is given.
///
/// # Errors
///
/// `Id` when the given one could stand in no key.
pub fn generate(id: Option<&str>) -> Result<NewKey, GenerateError> {
    let id = match id {
        Some(id) if is_id(id.as_bytes()) => id.to_owned(),
        Some(_) => return Err(GenerateError::Id),
        None => random(ID)?,
    };
    let mut key = format!("sk_{id}_{}", random(SECRET)?).into_bytes();
    let check = checksum(&key);
    key.extend_from_slice(&check);
    Ok(NewKey { id, sha256: digest(&key), key: Secret::new(key) })
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn random(length: usize) -> Result<String, GenerateError> {
    // Larger bytes would make the first digits more likely than the others.
    const FAIR: u8 = 62 * (u8::MAX / 62);
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        rand::fill(&mut bytes).map_err(|_| GenerateError::Random)?;
        let digits = bytes.iter().filter(|byte| **byte < FAIR).map(|byte| char::from(digit(u32::from(*byte))));
        text.extend(digits.take(length - text.len()));
    }
    Ok(text)
}

fn checksum(text: &[u8]) -> [u8; CHECKSUM] {
    let mut left = crc32(text);
    let mut digits = [b'0'; CHECKSUM];
    for place in digits.iter_mut().rev() {
        *place = digit(left);
        left /= 62;
    }
    digits
}

/// The last digit of a number to the base of 62.
const fn digit(number: u32) -> u8 {
    DIGITS[(number % 62) as usize]
}

fn crc32(text: &[u8]) -> u32 {
    !text.iter().fold(!0, |crc, byte| STEPS[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8))
}

/// What each byte does to a CRC-32, reflected, of the polynomial 0x04C11DB7.
static STEPS: [u32; 256] = {
    let mut steps = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 256")]
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        steps[byte] = crc;
        byte += 1;
    }
    steps
};

/// What holds for whatever comes as a key; the property tests and the fuzz target call it.
#[cfg(any(test, fuzzing))]
pub fn check(key: &[u8]) {
    let Some(id) = id_of(key) else { return };
    assert_eq!((key.len(), id.len()), (LENGTH, ID));
    assert!(key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'));
    assert_eq!(&key[PREFIX.len()..][..ID], id.as_bytes());
    assert!(proves(key, &digest(key)));
    for at in 0..LENGTH {
        let mut other = key.to_vec();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        assert_eq!(id_of(&other), None, "one character was changed");
        assert!(!proves(&other, &digest(key)));
    }
}

#[cfg(test)]
mod tests;
