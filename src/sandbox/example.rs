//! Example data from schemas: looks like real data, and one seed always gives one value.

use serde_json::{Map, Value};

use super::document::{Additional, Kind, Schema, SchemaId, Schemas, number};
use super::seed::Random;

/// Below this depth only required members and items are made, so that recursive schemas come to an end.
const DEPTH_OF_OPTIONAL: usize = 8;
const MAX_DEPTH: usize = 24;
/// Values made for one answer; beyond, null.
const MAX_VALUES: usize = 20_000;
const MAX_ITEMS: u64 = 100;
/// 2026-01-01, in days since 1970-01-01.
const FIRST_DAY: u64 = 20_454;
const DAY: u64 = 86_400;

const WORDS: [&str; 16] = [
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbour", "iris", "juniper", "kestrel", "linden",
    "maple", "north", "orchid", "pine",
];

/// Makes values; each call goes on where the last one stopped.
pub(super) struct Generator<'a> {
    schemas: &'a Schemas,
    random: Random,
    /// Seconds since 1970 of the last time that was made: times of one value never go backwards.
    moment: u64,
    left: usize,
    required_only: bool,
}

impl<'a> Generator<'a> {
    pub(super) fn new(schemas: &'a Schemas, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let moment = FIRST_DAY * DAY + random.below(240 * DAY);
        Self { schemas, random, moment, left: MAX_VALUES, required_only: false }
    }

    /// Leaves out what is not required.
    pub(super) fn required_only(mut self) -> Self {
        self.required_only = true;
        self
    }

    /// A value as a response has it: without write-only members.
    pub(super) fn value(&mut self, id: SchemaId) -> Value {
        self.make(id, 0)
    }

    /// A value that names something: never one example for all.
    pub(super) fn identifier(&mut self, id: SchemaId, index: usize) -> Value {
        let schema = self.schemas.get(id);
        if let Some(value) = schema.values.get(index) {
            return value.clone();
        }
        match schema.kind() {
            Some(Kind::Integer | Kind::Number) => {
                let low = schema.minimum.filter(|low| *low >= 1.0).map_or(1, |low| low as u64);
                Value::from(low.saturating_add(index as u64))
            }
            _ if schema.format.is_some() => self.string(schema),
            _ => match schema.examples.first().and_then(Value::as_str) {
                Some(example) => Value::String(self.like(example)),
                None => Value::String(format!("{:012x}", self.random.next() >> 16)),
            },
        }
    }

    fn make(&mut self, id: SchemaId, depth: usize) -> Value {
        if self.left == 0 || depth > MAX_DEPTH {
            return Value::Null;
        }
        self.left -= 1;
        let schema = self.schemas.get(id);
        for choice in [&schema.values, &schema.examples] {
            if let Some(value) = self.random.pick(choice) {
                return value.clone();
            }
        }
        for variants in [&schema.one_of, &schema.any_of] {
            if let Some(variant) = self.random.pick(variants) {
                let mut value = self.make(*variant, depth + 1);
                if let Value::Object(members) = &mut value {
                    members.extend(self.object(schema, depth));
                }
                return value;
            }
        }
        match schema.kind() {
            Some(Kind::Object) => Value::Object(self.object(schema, depth)),
            Some(Kind::Array) => self.array(schema, depth),
            Some(Kind::String) => self.string(schema),
            Some(Kind::Integer) => self.integer(schema),
            Some(Kind::Number) => self.number(schema),
            Some(Kind::Boolean) => Value::Bool(self.random.below(4) > 0),
            Some(Kind::Null) => Value::Null,
            None => Value::Object(Map::new()),
        }
    }

    fn object(&mut self, schema: &Schema, depth: usize) -> Map<String, Value> {
        let mut members = Map::new();
        for (name, id) in &schema.properties {
            let wanted = schema.required.contains(name) || !(self.required_only || depth > DEPTH_OF_OPTIONAL);
            if wanted && !self.schemas.get(*id).write_only {
                members.insert(name.clone(), self.make(*id, depth + 1));
            }
        }
        for name in schema.required.iter().filter(|name| schema.property(name).is_none()) {
            let value = match schema.additional {
                Additional::Schema(id) => self.make(id, depth + 1),
                Additional::Any | Additional::None => Value::String(self.word().to_owned()),
            };
            members.insert(name.clone(), value);
        }
        if let Additional::Schema(id) = schema.additional
            && members.is_empty()
            && depth <= DEPTH_OF_OPTIONAL
        {
            for _ in 0..2 {
                let name = self.word().to_owned();
                members.insert(name, self.make(id, depth + 1));
            }
        }
        members
    }

    fn array(&mut self, schema: &Schema, depth: usize) -> Value {
        let least = schema.min_items.unwrap_or(0).min(MAX_ITEMS);
        let most = schema.max_items.unwrap_or(u64::MAX).min(least.max(1) + 2);
        let count = if depth > DEPTH_OF_OPTIONAL {
            least
        } else {
            let low = least.max(1).min(most);
            low + self.random.below(most - low + 1)
        };
        let Some(items) = schema.items else { return Value::Array(Vec::new()) };
        let mut values: Vec<Value> = Vec::new();
        for _ in 0..count {
            let value = self.make(items, depth + 1);
            if !(schema.unique_items && values.contains(&value)) {
                values.push(value);
            }
        }
        Value::Array(values)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and bounds beyond 2^53 are only a hint")]
    fn integer(&mut self, schema: &Schema) -> Value {
        let low = schema.minimum.or(schema.exclusive_minimum.map(|low| low.floor() + 1.0));
        let high = schema.maximum.or(schema.exclusive_maximum.map(|high| high.ceil() - 1.0));
        let (low, high) = match (low, high) {
            (Some(low), Some(high)) => (low, high),
            (Some(low), None) => (low, low + 999.0),
            (None, Some(high)) => (high.min(0.0), high),
            (None, None) => (0.0, 999.0),
        };
        let (low, high) = (low.ceil() as i64, high.floor() as i64);
        let value = low.saturating_add_unsigned(self.random.below(high.saturating_sub(low).max(0).unsigned_abs() + 1));
        match schema.multiple_of.map(|step| step as i64).filter(|step| *step > 1) {
            Some(step) => {
                let down = value.div_euclid(step).saturating_mul(step);
                Value::from(if down < low { down.saturating_add(step) } else { down })
            }
            None => Value::from(value),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "four digits are asked for")]
    fn number(&mut self, schema: &Schema) -> Value {
        let low = schema.minimum.or(schema.exclusive_minimum).unwrap_or(0.0);
        let high = schema.maximum.or(schema.exclusive_maximum).unwrap_or(low + 1_000.0);
        // From 1 to 9999 of 10000, so that exclusive bounds hold as well.
        let value = low + (high - low) * (1 + self.random.below(9_999)) as f64 / 10_000.0;
        match schema.multiple_of {
            Some(step) => number((value / step).floor() * step),
            None => number((value * 10_000.0).round() / 10_000.0),
        }
    }

    fn string(&mut self, schema: &Schema) -> Value {
        let bits = self.random.next();
        let text = match schema.format.as_deref() {
            Some("date-time") => {
                self.moment += bits % DAY;
                date_time(self.moment)
            }
            Some("date") => {
                self.moment += DAY + bits % (7 * DAY);
                date_time(self.moment).split('T').next().unwrap_or_default().to_owned()
            }
            Some("time") => format!("{:02}:{:02}:{:02}Z", bits % 24, bits / 24 % 60, bits / 1_440 % 60),
            Some("duration") => format!("PT{}M", 1 + bits % 90),
            Some("uuid") => {
                let more = self.random.next();
                let (a, b, c) = (bits >> 32, bits >> 16 & 0xffff, bits & 0xfff);
                format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", 0x8000 | more >> 50, more & 0xffff_ffff_ffff)
            }
            Some("email") => format!("{}.{}@example.com", self.word(), bits % 1_000),
            Some("uri" | "url") => format!("https://example.com/{}/{}", self.word(), bits % 1_000),
            Some("uri-reference") => format!("/{}/{}", self.word(), bits % 1_000),
            Some("hostname") => format!("{}.example.com", self.word()),
            Some("ipv4") => format!("192.0.2.{}", 1 + bits % 254),
            Some("ipv6") => format!("2001:db8::{:x}", 1 + bits % 0xfffe),
            Some("byte") => "c2FuZGJveA==".to_owned(),
            Some("json-pointer") => format!("/{}", self.word()),
            _ => self.words(schema),
        };
        Value::String(text)
    }

    fn words(&mut self, schema: &Schema) -> String {
        let least = usize::try_from(schema.min_length.unwrap_or(0).min(4_096)).unwrap_or(0);
        let mut text = self.word().to_owned();
        while text.len() < least || self.random.below(3) == 0 {
            text.push(' ');
            text.push_str(self.word());
        }
        if let Some(most) = schema.max_length.and_then(|most| usize::try_from(most).ok()) {
            text.truncate(most);
            if text.ends_with(' ') {
                text.pop();
                text.push('s');
            }
        }
        text
    }

    fn word(&mut self) -> &'static str {
        self.random.pick(&WORDS).copied().unwrap_or("amber")
    }

    /// Text of the same shape: what stands up to the last `_` or `-` is kept, the rest is drawn anew.
    fn like(&mut self, example: &str) -> String {
        let kept = example.rfind(['_', '-']).map_or(0, |at| at + 1);
        let (prefix, rest) = example.split_at(kept);
        let letters = rest.bytes().any(|byte| byte.is_ascii_alphabetic());
        let hex = rest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let alphabet: &[u8] = match (letters, hex) {
            (false, _) => b"0123456789",
            (true, true) => b"0123456789abcdef",
            (true, false) => b"0123456789abcdefghjkmnpqrstvwxyz",
        };
        let drawn = rest.chars().map(|is| {
            let Some(new) = self.random.pick(alphabet).copied().map(char::from) else { return is };
            match is {
                'A'..='Z' => new.to_ascii_uppercase(),
                'a'..='z' | '0'..='9' => new,
                other => other,
            }
        });
        prefix.chars().chain(drawn).collect()
    }
}

/// RFC 3339, in UTC.
fn date_time(seconds: u64) -> String {
    // Days to a date by H. Hinnant's `civil_from_days`, for days after 1970.
    let days = seconds / DAY + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let day = day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let rest = seconds % DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}
