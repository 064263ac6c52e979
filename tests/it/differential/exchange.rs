//! What is said on a connection of a client and by the upstream behind the gateway, byte by byte.

use std::fmt;

/// Everything that both engines are confronted with.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// What the client sends on its one connection.
    pub client: Vec<u8>,
    /// How the upstream answers the requests that it hears, in their order; then [`Reply::default`].
    pub upstream: Vec<Reply>,
    pub cuts: Cuts,
}

/// Where streams are cut: the next piece is written when the gateway has read the one before.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    pub client: Vec<usize>,
    /// In every reply.
    pub upstream: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    /// Interim answers and the head.
    pub head: Vec<u8>,
    /// Not sent in answer to HEAD.
    pub body: Vec<u8>,
    /// What nobody asked for, always in one piece with what comes before.
    pub beyond: Vec<u8>,
    pub when: When,
    pub then: Then,
}

/// When the upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The request was read whole.
    Whole,
    /// Its head was read; the body is read after the answer.
    Head,
}

/// What the upstream does after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Reads the next request.
    Keep,
    /// Closes; the end comes in one piece with the last bytes.
    Close,
    Reset,
    /// Says nothing more.
    Stall,
}

impl Default for Reply {
    fn default() -> Self {
        Self::whole("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok")
    }
}

impl Reply {
    /// An answer after which the connection is kept.
    pub fn whole(head: impl Into<Vec<u8>>, body: impl Into<Vec<u8>>) -> Self {
        Self { head: head.into(), body: body.into(), beyond: Vec::new(), when: When::Whole, then: Then::Keep }
    }

    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }
}

impl Exchange {
    pub fn new(client: impl Into<Vec<u8>>, upstream: impl Into<Vec<Reply>>) -> Self {
        Self { client: client.into(), upstream: upstream.into(), cuts: Cuts::default() }
    }

    /// Whether the upstream answers a request before it has read it, so that how much it reads is chance.
    pub fn is_early(&self) -> bool {
        self.upstream.iter().any(|reply| reply.when == When::Head)
    }

    /// The same with the client's stream cut once, at each of its bytes, then with the upstream's answers so cut.
    pub fn cut_everywhere(&self) -> impl Iterator<Item = Self> {
        let longest = self.upstream.iter().map(|reply| reply.head.len() + reply.body.len()).max().unwrap_or(0);
        let client = (1..self.client.len()).map(|at| Cuts { client: vec![at], upstream: Vec::new() });
        let upstream = (1..longest).map(|at| Cuts { client: Vec::new(), upstream: vec![at] });
        let all = Cuts { client: (1..self.client.len()).collect(), upstream: (1..longest).collect() };
        client.chain(upstream).chain([all]).map(|cuts| Self { cuts, ..self.clone() })
    }
}

/// Cuts bytes at these places; places beyond the end cut nothing.
pub fn pieces<'b>(bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = cuts.iter().copied().filter(|at| (1..bytes.len()).contains(at)).collect();
    places.sort_unstable();
    places.dedup();
    let ends = places.iter().copied().chain([bytes.len()]);
    let starts = [0].into_iter().chain(places.iter().copied());
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).filter(|piece| !piece.is_empty()).collect()
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the client sends{}:", At(&self.cuts.client))?;
        lines(f, &self.client)?;
        for (index, reply) in self.upstream.iter().enumerate() {
            let Reply { when, then, .. } = reply;
            let cuts = At(&self.cuts.upstream);
            writeln!(f, "the upstream answers request {} ({when:?}, then {then:?}{cuts}):", index + 1)?;
            lines(f, &[&reply.head[..], &reply.body].concat())?;
            if !reply.beyond.is_empty() {
                writeln!(f, "  and unasked:")?;
                lines(f, &reply.beyond)?;
            }
        }
        Ok(())
    }
}

struct At<'c>(&'c [usize]);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            few if few.len() <= 10 => write!(f, ", cut at {few:?}"),
            many => write!(f, ", cut at {} places", many.len()),
        }
    }
}

fn lines(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.len() {
            ..=200 => writeln!(f, "    \"{}\"", line.escape_ascii())?,
            long => writeln!(f, "    \"{}…\" ({long} bytes)", line[..80].escape_ascii())?,
        }
    }
    Ok(())
}
