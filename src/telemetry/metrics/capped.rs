//! Counters by the name of something that is configured: bounded in number, taken away when the name is gone.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Stands for all names beyond the bound.
pub(super) const OTHER: &str = "other";

/// Handles by name, at most `limit` of them besides [`OTHER`].
pub(super) struct Capped<T> {
    what: &'static str,
    limit: usize,
    handles: Mutex<BTreeMap<Box<str>, T>>,
}

impl<T: Clone> Capped<T> {
    pub(super) fn new(what: &'static str, limit: usize) -> Self {
        Self { what, limit, handles: Mutex::new(BTreeMap::new()) }
    }

    /// The handle of this name, made when it is new; that of [`OTHER`] when there are too many names.
    pub(super) fn get(&self, name: &str, make: impl Fn() -> T) -> T {
        let mut handles = self.lock();
        if let Some(handle) = handles.get(name) {
            return handle.clone();
        }
        let named = handles.len() - usize::from(handles.contains_key(OTHER));
        let name = if named < self.limit { name } else { OTHER };
        if let Some(handle) = handles.get(name) {
            return handle.clone();
        }
        if name == OTHER {
            tracing::warn!(
                of = self.what,
                limit = self.limit,
                "too many names for metrics, counting further ones as `other`"
            );
        }
        let handle = make();
        handles.insert(name.into(), handle.clone());
        handle
    }

    /// Forgets the names that are not in the list; [`OTHER`] stays, since it is nobody's name.
    pub(super) fn retain(&self, names: &[&str]) {
        let names: HashSet<&str> = names.iter().copied().collect();
        self.lock().retain(|name, _| **name == *OTHER || names.contains(&**name));
    }

    /// Every name with its handle.
    pub(super) fn all(&self) -> Vec<(Box<str>, T)> {
        self.lock().iter().map(|(name, handle)| (name.clone(), handle.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, T>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
