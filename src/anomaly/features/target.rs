//! What the target of a request looks like.

use super::hash::{self, mix};
use crate::base::query;

/// How many bytes of a path, and of a query, are looked at: more would cost more than it says.
const LIMIT: usize = 4096;

/// A path and a query, looked at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Bytes, with the `?`.
    pub length: usize,
    /// Segments of the path.
    pub depth: u32,
    /// Parameters of the query.
    pub parameters: u32,
    /// Of the bytes of the query after percent-decoding: Shannon's, in bits per byte; 0 without a query.
    pub entropy: f32,
    /// Bytes and pairs of bytes that injections need, after percent-decoding.
    pub punctuation: u32,
    /// Of the path, under the seed.
    pub path: u64,
    /// Of the path with one sign for all segments that look like ids, under the seed.
    pub template: u64,
}

impl Target {
    /// The seed keeps callers from choosing paths that are taken for others.
    pub fn of(path: &str, query: Option<&str>, seed: u64) -> Self {
        let length = path.len() + query.map_or(0, |query| query.len() + 1);
        let path = first(path.as_bytes());
        let mut depth = 0;
        let mut template = seed;
        for segment in path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
            depth += 1;
            template = if is_id(segment) { mix(template) } else { hash::of(template, segment) };
        }
        let mut punctuation = Punctuation::default();
        query::decoded(path).for_each(|byte| punctuation.add(byte));
        let mut found = punctuation.found;
        let mut entropy = 0.0;
        let mut parameters = 0;
        if let Some(query) = query {
            let query = first(query.as_bytes());
            let named = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
            parameters = u32::try_from(named.count()).unwrap_or(u32::MAX);
            let mut punctuation = Punctuation::default();
            entropy = bits_per_byte(query::decoded(query).inspect(|byte| punctuation.add(*byte)));
            found += punctuation.found;
        }
        Self { length, depth, parameters, entropy, punctuation: found, path: hash::of(seed, path), template }
    }
}

fn first(bytes: &[u8]) -> &[u8] {
    bytes.get(..LIMIT).unwrap_or(bytes)
}

/// Whether a segment looks like the name of one thing among many: a number, a UUID, a date, long hex, mostly digits, or a long
/// token with a digit in it.
fn is_id(segment: &[u8]) -> bool {
    let (mut digits, mut hex, mut plain) = (0, 0, 0);
    for byte in segment {
        let joins = *byte == b'-';
        digits += usize::from(byte.is_ascii_digit());
        hex += usize::from(byte.is_ascii_hexdigit() || joins);
        plain += usize::from(byte.is_ascii_alphanumeric() || joins || *byte == b'_');
    }
    let length = segment.len();
    digits > 0
        && (digits == length
            || (length >= 8 && hex == length)
            || (length >= 4 && plain == length && digits * 2 > length)
            || (length >= 20 && plain == length))
}

/// Counts what injections need and usual requests rarely have: quotes, brackets of markup and of calls, separators of commands,
/// variables, line breaks, comments, ways up, and a percent sign that is left after decoding once.
#[derive(Clone, Copy, Debug, Default)]
struct Punctuation {
    found: u32,
    /// The last byte but one, and the last.
    before: (u8, u8),
}

impl Punctuation {
    #[inline]
    fn add(&mut self, byte: u8) {
        let counts = match byte {
            b'\'' | b'"' | b'`' | b'<' | b'>' | b'(' | b')' | b'{' | b'}' | b';' | b'|' | b'$' | b'%' => true,
            b'\0' | b'\r' | b'\n' => true,
            b'-' => self.before.1 == b'-',
            b'*' => self.before.1 == b'/',
            b'/' => self.before.1 == b'*' || self.before == (b'.', b'.'),
            b'\\' => true,
            _ => false,
        };
        self.found += u32::from(counts);
        self.before = (self.before.1, byte);
    }
}

/// log2(n) - sum of c·log2(c) / n, where each of the n bytes comes c times.
fn bits_per_byte(bytes: impl Iterator<Item = u8>) -> f32 {
    // At most LIMIT bytes are counted.
    let mut counts = [0_u16; 256];
    let mut distinct = [0_u8; 256];
    let (mut kinds, mut length) = (0_usize, 0_u16);
    for byte in bytes {
        let count = &mut counts[usize::from(byte)];
        if *count == 0 {
            if let Some(place) = distinct.get_mut(kinds) {
                *place = byte;
            }
            kinds += 1;
        }
        *count += 1;
        length += 1;
    }
    if length == 0 {
        return 0.0;
    }
    let length = f32::from(length);
    let counts = distinct.iter().take(kinds).map(|byte| counts[usize::from(*byte)]).filter(|count| *count > 1);
    let sum: f32 = counts.map(|count| f32::from(count) * f32::from(count).log2()).sum();
    (length.log2() - sum / length).clamp(0.0, 8.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_names() {
        for id in ["7", "20261123", "2026-11-23", "deadbeef42", "0b2c3f6e-8f0e-4c51-9d3c-3f0a4a0f5d11", "ord-12345678"]
        {
            assert!(is_id(id.as_bytes()), "{id}");
        }
        assert!(is_id(b"01HZX8Q6T2N9V4K7M3P5R1W0YB"));
        for name in ["v1", "v2", "orders", "oauth2", "face-feed", "index.php", "backup-2024.zip", "wp-admin", "1.zip"] {
            assert!(!is_id(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn templates_ignore_ids_and_nothing_else() {
        let template = |path| Target::of(path, None, 1).template;
        assert_eq!(template("/orders/17/items"), template("/orders/4711/items"));
        assert_ne!(template("/orders/17/items"), template("/orders/17"));
        assert_ne!(template("/orders/17/items"), template("/orders/items/17"));
        assert_ne!(Target::of("/orders/17", None, 1).path, Target::of("/orders/18", None, 1).path);
        assert_ne!(template("/orders"), Target::of("/orders", None, 2).template);
    }

    #[test]
    fn what_is_beyond_the_limit_is_only_counted() {
        let long = "'".repeat(10_000);
        let target = Target::of("/", Some(&long), 0);
        assert_eq!((target.length, target.punctuation), (10_002, 4_096));
    }
}
