//! Calendar periods in UTC, by number.

use std::time::Duration;

use crate::config::checked::limits::CalendarPeriod;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// 1970-01-01 was a Thursday.
const DAYS_FROM_MONDAY: u64 = 3;

/// Numbers stay below this; it is reached in the year 3883.
pub(super) const MAX_NUMBER: u64 = (1 << 24) - 1;

/// The number of the period that holds this time: later ones have greater numbers, neighbours differ by one.
pub(in crate::rate_limit) fn number(period: CalendarPeriod, since_epoch: Duration) -> u64 {
    let seconds = since_epoch.as_secs();
    let number = match period {
        CalendarPeriod::Hour => seconds / HOUR,
        CalendarPeriod::Day => seconds / DAY,
        CalendarPeriod::Week => (seconds / DAY + DAYS_FROM_MONDAY) / 7,
        CalendarPeriod::Month => {
            let (year, month) = year_and_month(seconds / DAY);
            (year - 1970) * 12 + month - 1
        }
    };
    number.min(MAX_NUMBER)
}

/// When a period begins, in seconds since 1970.
pub(in crate::rate_limit) fn start(period: CalendarPeriod, number: u64) -> u64 {
    match period {
        CalendarPeriod::Hour => number * HOUR,
        CalendarPeriod::Day => number * DAY,
        CalendarPeriod::Week => (number * 7).saturating_sub(DAYS_FROM_MONDAY) * DAY,
        CalendarPeriod::Month => days_before(1970 + number / 12, number % 12 + 1) * DAY,
    }
}

// Days are counted from 0000-03-01, so that a leap day is the last of its year, and in eras of 400 years, which all have the same
// number of days (<https://howardhinnant.github.io/date_algorithms.html>).
const DAYS_OF_ERA: u64 = 146_097;
const DAYS_BEFORE_1970: u64 = 719_468;

fn year_and_month(days: u64) -> (u64, u64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // 0 is March.
    let month = (5 * day_of_year + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * era + year + u64::from(month <= 2), month)
}

/// Days from 1970-01-01 to the first of this month.
fn days_before(year: u64, month: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * DAYS_OF_ERA + 365 * year + year / 4 - year / 100 + day_of_year - DAYS_BEFORE_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Every day from 1970 to 2400, by counting.
    #[test]
    fn days_weeks_and_months_are_those_of_the_calendar() {
        let (mut year, mut month, mut day_of_month) = (1970, 1, 1);
        for day in 0..157_000 {
            let noon = at(day * DAY + DAY / 2);
            assert_eq!(number(CalendarPeriod::Day, noon), day);
            assert_eq!(number(CalendarPeriod::Hour, noon), day * 24 + 12);
            assert_eq!(
                number(CalendarPeriod::Month, noon),
                (year - 1970) * 12 + month - 1,
                "{year}-{month}-{day_of_month}"
            );
            let week = number(CalendarPeriod::Week, noon);
            // 1970-01-05 was the first Monday.
            assert_eq!(week, if day < 4 { 0 } else { (day - 4) / 7 + 1 });
            if day_of_month == 1 {
                assert_eq!(start(CalendarPeriod::Month, number(CalendarPeriod::Month, noon)), day * DAY);
            }
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day_of_month += 1;
            if day_of_month > days {
                (day_of_month, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
        assert!(year >= 2399);
    }

    #[test]
    fn a_period_begins_with_its_first_second_and_no_sooner() {
        for period in [CalendarPeriod::Hour, CalendarPeriod::Day, CalendarPeriod::Week, CalendarPeriod::Month] {
            for which in [1, 2, 25, 600, 2_000] {
                let begin = start(period, which);
                assert_eq!(number(period, at(begin)), which, "{period:?} {which}");
                let before = Duration::from_nanos(begin * 1_000_000_000 - 1);
                assert_eq!(number(period, before), which - 1, "{period:?} {which}");
            }
        }
        // Sunday 2026-11-22 23:59:59 and Monday 2026-11-23 00:00:00.
        assert_eq!(
            number(CalendarPeriod::Week, at(1_795_391_999)) + 1,
            number(CalendarPeriod::Week, at(1_795_392_000))
        );
        assert_eq!(start(CalendarPeriod::Week, number(CalendarPeriod::Week, at(1_795_392_001))), 1_795_392_000);
    }

    #[test]
    fn no_time_is_beyond_the_numbers() {
        for period in [CalendarPeriod::Hour, CalendarPeriod::Day, CalendarPeriod::Week, CalendarPeriod::Month] {
            assert!(number(period, Duration::MAX) <= MAX_NUMBER);
            assert!(start(period, MAX_NUMBER + 1) > 0);
        }
    }
}
