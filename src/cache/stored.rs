//! What is kept: the head of an answer and its body.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use super::freshness::Freshness;
use super::key::Key;
use super::storable::Rules;

/// An answer that can be given again. Shared, and never changed but for its marks.
#[derive(Debug)]
pub struct Stored {
    pub head: Arc<Head>,
    pub body: Body,
    pub marks: Marks,
}

/// What changes while an answer is kept.
#[derive(Debug, Default)]
pub struct Marks {
    /// A soft purge: it may only be used as a stale answer.
    pub stale: AtomicBool,
    /// Somebody is fetching it anew in the background.
    pub refreshing: AtomicBool,
    /// How often it was given since it was stored.
    pub hits: AtomicU32,
}

/// All of an answer but its body.
#[derive(Debug)]
pub struct Head {
    pub key: Key,
    pub status: StatusCode,
    /// Of the message in which it came.
    pub version: Version,
    pub fields: StoredFields,
    pub freshness: Freshness,
    pub rules: Rules,
    /// What it can be purged by, beside its key.
    pub groups: Groups,
}

/// What an answer is purged with.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    pub route: Arc<str>,
    pub partner: Option<Arc<str>>,
    pub tags: Box<[Arc<str>]>,
}

impl Groups {
    /// Bytes that an answer has for itself: names of route and partner are those of the configuration.
    fn weight(&self) -> usize {
        let of_tag = |tag: &Arc<str>| allocated(COUNTS + tag.len());
        allocated(size_of_val(&*self.tags)) + self.tags.iter().map(of_tag).sum::<usize>()
    }
}

impl Groups {
    /// With the tags of others.
    #[must_use]
    pub fn with(self, others: &Self) -> Self {
        let mut tags = self.tags.into_vec();
        let new = others.tags.iter().filter(|tag| !tags.contains(tag)).cloned().collect::<Vec<_>>();
        tags.extend(new);
        Self { tags: tags.into(), ..self }
    }
}

/// Fields in their order; all values lie in one piece of memory.
#[derive(Clone, Debug, Default)]
pub struct StoredFields(Box<[(HeaderName, HeaderValue)]>);

impl StoredFields {
    #[must_use]
    pub fn new(fields: &HeaderMap) -> Self {
        let length = fields.values().map(HeaderValue::len).sum();
        let mut values = BytesMut::with_capacity(length);
        fields.values().for_each(|value| values.put_slice(value.as_bytes()));
        let mut values = values.freeze();
        let packed = fields.iter().filter_map(|(name, value)| {
            let bytes = values.split_to(value.len());
            // The bytes of a value are a value.
            HeaderValue::from_maybe_shared(bytes).ok().map(|value| (name.clone(), value))
        });
        Self(packed.collect())
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&HeaderName, &HeaderValue)> + Clone {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The values of a field, in order.
    pub fn values<'a>(&'a self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a HeaderValue> + Clone {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value)
    }

    #[must_use]
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.values(name).next()
    }

    #[must_use]
    pub fn to_map(&self) -> HeaderMap {
        self.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Bytes of memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        let values = self.0.iter().map(|(_, value)| value.len()).sum();
        let names = self.0.iter().map(|(name, _)| weight_of_name(name)).sum::<usize>();
        allocated(size_of_val(&*self.0)) + names + allocated(values) + SHARED
    }
}

/// The bytes of a body, in pieces as they came or in one.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pieces: Arc<[Bytes]>,
    length: u64,
}

/// Bodies up to this size lie in one piece, and longer ones in pieces of it.
const PIECE: usize = 256 * 1024;

impl Body {
    /// Copies what came, so that what is kept is as large as it is counted: a piece that is read is often a small part of a buffer.
    #[must_use]
    pub fn new(pieces: Vec<Bytes>) -> Self {
        let mut left: usize = pieces.iter().map(Bytes::len).sum();
        let length = left as u64;
        let mut packed = Vec::with_capacity(left.div_ceil(PIECE));
        let mut size = left.min(PIECE);
        let mut pack = Vec::with_capacity(size);
        for mut piece in pieces {
            while !piece.is_empty() {
                let part = piece.split_to(piece.len().min(size - pack.len()));
                pack.extend_from_slice(&part);
                if pack.len() == size {
                    left -= size;
                    size = left.min(PIECE);
                    packed.push(Bytes::from(std::mem::replace(&mut pack, Vec::with_capacity(size))));
                }
            }
        }
        Self { pieces: packed.into(), length }
    }

    /// Bytes of memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        let of_piece = |piece: &Bytes| allocated(piece.len()) + SHARED;
        allocated(COUNTS + size_of_val(&*self.pieces)) + self.pieces.iter().map(of_piece).sum::<usize>()
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// `from..to` of it, shared.
    #[must_use]
    pub fn slice(&self, from: u64, to: u64) -> Vec<Bytes> {
        let mut at = 0;
        let mut slices = Vec::new();
        for piece in &*self.pieces {
            let end = at + piece.len() as u64;
            let (begin, stop) = (from.max(at), to.min(end));
            if begin < stop {
                let within = |offset: u64| usize::try_from(offset - at).unwrap_or(piece.len());
                slices.push(piece.slice(within(begin)..within(stop)));
            }
            at = end;
        }
        slices
    }
}

impl Stored {
    #[must_use]
    pub fn new(head: Arc<Head>, body: Body) -> Self {
        Self { head, body, marks: Marks::default() }
    }

    /// Bytes of memory, key and all, without what it takes to find it.
    #[must_use]
    pub fn weight(&self) -> usize {
        let Head { key, fields, groups, .. } = &*self.head;
        let own = allocated(COUNTS + size_of::<Self>()) + allocated(COUNTS + size_of::<Head>());
        own + weight_of_key(key) + fields.weight() + groups.weight() + self.body.weight()
    }
}

/// Bytes of memory.
pub(super) fn weight_of_key(key: &Key) -> usize {
    allocated(COUNTS + key.as_bytes().len())
}

/// The counts before what an `Arc` holds.
pub(super) const COUNTS: usize = 2 * size_of::<usize>();

/// What `Bytes` allocates beside its bytes when it is shared for the first time.
const SHARED: usize = 32;

/// Bytes that the allocator gives for so many: mimalloc has four classes of sizes between a power of two and the next.
pub(super) const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(bytes.next_power_of_two() / 8),
    }
}

/// Bytes that a name has for itself; every standard one is the same piece of the program.
pub(super) fn weight_of_name(name: &HeaderName) -> usize {
    let name = name.as_str();
    let is_standard = HeaderName::from_bytes(name.as_bytes()).is_ok_and(|made| made.as_str().as_ptr() == name.as_ptr());
    if is_standard { 0 } else { allocated(name.len()) + SHARED }
}

#[cfg(test)]
mod tests;
