//! What the target of a request looks like.

use super::hash::{self, mix};
use crate::base::query;

/// How many bytes of a path, and of a query, are looked at: more would cost more than it says.
const LIMIT: usize = 2048;

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
        let query = first(query.unwrap_or_default().as_bytes());
        let (mut depth, mut template) = (0, seed);
        for segment in path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
            depth += 1;
            template = if is_id(segment) { mix(template) } else { hash::of(template, segment) };
        }
        let mut in_query = Content::default();
        // Nearly always there is nothing to decode.
        if query.iter().any(|byte| matches!(byte, b'%' | b'+')) {
            query::decoded(query).for_each(|byte| in_query.add(byte));
        } else {
            query.iter().for_each(|byte| in_query.add(*byte));
        }
        let mut in_path = Marks::default();
        if path.contains(&b'%') {
            query::decoded(path).for_each(|byte| in_path.add(byte));
        } else {
            path.iter().for_each(|byte| in_path.add(*byte));
        }
        Self {
            length,
            depth,
            parameters: parameters(query),
            entropy: in_query.entropy(),
            punctuation: in_path.found + in_query.marks.found,
            path: hash::of(seed, path),
            template,
        }
    }
}

/// How many parts between `&` are not empty.
fn parameters(query: &[u8]) -> u32 {
    let begins = query.first().is_some_and(|byte| *byte != b'&');
    let follow = query.array_windows().filter(|[before, byte]| *before == b'&' && *byte != b'&').count();
    u32::from(begins) + u32::try_from(follow).unwrap_or(u32::MAX)
}

fn first(bytes: &[u8]) -> &[u8] {
    bytes.get(..LIMIT).unwrap_or(bytes)
}

/// Whether a segment looks like the name of one thing among many: a number, a UUID, a date, long hex, mostly digits, or a long
/// token with a digit in it.
fn is_id(segment: &[u8]) -> bool {
    if !segment.iter().any(u8::is_ascii_digit) {
        return false;
    }
    let (mut digits, mut hex, mut plain) = (0, 0, 0);
    for byte in segment {
        let joins = *byte == b'-';
        digits += usize::from(byte.is_ascii_digit());
        hex += usize::from(byte.is_ascii_hexdigit() || joins);
        plain += usize::from(byte.is_ascii_alphanumeric() || joins || *byte == b'_');
    }
    let length = segment.len();
    digits == length
        || (length >= 8 && hex == length)
        || (length >= 4 && plain == length && digits * 2 > length)
        || (length >= 20 && plain == length)
}

/// Counts what injections need and usual requests rarely have: quotes, brackets of markup and of calls, separators of commands,
/// variables, line breaks, comments, ways up, and a percent sign that is left after decoding once.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    found: u32,
    /// The last byte but one, and the last.
    before: (u8, u8),
}

impl Marks {
    #[inline]
    fn add(&mut self, byte: u8) {
        self.found += u32::from(match MARKS[usize::from(byte)] {
            Mark::None => false,
            Mark::Always => true,
            Mark::After if byte == b'/' => self.before.1 == b'*' || self.before == (b'.', b'.'),
            Mark::After if byte == b'*' => self.before.1 == b'/',
            Mark::After => self.before.1 == byte,
        });
        self.before = (self.before.1, byte);
    }
}

#[derive(Clone, Copy)]
enum Mark {
    None,
    Always,
    /// After certain bytes.
    After,
}

const MARKS: [Mark; 256] = {
    let mut marks = [Mark::None; 256];
    let mut rest: &[u8] = b"'\"`<>(){};|$%\\\0\r\n";
    while let [byte, more @ ..] = rest {
        marks[*byte as usize] = Mark::Always;
        rest = more;
    }
    marks[b'-' as usize] = Mark::After;
    marks[b'*' as usize] = Mark::After;
    marks[b'/' as usize] = Mark::After;
    marks
};

/// What bytes are there, and how many of each; of [`LIMIT`] bytes at most.
#[derive(Debug)]
struct Content {
    marks: Marks,
    counts: [u16; 256],
    /// Of c·log2(c), where c is the count of a byte.
    sum: f32,
    length: u16,
}

impl Default for Content {
    fn default() -> Self {
        Self { marks: Marks::default(), counts: [0; 256], sum: 0.0, length: 0 }
    }
}

impl Content {
    #[inline]
    fn add(&mut self, byte: u8) {
        self.marks.add(byte);
        let count = &mut self.counts[usize::from(byte)];
        self.sum += match STEPS.get(usize::from(*count)) {
            Some(step) => *step,
            // The slope of c·log2(c) half way to the next count.
            None => (f32::from(*count) + 0.5).log2() + std::f32::consts::LOG2_E,
        };
        *count += 1;
        self.length += 1;
    }

    /// log2(n) - sum of c·log2(c) / n.
    fn entropy(&self) -> f32 {
        if self.length == 0 {
            return 0.0;
        }
        let length = f32::from(self.length);
        (length.log2() - self.sum / length).clamp(0.0, 8.0)
    }
}

/// By how much c·log2(c) grows with the next count.
const STEPS: [f32; 64] = {
    let mut steps = [0.0; 64];
    let mut count = 1;
    while count < steps.len() {
        let (from, to) = (count as f64, (count + 1) as f64);
        steps[count] = (to * log2(to) - from * log2(from)) as f32;
        count += 1;
    }
    steps
};

/// Of 1 and above; bit after bit, by squaring.
const fn log2(mut number: f64) -> f64 {
    let (mut log, mut bit) = (0.0, 1.0);
    while number >= 2.0 {
        number /= 2.0;
        log += 1.0;
    }
    while bit > 1e-9 {
        number *= number;
        bit /= 2.0;
        if number >= 2.0 {
            number /= 2.0;
            log += bit;
        }
    }
    log
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
        assert_eq!((target.length, target.punctuation), (10_002, 2_048));
    }

    #[test]
    fn entropy_of_long_queries() {
        let entropy = |query: &str| Target::of("/", Some(query), 0).entropy;
        assert!((entropy(&"abcd".repeat(500)) - 2.0).abs() < 1e-3);
        assert!(entropy(&"a".repeat(2_000)) < 1e-2);
        assert!((log2(10.0) - 10_f64.log2()).abs() < 1e-8);
    }
}
