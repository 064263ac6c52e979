//! Characters and names that both the head and the trailers of a message are held to.

/// Bytes of a `token` (RFC 9110 §5.6.2): methods, field names, connection options.
const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
/// Bytes of a request target (RFC 9112 §3.2) as browsers really send them: what RFC 3986 allows and `[ ] { } | \ ^` and the
/// backtick, which the one reading of the path sees to. No `"`, `<`, `>`, `#`, no controls, nothing but ASCII.
const TARGET: [bool; 256] = table(b"!$%&'()*+,-./:;=?@[\\]^_`{|}~");

/// Letters, digits and `others`.
const fn table(others: &[u8]) -> [bool; 256] {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let as_byte = byte as u8;
        allowed[byte] = as_byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        allowed[others[index] as usize] = true;
        index += 1;
    }
    allowed
}

pub(super) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

pub(super) const fn is_target(byte: u8) -> bool {
    TARGET[byte as usize]
}

/// Bytes of a field value (RFC 9110 §5.5): visible ASCII, space, HTAB, and the opaque bytes from 0x80.
pub(super) const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Compares a field name with one of ours (lower case, with `-`), taking `_` for `-` as CGI and its heirs do.
pub(super) fn reads_as(name: &str, known: &str) -> bool {
    name.len() == known.len()
        && name
            .bytes()
            .zip(known.bytes())
            .all(|(sent, known)| if sent == b'_' { known == b'-' } else { sent.eq_ignore_ascii_case(&known) })
}

/// Fields that decide framing, routing, identity, client address or tracing: a client may neither have them dropped on the way
/// (`Connection`, RFC 9110 §7.6.1) nor smuggle them in under another spelling or behind the body.
pub(super) fn is_protected(name: &str) -> bool {
    match name.len() {
        4 => reads_as(name, "host"),
        6 => reads_as(name, "cookie"),
        9 => reads_as(name, "forwarded") || reads_as(name, "x-real-ip"),
        11 => reads_as(name, "traceparent"),
        12 => reads_as(name, "x-request-id"),
        13 => reads_as(name, "authorization"),
        14 => reads_as(name, "content-length") || is_forwarded_by_proxy(name),
        17 => reads_as(name, "transfer-encoding") || is_forwarded_by_proxy(name),
        _ => is_forwarded_by_proxy(name),
    }
}

fn is_forwarded_by_proxy(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    name.get(..PREFIX.len()).is_some_and(|start| reads_as(start, PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_what_the_grammar_says() {
        for byte in 0..=u8::MAX {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token(byte), byte.is_ascii_graphic() && !delimiter, "{byte:#x}");
            assert_eq!(is_target(byte), byte.is_ascii_graphic() && !b"\"<>#".contains(&byte), "{byte:#x}");
            assert_eq!(is_value(byte), byte == b'\t' || (byte >= b' ' && byte != 0x7f), "{byte:#x}");
        }
    }

    #[test]
    fn protected_names_in_every_spelling() {
        for name in [
            "Host",
            "COOKIE",
            "Forwarded",
            "X-Real-IP",
            "x_real_ip",
            "traceparent",
            "X-Request-Id",
            "x_request-id",
            "Authorization",
            "Content-Length",
            "content_length",
            "Transfer_Encoding",
            "X-Forwarded-For",
            "X-Forwarded-By",
            "x-forwarded-proto",
            "X_Forwarded_Host",
            "X-Forwarded-Anything-At-All",
        ] {
            assert!(is_protected(name), "{name}");
        }
        for name in [
            "",
            "Hosts",
            "X-Forwarded",
            "X-Forwarde-",
            "XForwarded-For",
            "Content-Type",
            "Cookie2",
            "traceparents",
            "TE",
        ] {
            assert!(!is_protected(name), "{name}");
        }
    }
}
