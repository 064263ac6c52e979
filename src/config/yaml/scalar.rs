//! What a plain scalar means: the core schema of YAML 1.2 (§10.3.2), so that `no` and `off` are text.

/// The type of a value as its writer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    Bool(bool),
    Integer,
    Fraction,
    Text,
    List,
    Mapping,
}

impl Kind {
    /// For messages: "expected a list, found …".
    pub(crate) fn found(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Bool(true) => "`true`",
            Self::Bool(false) => "`false`",
            Self::Integer | Self::Fraction => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        }
    }

    pub(super) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Nothing,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            ".nan" | ".NaN" | ".NAN" => Self::Fraction,
            _ => Self::of_number(text),
        }
    }

    fn of_number(text: &str) -> Self {
        let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
        let all = |digits: &str, allowed: fn(&u8) -> bool| !digits.is_empty() && digits.as_bytes().iter().all(allowed);
        if !bare.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            return Self::Text;
        }
        if all(bare, u8::is_ascii_digit)
            || text.strip_prefix("0x").is_some_and(|digits| all(digits, u8::is_ascii_hexdigit))
            || text.strip_prefix("0o").is_some_and(|digits| all(digits, |digit| matches!(digit, b'0'..=b'7')))
        {
            return Self::Integer;
        }
        let number = all(bare, |byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        if matches!(bare, ".inf" | ".Inf" | ".INF") || number && bare.parse::<f64>().is_ok() {
            return Self::Fraction;
        }
        Self::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_core_schema() {
        for text in ["no", "off", "yes", "1s", "127.0.0.1", "1_000", "12:30", ".", "-", "0x", "e5", "inf", "nan", "*"] {
            assert_eq!(Kind::of_plain(text), Kind::Text, "{text}");
        }
        for text in ["0", "-12", "+3", "0755", "0xfF", "0o17"] {
            assert_eq!(Kind::of_plain(text), Kind::Integer, "{text}");
        }
        for text in ["1.3", "1e3", "-.5", "1.", ".inf", "-.inf", ".nan"] {
            assert_eq!(Kind::of_plain(text), Kind::Fraction, "{text}");
        }
    }
}
