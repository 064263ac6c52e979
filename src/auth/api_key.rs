//! API keys: `sk_<id>_<secret>`, known by their id, proven by their digest.

/// The public part of a key that has the right form.
#[must_use]
pub fn id_of(key: &[u8]) -> Option<&str> {
    let _ = key;
    None
}

/// Whether it is the key of this digest; takes the same time for every wrong one.
#[must_use]
pub fn proves(key: &[u8], sha256: &[u8; 32]) -> bool {
    let _ = (key, sha256);
    false
}
