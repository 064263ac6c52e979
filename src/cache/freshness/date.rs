//! Dates in fields (RFC 9110 §5.6.7), read as RFC 9111 §4.2 asks caches to.

use std::time::{Duration, UNIX_EPOCH};

/// Of the longest form: `Wednesday, 06-Nov-94 08:49:37 GMT`.
const MAX: usize = 33;

/// A year of the calendar, on average.
const YEAR: Duration = Duration::from_secs(31_556_952);

const DAYS: [&[u8]; 7] = [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];

/// Since 1970 UTC. All three forms, in any case; the leap second counts as the one before it. `None` for anything else, other time
/// zones, days of the week that are not those of the date and years before 1970 among it. `now` tells the century of a year of two
/// digits.
pub(in crate::cache) fn parse(value: &[u8], now: Duration) -> Option<Duration> {
    let value = value.trim_ascii();
    let mut buffer = [0; MAX];
    let date = buffer.get_mut(..value.len())?;
    let mut within = false;
    for (to, from) in date.iter_mut().zip(value) {
        *to = if within { from.to_ascii_lowercase() } else { from.to_ascii_uppercase() };
        within = from.is_ascii_alphabetic();
    }
    if let Some(zone) = date.last_chunk_mut::<4>().filter(|zone| **zone == *b" Gmt") {
        zone.copy_from_slice(b" GMT");
    }
    if let Some(at) = date.windows(8).position(|time| time == b"23:59:60")
        && let Some(seconds) = date.get_mut(at + 6..at + 8)
    {
        seconds.copy_from_slice(b"59");
    }
    match date.iter().position(|byte| *byte == b',') {
        Some(at) if at > 3 => of_two_digits(date.get(..at)?, date.get(at + 1..)?, now),
        _ => exact(date),
    }
}

fn exact(date: &[u8]) -> Option<Duration> {
    let date = httpdate::parse_http_date(str::from_utf8(date).ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok()
}

/// `rfc850-date`, after its day: the latest such date that is not more than 50 years ahead.
fn of_two_digits(day: &[u8], rest: &[u8], now: Duration) -> Option<Duration> {
    let day = DAYS.contains(&day).then(|| day.get(..3))??;
    let [b' ', d1, d2, b'-', m1, m2, m3, b'-', y1, y2, rest @ ..] = rest else { return None };
    [b"21", b"20", b"19"].into_iter().find_map(|century| {
        let [c1, c2] = century;
        let year = [day, &[b',', b' ', *d1, *d2, b' ', *m1, *m2, *m3, b' ', *c1, *c2, *y1, *y2], rest].concat();
        exact(&year).filter(|date| *date <= now.saturating_add(YEAR * 50))
    })
}
