//! Reading the head of an HTTP/1.1 answer and knowing where its body ends (RFC 9112 §6.3).

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::base::reason::Reason;
use crate::listener::framing::{BodyGuard, Framing};

const MOST_FIELDS: usize = 256;

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    pub fields: HeaderMap,
    framing: BodyFraming,
}

#[derive(Clone, Copy, Debug)]
enum BodyFraming {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Why an answer is not valid HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The head at the front of `bytes` and its length; `None` while it is not whole.
pub fn parse(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, Invalid> {
    let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut answer = httparse::Response::new(&mut room);
    let length = match answer.parse(bytes).map_err(|_| Invalid)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Invalid)?;
    let mut fields = HeaderMap::with_capacity(answer.headers.len());
    for field in answer.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Invalid)?;
        fields.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Invalid)?);
    }
    let framing = framing(&fields)?;
    Ok(Some((ResponseHead { status, fields, framing }, length)))
}

fn framing(fields: &HeaderMap) -> Result<BodyFraming, Invalid> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if let Some(coding) = fields.get(TRANSFER_ENCODING) {
        let alone = length.is_none() && fields.get_all(TRANSFER_ENCODING).iter().nth(1).is_none();
        return if alone && coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            Ok(BodyFraming::Chunked)
        } else {
            Err(Invalid)
        };
    }
    match length {
        None => Ok(BodyFraming::UntilClose),
        Some(value) if lengths.next().is_none() && value.as_bytes().iter().all(u8::is_ascii_digit) => {
            let length = value.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Invalid)?;
            Ok(BodyFraming::Length(length))
        }
        Some(_) => Err(Invalid),
    }
}

impl ResponseHead {
    /// Whether a 101 says that it is this protocol from here on.
    #[must_use]
    pub fn switches_to(&self, protocol: &str) -> bool {
        self.fields.get(UPGRADE).is_some_and(|named| named.as_bytes().eq_ignore_ascii_case(protocol.as_bytes()))
    }

    /// Where the body ends, given whether the request was a HEAD.
    #[must_use]
    pub fn ending(&self, to_head: bool) -> Ending {
        let bodyless = to_head || self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED;
        Ending(match self.framing {
            _ if bodyless => Some(BodyGuard::new(Framing::None, None)),
            BodyFraming::Length(length) => Some(BodyGuard::new(Framing::Length(length), None)),
            BodyFraming::Chunked => Some(BodyGuard::new(Framing::Chunked, None)),
            BodyFraming::UntilClose => None,
        })
    }
}

/// Finds the end of a body in its bytes as they are framed.
#[derive(Debug)]
pub struct Ending(Option<BodyGuard>);

impl Ending {
    /// How many of these bytes belong to the body, and whether it ends with them.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, bool), Reason> {
        match &mut self.0 {
            Some(guard) => match guard.feed(bytes) {
                Ok(fed) => Ok((fed.taken, fed.done)),
                Err(_) => Err(Reason::UpstreamProtocol),
            },
            None => Ok((bytes.len(), false)),
        }
    }

    #[must_use]
    pub fn ends_with_connection(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_lengths_are_not_http() {
        for fields in [
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: +1",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert!(parse(head.as_bytes()).is_err(), "{fields}");
        }
    }

    #[test]
    fn a_head_is_found_whole_or_not_at_all() {
        let bytes = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        for cut in 0..45 {
            assert!(parse(&bytes[..cut]).unwrap().is_none(), "{cut}");
        }
        let (head, length) = parse(bytes).unwrap().unwrap();
        assert_eq!((head.status, &bytes[length..]), (StatusCode::FORBIDDEN, &b"no"[..]));
        assert_eq!(head.ending(false).feed(b"no, more").unwrap(), (2, true));
        assert_eq!(head.ending(true).feed(b"").unwrap(), (0, true));
    }
}
