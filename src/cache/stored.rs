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

    /// Bytes of memory, at least.
    #[must_use]
    pub fn weight(&self) -> usize {
        let of_field = |(name, value): &(HeaderName, HeaderValue)| name.as_str().len() + value.len();
        size_of_val(&*self.0) + self.0.iter().map(of_field).sum::<usize>()
    }
}

/// The bytes of a body, in pieces as they came or in one.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pieces: Arc<[Bytes]>,
    length: u64,
}

/// Bodies up to this size lie in one piece.
const IN_ONE: u64 = 256 * 1024;

impl Body {
    #[must_use]
    pub fn new(pieces: Vec<Bytes>) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let pieces: Arc<[Bytes]> = if length <= IN_ONE {
            // Copied, so that what is kept is exactly as large as it is counted.
            let whole = pieces.concat();
            if whole.is_empty() { Arc::new([]) } else { Arc::new([Bytes::from(whole)]) }
        } else {
            pieces.into()
        };
        Self { pieces, length }
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
}
