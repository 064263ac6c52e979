//! The fields that decide how a message is framed, where it goes and whether the connection goes on.

use httparse::Header;

use super::{Framing, Target, Version, authority, malformed};
use crate::base::field::{Known, KnownSet};
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::listener::syntax::{is_protected, is_token};

/// Members of all `Connection` fields together, empty ones too.
const MOST_CONNECTION_OPTIONS: usize = 16;

/// Whether a field is one of [`KnownSet::HOP_BY_HOP`].
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    KnownSet::HOP_BY_HOP.contains(Known::of(name))
}

/// What is said to a client about [`imitates_protected`].
pub const IMITATION: &str = "A field name with `_` imitates one that the gateway relies on.";

/// Whether services that take `_` for `-`, as CGI and its heirs do, would read this name as a protected one.
#[must_use]
pub fn imitates_protected(name: &str) -> bool {
    is_protected(name) && name.as_bytes().contains(&b'_')
}

/// Whether a `Connection` field names this one.
pub(super) fn is_nominated(fields: &[Header<'_>], name: &str) -> bool {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("connection"))
        .flat_map(|field| members(field.value))
        .any(|member| member.eq_ignore_ascii_case(name.as_bytes()))
}

/// What the fields say, before it is weighed.
#[derive(Default)]
pub(super) struct Noted<'b> {
    host: Option<&'b [u8]>,
    content_length: Option<&'b [u8]>,
    transfer_encoding: Option<&'b [u8]>,
    pub present: KnownSet,
    pub upgrade: Option<&'b str>,
    pub close: bool,
    pub keep_alive: bool,
    pub expect_continue: bool,
    pub nominates_upgrade: bool,
    /// Fields beyond those that are hop-by-hop anyway.
    pub nominates_others: bool,
    connection_options: usize,
}

/// Also says what each field is, in the places of `known`.
pub(super) fn read<'b>(fields: &[Header<'b>], known: &mut [Known], version: Version) -> Result<Noted<'b>, Rejection> {
    let mut noted = Noted::default();
    for (Header { name, value }, known) in fields.iter().zip(known) {
        *known = Known::of(name);
        noted.present.insert(*known);
        match *known {
            Known::Host => {
                once(&mut noted.host, value, Reason::HostInvalid, "The request has more than one Host field.")?;
            }
            Known::Expect => noted.expect(value, version)?,
            Known::Upgrade => {
                let protocols =
                    protocols(value).ok_or_else(|| malformed("The Upgrade field is not a list of protocols."))?;
                once(
                    &mut noted.upgrade,
                    protocols,
                    Reason::RequestMalformed,
                    "The request has more than one Upgrade field.",
                )?;
            }
            Known::Connection => noted.connection(value)?,
            Known::ContentLength => {
                let detail = "The request has more than one Content-Length field.";
                once(&mut noted.content_length, value, Reason::RequestFraming, detail)?;
            }
            Known::TransferEncoding => {
                let detail = "The request has more than one Transfer-Encoding field.";
                once(&mut noted.transfer_encoding, value, Reason::RequestFraming, detail)?;
            }
            Known::Other | Known::Claim if imitates_protected(name) => return Err(malformed(IMITATION)),
            _ => {}
        }
    }
    Ok(noted)
}

fn once<T>(place: &mut Option<T>, value: T, reason: Reason, detail: &'static str) -> Result<(), Rejection> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Rejection::with_detail(reason, detail)),
    }
}

impl Noted<'_> {
    /// RFC 9110 §10.1.1; a client of HTTP/1.0 does not know to wait, so its expectation is ignored.
    fn expect(&mut self, value: &[u8], version: Version) -> Result<(), Rejection> {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Reason::ExpectationFailed.into());
        }
        self.expect_continue = version == Version::Http11;
        Ok(())
    }

    /// RFC 9110 §7.6.1; empty members are passed over (§5.6.1.2).
    fn connection(&mut self, value: &[u8]) -> Result<(), Rejection> {
        for member in members(value) {
            self.connection_options += 1;
            if self.connection_options > MOST_CONNECTION_OPTIONS {
                return Err(malformed("The Connection field has too many members."));
            }
            let option = match std::str::from_utf8(member) {
                Ok(option) if option.bytes().all(is_token) => option,
                _ => return Err(malformed("The Connection field is not a list of tokens.")),
            };
            if option.eq_ignore_ascii_case("close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case("keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case("upgrade") {
                self.nominates_upgrade = true;
            } else if is_protected(option) {
                return Err(malformed("The Connection field names a field that the gateway relies on."));
            } else if !option.is_empty() {
                self.nominates_others |= !is_hop_by_hop(option);
            }
        }
        Ok(())
    }
}

/// RFC 9112 §3.2: exactly one Host that is a host; RFC 9110 §7.2: the same as the authority of an absolute target.
pub(super) fn host<'b>(noted: &Noted<'b>, target: &Target<'b>, version: Version) -> Result<&'b str, Rejection> {
    let refuse = |detail: &'static str| Rejection::with_detail(Reason::HostInvalid, detail);
    let Some(value) = noted.host else {
        return match version {
            Version::Http11 => Err(refuse("The request has no Host field.")),
            Version::Http10 => Ok(target.authority().unwrap_or_default()),
        };
    };
    let host = std::str::from_utf8(value)
        .ok()
        .filter(|host| authority::is_valid(host))
        .ok_or_else(|| refuse("The Host field is not a host and port."))?;
    match target.authority() {
        Some(authority) if !authority.eq_ignore_ascii_case(host) => {
            Err(refuse("The Host field differs from the authority of the request target."))
        }
        _ => Ok(host),
    }
}

/// RFC 9112 §6.1 to §6.3, with everything refused that the RFC calls an error or likely an attack.
pub(super) fn framing(noted: &Noted<'_>, version: Version) -> Result<Framing, Rejection> {
    let refuse = |detail: &'static str| Err(Rejection::with_detail(Reason::RequestFraming, detail));
    match (noted.transfer_encoding, noted.content_length) {
        (None, None) => Ok(Framing::None),
        (Some(_), Some(_)) => refuse("The request has both Transfer-Encoding and Content-Length."),
        (Some(_), None) if version == Version::Http10 => refuse("HTTP/1.0 has no Transfer-Encoding."),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (Some(_), None) => refuse("The only known transfer coding is `chunked`."),
        (None, Some(digits)) => match length(digits) {
            Some(length) => Ok(Framing::Length(length)),
            None => refuse("The Content-Length field is not one decimal number."),
        },
    }
}

/// `1*DIGIT` that fits 64 bits; the number parser of the standard library would also take `+1`.
fn length(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// A list of `token [ "/" token ]` (RFC 9110 §7.8).
fn protocols(value: &[u8]) -> Option<&str> {
    let is_protocol = |member: &[u8]| {
        let mut parts = member.split(|byte| *byte == b'/');
        let is_part = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| is_token(*byte));
        parts.next().is_some_and(is_part) && parts.next().is_none_or(is_part) && parts.next().is_none()
    };
    if members(value).all(is_protocol) { std::str::from_utf8(value).ok() } else { None }
}

/// The members of a comma-separated list, without the white space around them.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// SP and HTAB only (RFC 9110 §5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
