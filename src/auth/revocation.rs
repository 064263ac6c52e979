//! What is no longer good although its signature is.

use std::time::Duration;

use super::jwt::Token;

/// Everything that was revoked, by file and by admin API; long-lived, and read by every request without waiting.
#[derive(Debug, Default)]
pub struct Revocations {}

impl Revocations {
    /// Whether a token, or any credential of this partner, is revoked. `issued_at` of a token without `iat` counts as 0.
    #[must_use]
    pub fn revokes(&self, token: Option<&Token>, partner: Option<&str>, now: Duration) -> bool {
        let _ = (token, partner, now);
        false
    }
}
