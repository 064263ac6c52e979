//! Durations as written in configuration: a number and a unit, `250ms`, `1.5s`, `2m`, `1h`, `7d`.

use std::time::Duration;

const UNITS: [(&str, f64); 6] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)];

/// Reads a duration; the error says what was expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("`{text}` is not a duration; write a number and a unit, such as `250ms`, `15s`, `2m` or `1h`");
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(expected)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| expected())?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(expected)?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())
}

/// Writes a duration in the largest unit that needs no fraction.
#[must_use]
pub fn format(duration: Duration) -> String {
    let micros = duration.as_micros();
    for (unit, size) in
        [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)]
    {
        if micros >= size && micros.is_multiple_of(size) {
            return format!("{}{unit}", micros / size);
        }
    }
    format!("{micros}us")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit_and_writes_it_back() {
        for text in ["5us", "250ms", "15s", "2m", "1h", "7d"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(parse("1.5s").unwrap(), Duration::from_millis(1_500));
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_number() {
        for text in ["", "15", "s", "-1s", "1 fortnight", "1..2s", "1e400s", "99999999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
