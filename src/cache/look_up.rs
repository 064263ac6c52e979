//! From a request to what is stored for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::directives::RequestDirectives;
use super::key::Key;
use super::reuse::{self, Reuse};
use super::status::Kind;
use super::store::Slot;
use super::stored::{Head, Stored};
use super::vary::{Vary, push_variant};
use super::{Cache, Fields, Moment};
use crate::config::checked::cache::CachePolicy;

/// A GET or HEAD as the cache sees it.
pub struct Asked<'a> {
    /// Without what `Vary` adds.
    pub key: &'a [u8],
    pub fields: &'a dyn Fields,
    pub directives: RequestDirectives,
    pub policy: &'a CachePolicy,
    pub now: Moment,
}

/// What there is for a request.
#[derive(Debug)]
pub enum LookUp {
    /// It can be given at once, and fetched anew in the background when `refresh` says so.
    Found { stored: Arc<Stored>, kind: Kind, refresh: bool },
    /// The upstream has to be asked, if only whether what is stored holds.
    Ask { key: Key, stale: Option<Arc<Stored>>, kind: Kind },
    /// The request takes nothing but what is stored (RFC 9111 §5.2.1.7).
    OnlyIfCached,
}

impl Cache {
    /// Looks an answer up, as RFC 9111 §4 has it.
    #[must_use]
    pub fn look_up(&self, asked: &Asked<'_>) -> LookUp {
        let (key, stored, varies) = self.select(asked.key, asked.fields);
        let only_if_cached = asked.directives.only_if_cached;
        let Some(stored) = stored else {
            let kind = if varies { Kind::VaryMiss } else { Kind::Miss };
            return if only_if_cached { LookUp::OnlyIfCached } else { LookUp::Ask { key, stale: None, kind } };
        };
        let (kind, refresh) = match reuse::judge(&stored, &asked.directives, asked.now) {
            Reuse::Fresh => (Kind::Hit, self.budget.grants(&stored, asked.policy.refresh_ahead, asked.now)),
            Reuse::StaleAllowed => (Kind::Stale, false),
            Reuse::WhileRevalidating => (Kind::Stale, !stored.marks.refreshing.swap(true, Ordering::Relaxed)),
            Reuse::Validate { .. } if only_if_cached => return LookUp::OnlyIfCached,
            Reuse::Validate { no_cache } => {
                let kind = if no_cache { Kind::Refetch } else { Kind::Expired };
                return LookUp::Ask { key, stale: Some(stored), kind };
            }
        };
        stored.marks.hits.fetch_add(1, Ordering::Relaxed);
        LookUp::Found { stored, kind, refresh }
    }

    /// The whole key of a request, what is stored under it, and whether answers depend on fields.
    pub(super) fn select(&self, base: &[u8], fields: &dyn Fields) -> (Key, Option<Arc<Stored>>, bool) {
        match self.store.get(base) {
            Some(Slot::Answer(stored)) => (stored.head.key.clone(), Some(stored), false),
            None => (Key::from(base), None, false),
            Some(Slot::Varies(names)) => {
                let mut key = base.to_vec();
                push_variant(&names, fields, &mut key);
                match self.store.get(&key) {
                    Some(Slot::Answer(stored)) => (stored.head.key.clone(), Some(stored), true),
                    Some(Slot::Varies(_)) | None => (Key::from(&*key), None, true),
                }
            }
        }
    }

    /// Whether an answer that was fetched for another request is for one with these fields, too (RFC 9111 §4.1).
    #[must_use]
    pub fn fits(&self, head: &Head, base: &[u8], fields: &dyn Fields) -> bool {
        match Vary::of(&head.fields.to_map()) {
            Vary::Nothing => true,
            Vary::Everything => false,
            Vary::Fields(names) => {
                let mut key = base.to_vec();
                push_variant(&names, fields, &mut key);
                key == head.key.as_bytes()
            }
        }
    }

    /// The whole key of a request, as far as it is known.
    #[must_use]
    pub fn key_of(&self, base: &[u8], fields: &dyn Fields) -> Key {
        self.select(base, fields).0
    }
}
