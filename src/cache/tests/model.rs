//! What RFC 9111 allows a shared cache to give, written from its text and not from the engine: an upper bound, for requests with GET.

use http::{HeaderMap, StatusCode};

use crate::config::checked::cache::CachePolicy;

/// Seconds of the simulated clock.
pub(super) type Seconds = u64;

/// What decides about who may have an answer.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) resource: usize,
    pub(super) partner: usize,
    pub(super) authenticated: bool,
    pub(super) fields: HeaderMap,
}

/// An answer as the upstream gave it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) to: Request,
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) asked: Seconds,
    pub(super) received: Seconds,
    /// Wall clock in seconds since 1970 when the simulated clock is zero.
    pub(super) epoch: u64,
    pub(super) purged: bool,
    /// It was purged softly.
    pub(super) is_stale: bool,
}

type Allowed = Result<(), &'static str>;

fn unless(fault: bool, why: &'static str) -> Allowed {
    if fault { Err(why) } else { Ok(()) }
}

/// All lines of a field, as one list (RFC 9110 §5.3); `None` without any.
fn list(fields: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<_> = fields.get_all(name).iter().map(|line| line.to_str().expect("ASCII").trim()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// The argument of a directive, empty without one; `None` when it is not there.
fn directive(list: &str, name: &str) -> Option<String> {
    list.split(',').find_map(|one| {
        let (found, value) = one.split_once('=').unwrap_or((one, ""));
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn seconds(list: &str, name: &str) -> Option<Seconds> {
    // What is no number makes stale (§4.2.1).
    directive(list, name).map(|value| value.parse().unwrap_or(0))
}

fn date(fields: &HeaderMap, name: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(fields.get(name)?.to_str().ok()?).ok()?;
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Statuses that are cacheable by default (RFC 9110 §15.1), without those that need more than that.
fn by_default(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

impl Answer {
    /// The directives that count: `CDN-Cache-Control` goes before (RFC 9213 §2.1).
    fn control(&self) -> String {
        self.targeted().or_else(|| list(&self.fields, "cache-control")).unwrap_or_default()
    }

    fn targeted(&self) -> Option<String> {
        list(&self.fields, "cdn-cache-control")
    }

    fn has(&self, name: &str) -> bool {
        directive(&self.control(), name).is_some()
    }

    /// The directive without field names.
    fn has_for_all(&self, name: &str) -> bool {
        directive(&self.control(), name).is_some_and(|names| names.is_empty())
    }

    /// Whether a field must not be given from memory (§5.2.2.4, §5.2.2.7).
    pub(super) fn withholds(&self, field: &str) -> bool {
        ["no-cache", "private"].iter().any(|name| directive(&self.control(), name).is_some_and(|names| names == field))
    }

    /// Lifetime that the answer gives itself (§4.2.1).
    fn explicit(&self) -> Option<Seconds> {
        let control = self.control();
        let by_expires = || {
            let is_counted = self.targeted().is_none() && self.fields.contains_key("expires");
            let ends = date(&self.fields, "expires").unwrap_or(0);
            is_counted.then(|| ends.saturating_sub(self.date()))
        };
        seconds(&control, "s-maxage").or_else(|| seconds(&control, "max-age")).or_else(by_expires)
    }

    /// Without `Date`, when it was received (RFC 9110 §6.6.1).
    fn date(&self) -> u64 {
        date(&self.fields, "date").unwrap_or(self.epoch + self.received)
    }

    fn lifetime(&self, policy: &CachePolicy) -> Seconds {
        self.explicit().unwrap_or_else(|| {
            // A tenth of the time since it was changed (§4.2.2), or what the route says.
            let changed = date(&self.fields, "last-modified");
            let heuristic = changed.map_or(0, |changed| self.date().saturating_sub(changed).div_ceil(10));
            if by_default(self.status) || self.has("public") {
                // That one counts from when the answer was received.
                heuristic.max(policy.ttl.default.map_or(0, |ttl| ttl.as_secs() + self.age(self.received)))
            } else {
                0
            }
        })
    }

    /// §4.2.3.
    pub(super) fn age(&self, now: Seconds) -> Seconds {
        let apparent = (self.epoch + self.received).saturating_sub(self.date());
        let said = list(&self.fields, "age").and_then(|age| age.parse::<Seconds>().ok()).unwrap_or(0);
        let corrected = said + (self.received - self.asked);
        apparent.max(corrected) + (now - self.received)
    }

    /// §3.
    fn may_be_stored(&self) -> Allowed {
        let request = list(&self.to.fields, "cache-control").unwrap_or_default();
        let is_understood = matches!(self.status.as_u16(), 200 | 203 | 404 | 302 | 500);
        let shared = ["public", "s-maxage", "must-revalidate"].iter().any(|name| self.has(name));
        unless(directive(&request, "no-store").is_some(), "the request said no-store")?;
        unless(self.has("no-store") && !(self.has("must-understand") && is_understood), "no-store")?;
        unless(self.has_for_all("private"), "private")?;
        unless(self.to.authenticated && !shared, "for somebody who was known (§3.5)")?;
        unless(self.status.is_informational() || self.status == StatusCode::NOT_MODIFIED, "not final")?;
        unless(self.explicit().is_none() && !self.has("public") && !by_default(self.status), "nothing says it may")
    }

    /// §4.1.
    fn is_for(&self, request: &Request) -> Allowed {
        let normal = |fields: &HeaderMap, name: &str| list(fields, name).map(|value| value.replace(' ', ""));
        unless(self.to.resource != request.resource, "of another resource")?;
        unless(self.to.partner != request.partner, "of another partner")?;
        for name in list(&self.fields, "vary").unwrap_or_default().split(',').map(str::trim) {
            unless(name == "*", "Vary: *")?;
            let agrees = name.is_empty() || normal(&self.to.fields, name) == normal(&request.fields, name);
            unless(!agrees, "Vary names a field that is another one")?;
        }
        Ok(())
    }

    fn may_be_stale(&self) -> Allowed {
        let never = ["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|name| self.has(name));
        unless(never, "never stale (§4.2.4)")
    }

    /// For how long it has been stale; `None` while it is fresh.
    fn staleness(&self, policy: &CachePolicy, now: Seconds) -> Option<Seconds> {
        let stale = self.age(now).checked_sub(self.lifetime(policy));
        if self.is_stale { Some(stale.unwrap_or(0)) } else { stale }
    }

    /// Whether it may be given without asking the upstream (§4).
    pub(super) fn may_be_given(&self, request: &Request, policy: &CachePolicy, now: Seconds) -> Allowed {
        self.is_for(request)?;
        self.may_be_stored()?;
        unless(self.purged, "purged")?;
        unless(self.has_for_all("no-cache"), "no-cache, and not validated")?;
        let asks = list(&request.fields, "cache-control");
        let pragma = asks.is_none() && request.fields.contains_key("pragma");
        let asks = asks.unwrap_or_default();
        unless(pragma || directive(&asks, "no-cache").is_some(), "the request wants it validated")?;
        unless(seconds(&asks, "max-age").is_some_and(|most| self.age(now) > most), "older than max-age allows")?;
        let Some(stale) = self.staleness(policy, now) else {
            let left = self.lifetime(policy) - self.age(now);
            return unless(seconds(&asks, "min-fresh").is_some_and(|least| left < least), "not as fresh as min-fresh");
        };
        self.may_be_stale()?;
        unless(directive(&asks, "min-fresh").is_some(), "stale, and the request wants it fresh")?;
        let max_stale = directive(&asks, "max-stale").map_or(0, |most| most.parse().unwrap_or(Seconds::MAX));
        if directive(&asks, "max-stale").is_some() && stale <= max_stale {
            return Ok(());
        }
        unless(directive(&asks, "max-age").is_some(), "stale, and max-age without max-stale")?;
        let swr = seconds(&self.control(), "stale-while-revalidate");
        let most = swr.unwrap_or(policy.stale_while_revalidate.as_secs());
        unless(stale > most || most == 0, "stale beyond what is allowed")
    }

    /// Whether it may be given because the upstream failed (RFC 5861 §4).
    pub(super) fn may_be_given_on_error(&self, request: &Request, policy: &CachePolicy, now: Seconds) -> Allowed {
        self.is_for(request)?;
        self.may_be_stored()?;
        unless(self.purged, "purged")?;
        unless(self.has_for_all("no-cache"), "no-cache, and not validated")?;
        let Some(stale) = self.staleness(policy, now) else { return Ok(()) };
        self.may_be_stale()?;
        let own = seconds(&self.control(), "stale-if-error").unwrap_or(policy.stale_if_error.as_secs());
        let asks = list(&request.fields, "cache-control").unwrap_or_default();
        let most = seconds(&asks, "stale-if-error").map_or(own, |most| most.max(own));
        unless(stale > most, "stale beyond what is allowed on an error")
    }

    /// The fields of a 304 take the place of those of the same name (§3.2), and its times count (§4.3.4).
    /// One for somebody who was known, and for nobody else, says nothing about what others have.
    pub(super) fn confirm(&mut self, request: &Request, fields: &HeaderMap, asked: Seconds, received: Seconds) {
        let before = self.clone();
        for name in fields.keys() {
            self.fields.remove(name);
        }
        self.fields.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        // It says of itself how old it is, and nobody else does.
        if !fields.contains_key("age") {
            self.fields.remove("age");
        }
        (self.to, self.asked, self.received, self.is_stale) = (request.clone(), asked, received, false);
        let is_shared = ["public", "s-maxage", "must-revalidate"].iter().any(|name| self.has(name));
        if request.authenticated && !is_shared {
            *self = before;
        }
    }
}
