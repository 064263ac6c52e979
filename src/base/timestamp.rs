//! Points in time as written in configuration: a date (`2027-01-01`, where that day begins in UTC), or date and time with
//! their offset (RFC 3339).

use std::time::Duration;

const DAYS_OF_MONTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// The last year that four digits can write.
const LAST_YEAR: u64 = 9999;

/// Reads a point in time, since 1970 UTC; the error says what was expected.
///
/// # Errors
///
/// Anything else, days that the calendar does not have, and times before 1970.
pub fn parse(text: &str) -> Result<Duration, String> {
    read(text).ok_or_else(|| {
        format!(
            "`{text}` is not a point in time since 1970; write a date such as `2027-01-31`, or `2027-01-31T18:00:00Z`"
        )
    })
}

/// Writes a point in time in UTC, without parts of seconds.
#[must_use]
pub fn format(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while year < LAST_YEAR && days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

fn read(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, [(4, Some(b'-')), (2, Some(b'-')), (2, None)])?;
    if year < 1970 || !(1..=12).contains(&month) || day < 1 || day > days_of_month(year, month) {
        return None;
    }
    let years: u64 = (1970..year).map(days_of_year).sum();
    let months: u64 = (1..month).map(|month| days_of_month(year, month)).sum();
    let midnight = Duration::from_secs((years + months + day - 1) * 86_400);
    if rest.is_empty() { Some(midnight) } else { with_time(midnight, rest) }
}

/// Adds what follows the date (RFC 3339 §5.6).
fn with_time(midnight: Duration, rest: &str) -> Option<Duration> {
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let [hour, minute, second] = numbers(time, [(2, Some(b':')), (2, Some(b':')), (2, None)])?;
    // A leap second is the next one, as clocks count.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (offset.len() < fraction.len()).then_some(offset)?
        }
        None => rest,
    };
    let local = midnight + Duration::from_secs(hour * 3_600 + minute * 60 + second);
    if matches!(offset, "Z" | "z") {
        return Some(local);
    }
    let is_east = match offset.as_bytes().first()? {
        b'+' => true,
        b'-' => false,
        _ => return None,
    };
    let [hours, minutes] = numbers(offset.get(1..)?, [(2, Some(b':')), (2, None)])?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = Duration::from_secs(hours * 3_600 + minutes * 60);
    if is_east { local.checked_sub(offset) } else { local.checked_add(offset) }
}

/// Numbers of so many digits, each with what has to follow it.
fn numbers<const N: usize>(text: &str, form: [(usize, Option<u8>); N]) -> Option<[u64; N]> {
    let mut rest = text.as_bytes();
    let mut numbers = [0; N];
    for (number, (digits, follows)) in numbers.iter_mut().zip(form) {
        for _ in 0..digits {
            let (digit, after) = rest.split_first()?;
            *number = *number * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
            rest = after;
        }
        if let Some(follows) = follows {
            rest = rest.strip_prefix(&[follows])?;
        }
    }
    rest.is_empty().then_some(numbers)
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    let days = usize::try_from(month).ok().and_then(|month| DAYS_OF_MONTHS.get(month.checked_sub(1)?)).copied();
    days.unwrap_or(0) + u64::from(month == 2 && is_leap(year))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_dates_and_times() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29", 951_782_400),
            ("2027-01-01", 1_798_761_600),
            ("2027-01-01t00:00:01.999z", 1_798_761_601),
            ("2027-01-01 02:00:00+02:00", 1_798_761_600),
            ("2026-12-31T18:30:00-05:30", 1_798_761_600),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_days_that_are_none_and_times_without_an_offset() {
        for text in [
            "",
            "2027",
            "2027-1-1",
            "2027-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-01",
            "2027-04-31",
            "2027-01-00",
            "1969-12-31",
            "1970-01-01T00:00:00+01:00",
            "2027-01-01T00:00:00",
            "2027-01-01T24:00:00Z",
            "2027-01-01T00:60:00Z",
            "2027-01-01T00:00:00.Z",
            "2027-01-01T00:00:00+1:00",
            "2027-01-01T00:00:00ZZ",
            "2027-01-01Z",
            "+027-01-01",
            "２027-01-01",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0_u64..253_402_300_800) {
            let at = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&format(at)), Ok(at));
        }

        #[test]
        fn the_offset_says_how_far_ahead_of_utc_a_clock_is(seconds in 86_400_u64..253_402_214_400, minutes in 0_u64..1_440) {
            let offset = |sign| format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
            let local = |seconds| format(Duration::from_secs(seconds)).trim_end_matches('Z').to_owned();
            let utc = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&format!("{}{}", local(seconds + minutes * 60), offset('+'))), Ok(utc));
            prop_assert_eq!(parse(&format!("{}{}", local(seconds - minutes * 60), offset('-'))), Ok(utc));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}", near in "[0-9TZtz:+. -]{0,30}") {
            let _ = (parse(&text), parse(&near));
        }
    }
}
