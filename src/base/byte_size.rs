//! Sizes as written in configuration: `512B`, `64KiB`, `10MiB`, `1GiB` (powers of 1024) or `kB`, `MB`, `GB` (powers of 1000).

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a size in bytes; the error says what was expected.
pub fn parse(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}` is not a size; write a whole number and a unit, such as `64KiB` or `10MiB`");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(expected)?;
    number.checked_mul(*size).ok_or_else(expected)
}

/// Writes a size in the largest binary unit that needs no fraction.
#[must_use]
pub fn format(bytes: u64) -> String {
    for (unit, size) in &UNITS[..3] {
        if bytes >= *size && bytes.is_multiple_of(*size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_binary_and_decimal_units() {
        assert_eq!(parse("64KiB"), Ok(65_536));
        assert_eq!(parse("10MB"), Ok(10_000_000));
        assert_eq!(format(65_536), "64KiB");
        assert_eq!(format(1_000), "1000B");
    }

    #[test]
    fn refuses_fractions_missing_units_and_overflow() {
        for text in ["", "64", "KiB", "1.5MiB", "-1B", "99999999999GiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
