//! Messages in what one end of a connection received: cut apart, chunks put together, so that only what was said counts.

use std::fmt;

/// One request or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub start: String,
    /// As they were written, in order, without CRLF; other bytes than printable ASCII are escaped.
    pub fields: Vec<String>,
    pub framing: Framing,
    pub body: Vec<u8>,
    /// What stands behind the sizes of chunks.
    pub extensions: Vec<String>,
    pub trailers: Vec<String>,
    pub head_is_whole: bool,
    pub end: End,
    /// For an answer: what was asked.
    pub asked: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length,
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// The bytes ended before the message.
    Cut,
    /// From here on it is not HTTP; the rest is in `body`.
    Malformed,
}

/// What of a request says how its answer is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub head: bool,
    pub http10: bool,
}

impl Message {
    /// The value of a field with this name, given in lower case.
    pub fn value<'m>(&'m self, name: &str) -> Option<&'m str> {
        self.fields.iter().find_map(|line| value_of(line, name))
    }

    pub fn asks(&self) -> Asked {
        Asked { head: self.start.starts_with("HEAD "), http10: self.start.ends_with("HTTP/1.0") }
    }

    pub fn is_interim(&self) -> bool {
        self.start.starts_with("HTTP/1.1 1")
    }
}

/// The value in a line, when it is of this field.
pub fn value_of<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (written, value) = line.split_once(':')?;
    written.eq_ignore_ascii_case(name).then(|| value.trim())
}

/// Requests one after the other.
pub fn requests(mut bytes: &[u8]) -> Vec<Message> {
    let mut found = Vec::new();
    while let Some((request, length)) = request(bytes) {
        bytes = &bytes[length..];
        found.push(request);
    }
    found
}

/// The answers to these requests; what comes beyond them is read like answers to GET.
pub fn answers(mut bytes: &[u8], asked: &[Asked]) -> Vec<Message> {
    let mut asked = asked.iter();
    let mut found: Vec<Message> = Vec::new();
    let mut current = asked.next().copied().unwrap_or_default();
    while let Some((answer, length)) = read(bytes, Some(current)) {
        bytes = &bytes[length..];
        if !answer.is_interim() {
            current = asked.next().copied().unwrap_or_default();
        }
        found.push(answer);
    }
    found
}

/// The request at the front and its length; `None` when there is nothing.
pub fn request(bytes: &[u8]) -> Option<(Message, usize)> {
    let empty_line = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    read(&bytes[empty_line..], None).map(|(message, length)| (message, length + empty_line))
}

fn read(bytes: &[u8], asked: Option<Asked>) -> Option<(Message, usize)> {
    if bytes.is_empty() {
        return None;
    }
    let mut lines = Lines(bytes);
    let mut message = Message {
        start: String::new(),
        fields: Vec::new(),
        framing: Framing::None,
        body: Vec::new(),
        extensions: Vec::new(),
        trailers: Vec::new(),
        head_is_whole: false,
        end: End::Whole,
        asked: asked.unwrap_or_default(),
    };
    let whole = (|| {
        message.start = lines.next()?;
        lines.fields(&mut message.fields)?;
        message.head_is_whole = true;
        message.framing = framing(&message, asked);
        body(&mut message, &mut lines)
    })();
    match whole {
        Some(()) => {}
        None => {
            message.end = End::Cut;
            if message.start.is_empty() {
                message.start = bytes.escape_ascii().to_string();
            }
            lines.0 = &[];
        }
    }
    Some((message, bytes.len() - lines.0.len()))
}

fn framing(message: &Message, asked: Option<Asked>) -> Framing {
    let status = message.start.get(9..12).unwrap_or_default();
    let bodiless = status.starts_with('1') || ["204", "304"].contains(&status);
    if asked.is_some_and(|asked| asked.head || bodiless) {
        return Framing::None;
    }
    let chunked = |value: &str| value.eq_ignore_ascii_case("chunked");
    if message.value("transfer-encoding").is_some_and(chunked) {
        Framing::Chunked
    } else if message.value("content-length").is_some() {
        Framing::Length
    } else if asked.is_some() {
        Framing::UntilClose
    } else {
        Framing::None
    }
}

/// `None` when the bytes end before the body.
fn body(message: &mut Message, lines: &mut Lines<'_>) -> Option<()> {
    let malformed = |message: &mut Message, lines: &mut Lines<'_>| {
        message.end = End::Malformed;
        message.body.extend_from_slice(lines.0);
        lines.0 = &[];
        Some(())
    };
    match message.framing {
        Framing::None => Some(()),
        Framing::UntilClose => {
            message.body = std::mem::take(&mut lines.0).to_vec();
            Some(())
        }
        Framing::Length => {
            let Some(length) = message.value("content-length").and_then(|value| value.parse().ok()) else {
                return malformed(message, lines);
            };
            lines.take(length, &mut message.body)
        }
        Framing::Chunked => loop {
            let line = lines.next()?;
            let digits = line.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(line.len());
            let (size, extensions) = line.split_at(digits);
            let Ok(size) = usize::from_str_radix(size, 16) else { return malformed(message, lines) };
            if !extensions.is_empty() {
                message.extensions.push(extensions.to_owned());
            }
            if size == 0 {
                return lines.fields(&mut message.trailers);
            }
            lines.take(size, &mut message.body)?;
            if !lines.next()?.is_empty() {
                return malformed(message, lines);
            }
        },
    }
}

/// What is left to read.
struct Lines<'b>(&'b [u8]);

impl Lines<'_> {
    fn next(&mut self) -> Option<String> {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n")?;
        let line = self.0[..end].escape_ascii().to_string();
        self.0 = &self.0[end + 2..];
        Some(line)
    }

    fn fields(&mut self, into: &mut Vec<String>) -> Option<()> {
        loop {
            match self.next()? {
                line if line.is_empty() => return Some(()),
                line => into.push(line),
            }
        }
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) -> Option<()> {
        let there = length.min(self.0.len());
        into.extend_from_slice(&self.0[..there]);
        self.0 = &self.0[there..];
        (there == length).then_some(())
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    {}", self.start)?;
        for line in &self.fields {
            writeln!(f, "    {line}")?;
        }
        write!(f, "    ({:?} body, {} bytes", self.framing, self.body.len())?;
        if self.body.len() <= 80 {
            write!(f, " \"{}\"", self.body.escape_ascii())?;
        }
        for extension in &self.extensions {
            write!(f, ", extension {extension}")?;
        }
        for trailer in &self.trailers {
            write!(f, ", trailer {trailer}")?;
        }
        writeln!(f, ", {:?})", self.end)
    }
}

#[test]
fn messages_are_cut_apart_and_chunks_put_together() {
    let bytes = b"\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n2\r\nbc\r\n0\r\nT: 1\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGE";
    let [post, get, cut] = &requests(bytes)[..] else { panic!("three requests") };
    assert_eq!((&post.body[..], &post.trailers[..], post.end), (&b"abc"[..], &["T: 1".to_owned()][..], End::Whole));
    assert_eq!((get.asks(), cut.end), (Asked { head: false, http10: true }, End::Cut));
    let bytes =
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc";
    let asked = [Asked { head: true, http10: false }, Asked::default()];
    let [hints, head, get] = &answers(bytes, &asked)[..] else { panic!("three answers") };
    assert_eq!((hints.framing, head.framing, get.framing), (Framing::None, Framing::None, Framing::UntilClose));
    assert_eq!(get.body, b"abc");
}
