//! A key for people.

use std::fmt::{self, Write};

use super::Key;
use super::parts::{Kind, take};

/// Words in names of fields whose values are not shown, because they may open doors.
const SECRET: [&str; 12] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "passw",
    "secret",
    "session",
    "signature",
    "token",
    "jwt",
    "assertion",
    "cert",
];

/// `https://api.example.com/orders/1?x=1 for partner acme, subject 7 (main), with x-tenant: a, without accept-language`. Values of
/// fields that may be credentials are left out, and control characters are escaped.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(self.as_bytes(), f)
    }
}

fn describe(key: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = key;
    let mut scope = Scope::default();
    let mut field = "";
    while let Some((kind, bytes)) = take(&mut rest) {
        let text = Shown(bytes);
        match kind {
            Kind::Scheme => write!(f, "{text}://")?,
            Kind::Host | Kind::Path => write!(f, "{text}")?,
            Kind::Query => write!(f, "?{text}")?,
            Kind::NoQuery | Kind::Route | Kind::End => {}
            Kind::Everyone => f.write_str(" for everyone")?,
            Kind::Public => f.write_str(" for the public")?,
            Kind::Partner => write!(f, " for partner {text}")?,
            Kind::Subject => scope.subject = bytes,
            Kind::Issuer => scope.by = bytes,
            Kind::OfPartner => write!(f, " for partner {text}, {scope}")?,
            Kind::OfNone => write!(f, " for {scope}")?,
            Kind::Field | Kind::Variant => field = str::from_utf8(bytes).unwrap_or_default(),
            Kind::NoValue => write!(f, ", without {field}")?,
            Kind::Value if is_secret(field) => write!(f, ", with {field}")?,
            Kind::Value => write!(f, ", with {field}: {text}")?,
        }
    }
    if rest.is_empty() { Ok(()) } else { f.write_str(" (and what is no part of a key)") }
}

impl Key {
    /// Who shares the answer.
    #[must_use]
    pub fn scope(&self) -> Option<super::Scope<'_>> {
        let text = |bytes| str::from_utf8(bytes).ok();
        let (mut rest, mut subject, mut by) = (self.as_bytes(), None, None);
        while let Some((kind, bytes)) = take(&mut rest) {
            match kind {
                Kind::Everyone => return Some(super::Scope::Everyone),
                Kind::Public => return Some(super::Scope::Public),
                Kind::Partner => return text(bytes).map(super::Scope::Partner),
                Kind::Subject => subject = text(bytes),
                Kind::Issuer => by = text(bytes),
                Kind::OfPartner | Kind::OfNone => {
                    let partner = if kind == Kind::OfPartner { text(bytes) } else { None };
                    return Some(super::Scope::Subject { partner, by: by?, subject: subject? });
                }
                _ => {}
            }
        }
        None
    }
}

fn is_secret(field: &str) -> bool {
    SECRET.iter().any(|word| field.contains(word))
}

#[derive(Default)]
struct Scope<'a> {
    by: &'a [u8],
    subject: &'a [u8],
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subject {} ({})", Shown(self.subject), Shown(self.by))
    }
}

/// Bytes as text on one line.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    f.write_char(character)?;
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}
