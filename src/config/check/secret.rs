//! Secrets, fetched from where the file says they are. Nothing of them is ever part of a message.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use super::super::model::At;
use super::super::model::identity::SecretEncoding;
use super::super::model::secret::SecretSource;
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::resolve;
use crate::base::secret::Secret;

/// HS256 needs a key as long as its digest (RFC 7518 §3.2).
const LEAST: usize = 32;
/// No secret is longer; a file that is was named by mistake.
const MOST: u64 = 64 << 10;

/// The secret of HS256.
pub(super) fn hmac(
    written: &At<SecretSource>,
    encoding: SecretEncoding,
    folder: &Path,
    reader: &mut Reader<'_>,
) -> Option<Secret> {
    match fetch(&written.value, encoding, folder, |name| std::env::var_os(name)) {
        Ok(bytes) => Some(Secret::new(bytes)),
        Err(mistake) => {
            reader.note(mistake(written.span));
            None
        }
    }
}

type Mistake = Box<dyn FnOnce(Span) -> Diagnostic>;

fn mistake(code: Code, message: String) -> Mistake {
    Box::new(move |span| Diagnostic::new(code, span, message))
}

fn fetch(
    source: &SecretSource,
    encoding: SecretEncoding,
    folder: &Path,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<u8>, Mistake> {
    let (written, place) = match source {
        SecretSource::Variable(name) => {
            let value = variable(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                mistake(Code::SecretUnset, format!("the environment has no variable `{name}`, or it is empty"))
            })?;
            let value = value
                .into_string()
                .map_err(|_| mistake(Code::SecretUnset, format!("the variable `{name}` is not UTF-8")))?;
            (value.into_bytes(), format!("the variable `{name}`"))
        }
        SecretSource::File(path) => {
            let path = resolve(folder, path);
            let place = format!("`{}`", path.display());
            let unreadable = |why: String| mistake(Code::SecretFile, format!("cannot read {place}: {why}"));
            let bytes = read(&path).map_err(|error| unreadable(error.to_string()))?;
            if bytes.len() as u64 > MOST {
                return Err(unreadable(format!("more than {} KiB are no secret", MOST >> 10)));
            }
            (bytes, place)
        }
    };
    // Editors and `echo` end files with a line break.
    let written = written.strip_suffix(b"\n").unwrap_or(&written);
    let written = written.strip_suffix(b"\r").unwrap_or(written);
    let secret = match encoding {
        SecretEncoding::Text => written.to_vec(),
        SecretEncoding::Base64 => base64(written)
            .ok_or_else(|| mistake(Code::SecretEncoding, format!("what {place} holds is not Base64 (RFC 4648)")))?,
    };
    if secret.len() < LEAST {
        let message = format!("the secret of {place} has less than {LEAST} bytes");
        return Err(Box::new(move |span| {
            Diagnostic::new(Code::SecretTooShort, span, message)
                .note("a shorter one can be guessed from any token that was signed with it")
                .help("make a new one, such as with `openssl rand -base64 48`, at issuer and gateway")
        }));
    }
    Ok(secret)
}

/// At most one byte more than a secret may have. What is no ordinary file is not opened: it might never end, or never
/// begin.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Both alphabets of RFC 4648, padded or not. Bits that are left over have to be zero, so that a secret has one form.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = text.get(..text.len() - padding)?;
    if padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut held, mut bits) = (0_u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.extend(u8::try_from(held >> bits & 0xff));
            held &= (1 << bits) - 1;
        }
    }
    (held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(value: Option<&str>, encoding: SecretEncoding) -> Result<usize, Code> {
        let source = SecretSource::Variable("NAME".into());
        let fetched =
            fetch(&source, encoding, Path::new(""), |name| value.filter(|_| name == "NAME").map(OsString::from));
        fetched.map(|bytes| bytes.len()).map_err(|mistake| {
            let mistake = mistake(Span::default());
            assert!(
                value.is_none_or(|value| value.is_empty() || !format!("{mistake:?}").contains(value)),
                "{mistake:?}"
            );
            mistake.code
        })
    }

    #[test]
    fn a_secret_has_thirty_two_bytes_at_least() {
        use SecretEncoding::{Base64, Text};
        let long = "0123456789abcdefghijklmnopqrstuv";
        assert_eq!(code(Some(long), Text), Ok(32));
        assert_eq!(code(Some(&format!("{long}\r\n")), Text), Ok(32));
        assert_eq!(code(Some(&long[1..]), Text), Err(Code::SecretTooShort));
        assert_eq!(code(Some(long), Base64), Err(Code::SecretTooShort));
        assert_eq!(code(Some(&format!("{long}{long}")), Base64), Ok(48));
        assert_eq!(code(Some("not base64, but long enough for everything"), Base64), Err(Code::SecretEncoding));
        assert_eq!(code(Some(""), Text), Err(Code::SecretUnset));
        assert_eq!(code(None, Text), Err(Code::SecretUnset));
    }

    #[test]
    fn what_is_no_ordinary_file_is_not_read() {
        for path in ["tests", "/dev/zero", "nowhere"] {
            let source = SecretSource::File(path.into());
            let mistake = fetch(&source, SecretEncoding::Text, Path::new(""), |_| None).unwrap_err();
            assert_eq!(mistake(Span::default()).code, Code::SecretFile, "{path}");
        }
    }

    #[test]
    fn base64_has_one_form() {
        assert_eq!(base64(b"-_+/"), base64(b"+/-_"));
        assert_eq!(base64(b"aGk="), Some(b"hi".to_vec()));
        assert_eq!(base64(b"aGk"), Some(b"hi".to_vec()));
        for text in ["aGl=", "a", "aGk==", "aG k=", "aGk=aGk=", "====", "=", "aGk=="] {
            assert_eq!(base64(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..100), padded: bool) {
            const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let mut text = Vec::new();
            for chunk in bytes.chunks(3) {
                let number = chunk.iter().chain(&[0; 3]).take(3).fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
                text.extend((0..=chunk.len()).map(|digit| ALPHABET[number >> (18 - 6 * digit) & 63]));
                if padded {
                    text.extend(std::iter::repeat_n(b'=', 3 - chunk.len()));
                }
            }
            prop_assert_eq!(base64(&text), Some(bytes));
        }

        #[test]
        fn any_text_is_decoded_without_panic(text in "[A-Za-z0-9+/=_ -]{0,40}") {
            let _ = base64(text.as_bytes());
        }
    }
}
