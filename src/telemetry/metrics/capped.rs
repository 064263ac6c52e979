//! Series by the name of something that is configured: bounded in number, taken away when the name is gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Stands for all names beyond the bound.
pub(super) const OTHER: &str = "other";

/// Handles by name, at most `limit` of them besides [`OTHER`].
pub(super) struct Capped<T> {
    what: &'static str,
    limit: usize,
    handles: Mutex<HashMap<Box<str>, T>>,
}

impl<T: Clone> Capped<T> {
    pub(super) fn new(what: &'static str, limit: usize) -> Self {
        Self { what, limit, handles: Mutex::new(HashMap::new()) }
    }

    /// The handle of this name, made when it is new; that of [`OTHER`] when there are too many names.
    pub(super) fn get(&self, name: &str, make: impl Fn(&str) -> T) -> T {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
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
        let handle = make(name);
        handles.insert(name.into(), handle.clone());
        handle
    }

    /// Forgets the names that are not in the list; [`OTHER`] stays, since it is nobody's name.
    pub(super) fn retain(&self, names: &[&str], forget: impl Fn(&str)) {
        let names: HashSet<&str> = names.iter().copied().collect();
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|name, _| {
            let is_kept = **name == *OTHER || names.contains(&**name);
            if !is_kept {
                forget(name);
            }
            is_kept
        });
    }
}
