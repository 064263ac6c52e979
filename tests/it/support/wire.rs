//! HTTP/1.1 messages off the wire, read strictly (RFC 9112): whatever a lenient reader would mend is an error here.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::{Stream, Tap};

/// Start line and fields, in order and as written.
#[derive(Clone, Debug)]
pub struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The only value of a field; more than one fails the test.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name).into_iter();
        let first = values.next();
        assert!(values.next().is_none(), "more than one {name}: {:?}", self.fields);
        first
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name).iter().flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Clone, Debug, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// Sizes of the chunks, when chunked.
    pub chunks: Vec<usize>,
    pub trailers: Vec<(String, String)>,
}

/// A connection with what was read ahead.
pub struct Wire {
    pub stream: Stream,
    buffer: BytesMut,
    tap: Option<Tap>,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Wire {
    pub fn new(stream: Stream, tap: Option<Tap>) -> Self {
        Self { stream, buffer: BytesMut::new(), tap }
    }

    /// Writes these bytes, no more and no less, and flushes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Reads whatever comes next into the buffer; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        let before = self.buffer.len();
        let read = self.stream.read_buf(&mut self.buffer).await?;
        if let Some(tap) = &self.tap {
            tap.lock().unwrap().extend_from_slice(&self.buffer[before..]);
        }
        Ok(read > 0)
    }

    /// A line without its CRLF; `None` when the connection ended before its first byte.
    async fn line(&mut self) -> io::Result<Option<String>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(searched + at + 1);
                let line = line.strip_suffix(b"\r\n").ok_or_else(|| invalid("a line that ends with a bare LF"))?;
                if line.contains(&b'\r') {
                    return Err(invalid("a bare CR inside a line"));
                }
                return String::from_utf8(line.to_vec()).map(Some).map_err(|_| invalid("a line that is not UTF-8"));
            }
            searched = self.buffer.len();
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    async fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| invalid(format!("a field without a colon: {line:?}")))?;
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(invalid(format!("a field name that is no token: {line:?}")));
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        let Some(start) = self.line().await? else { return Ok(None) };
        Ok(Some(Head { start, fields: self.fields().await? }))
    }

    /// Exactly this many bytes.
    pub async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.split_to(count).to_vec())
    }

    /// The next chunk; `None` for the last one, whose trailers follow.
    pub async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let digits = line.split(';').next().unwrap_or_default();
        let sound = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| sound);
        match size.ok_or_else(|| invalid(format!("not a chunk size: {line:?}")))? {
            0 => Ok(None),
            size => {
                let chunk = self.exactly(size).await?;
                match self.exactly(2).await?.as_slice() {
                    b"\r\n" => Ok(Some(chunk)),
                    _ => Err(invalid("a chunk that does not end with CRLF")),
                }
            }
        }
    }

    pub async fn body(&mut self, framing: Framing) -> io::Result<Body> {
        let mut body = Body::default();
        match framing {
            Framing::None => {}
            Framing::Length(length) => body.bytes = self.exactly(usize::try_from(length).unwrap()).await?,
            Framing::Chunked => {
                while let Some(chunk) = self.chunk().await? {
                    body.chunks.push(chunk.len());
                    body.bytes.extend(chunk);
                }
                body.trailers = self.fields().await?;
            }
            Framing::UntilClose => body.bytes = self.rest().await?,
        }
        Ok(body)
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? {}
        let rest = self.buffer.to_vec();
        self.buffer.advance(rest.len());
        Ok(rest)
    }
}

/// The framing that a message announces (RFC 9112 §6.3), by the rules for both directions alike.
pub fn announced(head: &Head) -> io::Result<Option<Framing>> {
    let lengths = head.all("content-length");
    let chunked = head.has_token("transfer-encoding", "chunked");
    match (lengths.as_slice(), chunked) {
        ([], false) => Ok(None),
        ([], true) => Ok(Some(Framing::Chunked)),
        ([length], false) => length
            .parse()
            .map(|length| Some(Framing::Length(length)))
            .map_err(|_| invalid(format!("not a length: {length:?}"))),
        _ => Err(invalid(format!("ambiguous framing: {:?}", head.fields))),
    }
}
