//! Where answers are kept: one budget of bytes, admission by how often they are asked for (TinyLFU), groups to purge by.

use std::sync::Arc;

use http::HeaderName;

use super::key::Key;
use super::purge::{Mark, Purge};
use super::storable::NotStored;
use super::stored::Stored;

/// What is found under a key.
#[derive(Clone, Debug)]
pub enum Slot {
    Answer(Arc<Stored>),
    /// Answers depend on these fields of the request, and are kept under longer keys.
    Varies(Arc<[HeaderName]>),
}

#[derive(Debug)]
pub struct Store {}

/// What the store can say of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub entries: u64,
    /// Counted as the budget counts them.
    pub bytes: u64,
    pub budget: u64,
    /// Since start: what had to go for want of room, or was not let in.
    pub evicted: u64,
    /// Since start.
    pub purged: u64,
}

impl Store {
    /// With so many bytes.
    #[must_use]
    pub fn new(_memory: usize) -> Self {
        Self {}
    }

    #[must_use]
    pub fn get(&self, _key: &[u8]) -> Option<Slot> {
        None
    }

    /// The present, to hold a later [`Store::put`] against.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark::default()
    }

    /// Keeps an answer under its key. When answers `varies` by fields of the request, the key has them behind `base`, where it is
    /// said so.
    ///
    /// # Errors
    ///
    /// `Purged` when what it belongs to was purged after `since`.
    pub fn put(
        &self,
        _stored: Arc<Stored>,
        _varies: Option<(Key, Arc<[HeaderName]>)>,
        _since: Mark,
    ) -> Result<(), NotStored> {
        Ok(())
    }

    /// Puts the same answer with another head in the place of `before`, unless something else is there by now.
    pub fn replace(&self, _before: &Arc<Stored>, _after: Arc<Stored>, _since: Mark) {}

    pub fn remove(&self, _key: &[u8]) {}

    /// Purges what belongs together, and says how much that was. A soft purge leaves it as stale.
    pub fn purge(&self, _purge: &Purge, _soft: bool) -> u64 {
        0
    }

    /// Every answer whose key begins so: with a whole resource ([`push_resource`](super::key::push_resource)), or with one but its
    /// query ([`push_path`](super::key::push_path)). Looks at all that is stored.
    #[must_use]
    pub fn of_resource(&self, _resource: &[u8]) -> Vec<Arc<Stored>> {
        Vec::new()
    }

    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers::default()
    }
}
