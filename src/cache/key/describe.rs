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
            Kind::NoQuery => {}
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
    /// What it says, in parts.
    #[must_use]
    pub fn describe(&self) -> Described {
        let mut described = Described::default();
        let mut rest = self.as_bytes();
        while let Some((kind, bytes)) = take(&mut rest) {
            let text = || Shown(bytes).to_string();
            match kind {
                Kind::Scheme => described.url = text() + "://",
                Kind::Host | Kind::Path => described.url.push_str(&text()),
                Kind::Query => described.url.push_str(&format!("?{}", text())),
                Kind::Everyone => described.scope = "everyone",
                Kind::Public => described.scope = "public",
                Kind::Partner => (described.scope, described.partner) = ("partner", Some(text())),
                Kind::Subject => (described.scope, described.subject) = ("subject", Some(text())),
                Kind::Issuer => described.by = Some(text()),
                Kind::OfPartner => described.partner = Some(text()),
                Kind::NoQuery | Kind::OfNone | Kind::Field | Kind::Variant | Kind::Value | Kind::NoValue => {}
            }
        }
        described
    }
}

/// What a key says. The values of fields are left out: they may be secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// With what counts of the query.
    pub url: String,
    /// Who shares the answer: `everyone`, `public`, `partner` or `subject`.
    pub scope: &'static str,
    pub partner: Option<String>,
    /// Whose name the subject is.
    pub by: Option<String>,
    pub subject: Option<String>,
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
