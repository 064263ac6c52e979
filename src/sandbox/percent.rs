//! Percent-decoding (RFC 3986 section 2.1).

/// `None` for a broken escape and for bytes that are not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Splits a query string (`application/x-www-form-urlencoded`); what does not decode is kept as written.
pub(super) fn query(text: &str) -> Vec<(String, String)> {
    let part = |text: &str| decode(&text.replace('+', " ")).unwrap_or_else(|| text.to_owned());
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => (part(name), part(value)),
        None => (part(pair), String::new()),
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}
