//! RFC 3339 timestamps in UTC with microseconds; the part down to the second is rendered once per second.

use std::time::Duration;

use super::page::{Pen, eight_digits};

/// 9999-12-31T23:59:59Z: RFC 3339 knows years of four digits.
const LAST_SECOND: u64 = 253_402_300_799;
const SECONDS_PER_DAY: u64 = 86_400;

pub(super) struct Timestamp {
    second: u64,
    text: [u8; 20],
}

impl Timestamp {
    pub(super) fn new() -> Self {
        Self { second: 0, text: render(0) }
    }

    /// Writes `2026-11-22T09:05:07.000123Z`.
    #[inline]
    pub(super) fn write<'a>(&mut self, pen: Pen<'a>, since_epoch: Duration) -> Pen<'a> {
        let second = since_epoch.as_secs().min(LAST_SECOND);
        if second != self.second {
            *self = Self { second, text: render(second) };
        }
        let [_, _, micros @ ..] = eight_digits(u64::from(since_epoch.subsec_micros()));
        pen.put(&self.text).put(&micros).put(b"Z")
    }
}

fn digit(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}

/// `2026-11-22T09:05:07.`
#[cold]
fn render(second: u64) -> [u8; 20] {
    let (year, month, day) = civil(second / SECONDS_PER_DAY);
    let time = second % SECONDS_PER_DAY;
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    [
        digit(year / 1_000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
        b'T',
        digit(hour / 10),
        digit(hour),
        b':',
        digit(minute / 10),
        digit(minute),
        b':',
        digit(second / 10),
        digit(second),
        b'.',
    ]
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day comes last (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::super::page::Page;
    use super::*;

    fn text(timestamp: &mut Timestamp, since_epoch: Duration) -> String {
        let mut page = Page::default();
        page.write(64, |pen| timestamp.write(pen, since_epoch));
        String::from_utf8(page.filled().to_vec()).unwrap()
    }

    #[test]
    fn known_instants() {
        let mut timestamp = Timestamp::new();
        for (seconds, micros, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000001Z"),
            (1_709_251_199, 999_999, "2024-02-29T23:59:59.999999Z"),
            (1_763_775_907, 123, "2025-11-22T01:45:07.000123Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
            (LAST_SECOND, 0, "9999-12-31T23:59:59.000000Z"),
            (u64::MAX, 0, "9999-12-31T23:59:59.000000Z"),
        ] {
            let since_epoch = Duration::new(seconds, micros * 1_000);
            assert_eq!(text(&mut timestamp, since_epoch), expected);
            assert_eq!(text(&mut timestamp, since_epoch), expected, "from the kept text");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = (1969, 12, 31);
        for day in 0..200_000 {
            let today = civil(day);
            let (year, month, date) = last;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
            let expected = match (date == days, month == 12) {
                (false, _) => (year, month, date + 1),
                (true, false) => (year, month + 1, 1),
                (true, true) => (year + 1, 1, 1),
            };
            assert_eq!(today, expected);
            last = today;
        }
    }
}
