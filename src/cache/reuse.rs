//! Whether a stored answer may be given to a request (RFC 9111 §4).

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Moment;
use super::directives::RequestDirectives;
use super::stored::Stored;
use super::validation;

/// How long behind its lifetime an answer stays that could still be validated. Each validation begins it anew.
pub const VALIDATED_WITHIN: Duration = Duration::from_secs(60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Fresh,
    /// The request allows it (`max-stale`).
    StaleAllowed,
    /// It may be given at once, and is to be fetched anew meanwhile (RFC 5861 §3).
    WhileRevalidating,
    /// The upstream has to be asked first; `no_cache` when the request wants that, not the age of the answer.
    Validate {
        no_cache: bool,
    },
}

/// What to do with a stored answer that the request selects.
///
/// A request that limits ages (`max-age`, `min-fresh`) takes nothing that is stale, unless it says how stale (`max-stale`, RFC 9111
/// §5.2.1.1). What the answer forbids no request allows (§4.2.4).
#[must_use]
pub fn judge(stored: &Stored, request: &RequestDirectives, now: Moment) -> Reuse {
    let (freshness, rules) = (&stored.head.freshness, &stored.head.rules);
    if request.no_cache || request.max_age == Some(Duration::ZERO) {
        return Reuse::Validate { no_cache: true };
    }
    let too_old = request.max_age.is_some_and(|max_age| freshness.age(now.at) > max_age);
    let Some(stale_for) = stale_for(stored, now) else {
        let ends_soon = request.min_fresh.is_some_and(|min_fresh| freshness.left(now.at) < min_fresh);
        return if rules.always_validate {
            Reuse::Validate { no_cache: false }
        } else if too_old || ends_soon {
            Reuse::Validate { no_cache: true }
        } else {
            Reuse::Fresh
        };
    };
    let accepted = match request.max_stale {
        Some(max_stale) => stale_for <= max_stale && !max_stale.is_zero(),
        None => request.max_age.is_none(),
    };
    if rules.always_validate || rules.never_stale || too_old || request.min_fresh.is_some() || !accepted {
        Reuse::Validate { no_cache: false }
    } else if stale_for < rules.stale_while_revalidate {
        Reuse::WhileRevalidating
    } else if request.max_stale.is_some() {
        Reuse::StaleAllowed
    } else {
        Reuse::Validate { no_cache: false }
    }
}

/// Whether it may be given although the upstream failed (RFC 5861 §4, RFC 9111 §4.2.4). What the request says about errors goes before what
/// the answer says; other limits of age do not count then, but `no-cache` does.
#[must_use]
pub fn on_error(stored: &Stored, request: &RequestDirectives, now: Moment) -> bool {
    let rules = &stored.head.rules;
    let window = request.stale_if_error.unwrap_or(rules.stale_if_error);
    let forbidden = rules.always_validate || rules.never_stale || request.no_cache;
    !forbidden && stale_for(stored, now).unwrap_or_default() < window
}

/// How long an answer may stay in the store behind its lifetime: as long as something could still be done with it.
#[must_use]
pub fn useful_for(stored: &Stored) -> Duration {
    let rules = &stored.head.rules;
    let stale = rules.stale_while_revalidate.max(rules.stale_if_error);
    if validation::has_validator(&stored.head.fields) { stale.max(VALIDATED_WITHIN) } else { stale }
}

/// How long it has been stale; a soft purge makes it so before its time.
fn stale_for(stored: &Stored, now: Moment) -> Option<Duration> {
    let purged = || stored.marks.stale.load(Ordering::Relaxed).then_some(Duration::ZERO);
    stored.head.freshness.stale_for(now.at).or_else(purged)
}
