//! Answers that depend on fields of the request (RFC 9111 §4.1).

mod normal;
#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, header};

use super::Fields;
use super::key;

/// Answers that depend on more fields than this are not shared.
const MAX_NAMES: usize = 16;

/// What `Vary` of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// Every request for the key may have it.
    Nothing,
    /// Requests that agree in these fields, sorted and each once.
    Fields(Box<[HeaderName]>),
    /// No request but its own: `*`.
    Everything,
}

impl Vary {
    /// All lines together; what is no field name counts as `*`, and so do more than 16 names.
    #[must_use]
    pub fn of(fields: &HeaderMap) -> Self {
        let mut names: Vec<HeaderName> = Vec::new();
        for line in fields.get_all(header::VARY) {
            // Empty members of a list are nothing (RFC 9110 §5.6.1.2).
            let members = line.as_bytes().split(|byte| *byte == b',').map(normal::trimmed);
            for member in members.filter(|member| !member.is_empty()) {
                // `*` is a token, and so it could be a name.
                let Some(name) = HeaderName::from_bytes(member).ok().filter(|name| name != "*") else {
                    return Self::Everything;
                };
                let Err(place) = names.binary_search_by(|known| known.as_str().cmp(name.as_str())) else { continue };
                if names.len() == MAX_NAMES {
                    return Self::Everything;
                }
                names.insert(place, name);
            }
        }
        if names.is_empty() { Self::Nothing } else { Self::Fields(names.into()) }
    }
}

/// Appends what tells the answers for these fields apart: for each its name, whether it is there, and its value in a normal form
/// (RFC 9111 §4.1), with lengths, so that no two differ in meaning and not in bytes.
///
/// Lines of a field count as one, and white space around commas does not count, nor case where the field has none. The codings of
/// `Accept-Encoding` have no order.
pub fn push_variant(names: &[HeaderName], request: &dyn Fields, out: &mut Vec<u8>) {
    for name in names {
        key::push_variant(name, out, |out| normal::push(name, request, out));
    }
}
