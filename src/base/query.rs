//! Query parameters, read where they stand and never copied.

/// Names and values as they were sent.
pub fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether a name as it was sent is this one.
#[must_use]
pub fn is_named(key: &str, name: &str) -> bool {
    decoded(key.as_bytes()).eq(name.bytes())
}

/// The query without the parameters of these names; `None` when nothing is left.
#[must_use]
pub fn without<'n>(query: &str, names: impl Iterator<Item = &'n str> + Clone) -> Option<String> {
    let stays = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        !names.clone().any(|name| is_named(key, name))
    };
    let left: Vec<&str> = query.split('&').filter(stays).collect();
    (!left.is_empty()).then(|| left.join("&"))
}

/// The bytes after percent-decoding, with `+` as a space. A `%` without two hex digits stands for itself.
pub fn decoded(raw: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        match byte {
            b'+' => Some(b' '),
            b'%' => {
                if let [high, low, after @ ..] = tail
                    && let (Some(high), Some(low)) = (hex(*high), hex(*low))
                {
                    rest = after;
                    Some(high << 4 | low)
                } else {
                    Some(b'%')
                }
            }
            other => Some(*other),
        }
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a hex digit is less than 16")]
fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let read: Vec<(&str, &str)> = pairs(Some("a%62=1&&flag&x==&=none")).collect();
        assert_eq!(read, [("a%62", "1"), ("flag", ""), ("x", "="), ("", "none")]);
        assert!(is_named("a%62", "ab") && !is_named("a%62", "a%62"));
        assert_eq!(decoded(b"+%2b%zz%4").collect::<Vec<_>>(), b" +%zz%4");
    }

    #[test]
    fn parameters_are_taken_off_however_they_are_spelt() {
        let without = |query| without(query, ["key", "token"].into_iter());
        assert_eq!(without("a=1&key=2&b&t%6Fken=3&&keys=4").as_deref(), Some("a=1&b&&keys=4"));
        assert_eq!(without("key&%6bey=1"), None);
        assert_eq!(without("a=key").as_deref(), Some("a=key"));
    }
}
