//! What comes from an upstream on its way into the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};

use super::directives::ResponseDirectives;
use super::fill::{AHEAD, Begun};
use super::flights::Flight;
use super::freshness::Freshness;
use super::key::{Key, push_path};
use super::purge::{Mark, Purge};
use super::reuse::{self, Reuse};
use super::storable::{self, ForRequest, NotStored, Rules};
use super::stored::{Body, Groups, Head, Stored, StoredFields};
use super::validation::{self, ByHead};
use super::vary::{Vary, push_variant};
use super::{Cache, Moment};
use crate::base::clock;
use crate::base::reason::Reason;
use crate::config::checked::cache::CachePolicy;

/// What an upstream is asked for.
#[derive(Debug)]
pub struct Want {
    /// Without what `Vary` adds.
    pub base: Key,
    /// The fields of the request that answers may depend on.
    pub fields: HeaderMap,
    /// Fields that the gateway makes up for each request: an answer that depends on them is not kept.
    pub unkeyed: Arc<[http::HeaderName]>,
    pub request: ForRequest,
    pub policy: Arc<CachePolicy>,
    pub groups: Groups,
    /// What is stored and may still hold.
    pub stale: Option<Arc<Stored>>,
    pub asked: Moment,
    /// Taken when the request came: what is purged later also counts for its answer.
    pub mark: Mark,
}

/// A key, and the fields by which answers differ.
type Variant = (Key, Arc<[http::HeaderName]>);

impl Want {
    /// The key with what `Vary` adds, and by which fields.
    fn variant(&self, fields: &HeaderMap) -> Result<Option<Variant>, NotStored> {
        match Vary::of(fields) {
            Vary::Nothing => Ok(None),
            Vary::Everything => Err(NotStored::Vary),
            Vary::Fields(names) if names.iter().any(|name| self.unkeyed.contains(name)) => Err(NotStored::Vary),
            Vary::Fields(names) => {
                let mut key = self.base.as_bytes().to_vec();
                push_variant(&names, &self.fields, &mut key);
                Ok(Some((Key::from(&*key), names.into())))
            }
        }
    }
}

/// Takes in one answer. Dropped before its end, it fails.
pub struct Filling {
    cache: Arc<Cache>,
    want: Want,
    flight: Flight,
    coming: Option<Coming>,
}

struct Coming {
    head: Arc<Head>,
    varies: Option<Variant>,
    is_kept: bool,
    /// Bytes that count as coming.
    held: u64,
    /// Bytes so far.
    came: u64,
    /// As announced.
    length: Option<u64>,
}

impl Filling {
    #[must_use]
    pub fn new(cache: Arc<Cache>, want: Want, flight: Flight) -> Self {
        Self { cache, want, flight, coming: None }
    }

    /// The final head has come; `length` when it says how long the body is. Whether the body is wanted.
    pub fn head(
        &mut self,
        status: StatusCode,
        version: Version,
        fields: &HeaderMap,
        length: Option<u64>,
        now: Moment,
    ) -> bool {
        if status == StatusCode::NOT_MODIFIED {
            if !self.confirm(fields, now) {
                // It is about something that nobody here has: everybody asks without a condition.
                self.flight.writer.begin(Begun::Alone);
            }
            return false;
        }
        // RFC 5861 §4.
        if matches!(status.as_u16(), 500 | 502 | 503 | 504) && self.stale_instead(now) {
            return false;
        }
        let Want { policy, request, .. } = &self.want;
        let directives = ResponseDirectives::of(fields);
        let freshness = Freshness::of(status, fields, &directives, &policy.ttl, self.want.asked, now);
        let judged = storable::judge(policy, request, status, fields, &directives, &freshness);
        let groups = storable_groups(&self.want.groups, fields);
        let judged = judged.and_then(|rules| groups.as_ref().map(|_| rules).map_err(|why| *why));
        let judged = judged.and_then(|rules| self.has_room().map(|()| rules));
        let judged = judged.and_then(|rules| self.may_replace(status, now).map(|()| rules));
        let (judged, varies) = match (judged, self.want.variant(fields)) {
            (Err(why), _) | (Ok(_), Err(why)) => (Err(why), None),
            (Ok(_), Ok(_)) if length.is_some_and(|length| length > policy.max_object) => {
                (Err(NotStored::TooLarge), None)
            }
            (Ok(rules), Ok(varies)) => (Ok(rules), varies),
        };
        let key = varies.as_ref().map_or_else(|| self.want.base.clone(), |(key, _)| key.clone());
        let head = Arc::new(Head {
            key,
            status,
            version,
            fields: StoredFields::new(&match judged {
                Ok(_) => storable::kept(fields, &directives),
                Err(_) => storable::passed(fields),
            }),
            freshness,
            rules: judged.unwrap_or_default(),
            groups: groups.unwrap_or_default(),
        });
        let kept = judged.map(|_: Rules| ());
        if let Err(why) = kept {
            self.not_kept(why, status, now);
        }
        let varies = varies.map(|(_, names)| (self.want.base.clone(), names));
        self.coming = Some(Coming { head: Arc::clone(&head), varies, is_kept: kept.is_ok(), held: 0, came: 0, length });
        let for_first = if kept.is_ok() { storable::for_one(fields, &directives) } else { Vec::new() };
        self.flight.writer.begin(Begun::Coming { head, length, kept, for_first: for_first.into() });
        true
    }

    /// A failure does not take the place of what is still fresh.
    fn may_replace(&self, status: StatusCode, now: Moment) -> Result<(), NotStored> {
        let is_fresh = |stale: &Arc<Stored>| stale.head.freshness.stale_for(now.at).is_none();
        if status.is_server_error() && self.want.stale.as_ref().is_some_and(is_fresh) {
            return Err(NotStored::Status);
        }
        Ok(())
    }

    /// Whether one more answer may come in at the same time as others.
    fn has_room(&self) -> Result<(), NotStored> {
        if self.cache.coming.load(Ordering::Relaxed) > self.cache.store.budget() / COMING {
            return Err(NotStored::NoRoom);
        }
        Ok(())
    }

    /// What it means for others that an answer is not kept.
    fn not_kept(&self, why: NotStored, status: StatusCode, now: Moment) {
        match why {
            // Another request may well get one that is.
            NotStored::RequestNoStore | NotStored::Authorization | NotStored::NoRoom | NotStored::Purged => {}
            _ => self.flight.not_shared(now.at),
        }
        let by_answer = matches!(why, NotStored::NoStore | NotStored::Private | NotStored::SetCookie | NotStored::Vary);
        if let Some(stale) = self.want.stale.as_ref().filter(|_| by_answer && !status.is_server_error()) {
            // What the upstream says now is not what was kept, and is for its own client only.
            self.cache.store.remove(stale.head.key.as_bytes());
        }
    }

    /// What is stored and was not purged since it was asked for.
    fn stale(&self) -> Option<&Arc<Stored>> {
        let Want { stale, mark, .. } = &self.want;
        stale.as_ref().filter(|stale| !self.cache.store.is_purged(&stale.head, *mark))
    }

    /// What was stored goes on with the fields of a 304.
    fn confirm(&mut self, fields: &HeaderMap, now: Moment) -> bool {
        let Some(stale) = self.stale().filter(|stale| validation::confirms(fields, &stale.head.fields)) else {
            return false;
        };
        let begun = match self.cache.renew(stale, fields, &self.want, now) {
            Some(stored) => Begun::Stored { stored, confirmed: true },
            // It is not for all who wait, by what the upstream says now.
            None => Begun::Alone,
        };
        self.flight.writer.begin(begun);
        true
    }

    /// Gives what is stored in the place of an error (RFC 5861 §4), if that is allowed.
    fn stale_instead(&mut self, now: Moment) -> bool {
        let usable = |stale: &&Arc<Stored>| reuse::on_error(stale, &self.want.request.directives, now);
        let Some(stale) = self.stale().filter(usable).map(Arc::clone) else { return false };
        self.flight.writer.begin(Begun::Stored { stored: stale, confirmed: false });
        true
    }

    /// Ready when there is room for more of the body.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.flight.writer.poll_room(cx)
    }

    /// Whether it is of any use to go on.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.flight.writer.is_wanted() || self.coming.as_ref().is_none_or(|coming| coming.is_kept)
    }

    pub fn data(&mut self, data: Bytes) {
        let Some(coming) = &mut self.coming else { return };
        coming.came += data.len() as u64;
        if coming.is_kept && coming.came > self.want.policy.max_object {
            coming.is_kept = false;
            self.cache.coming.fetch_sub(coming.held, Ordering::Relaxed);
            coming.held = 0;
            self.flight.not_shared(clock::now());
            let ahead = usize::try_from(self.want.policy.max_object).unwrap_or(usize::MAX).max(AHEAD);
            self.flight.writer.keep_no_longer(ahead);
        }
        if coming.is_kept {
            coming.held += data.len() as u64;
            self.cache.coming.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        self.flight.writer.push(data);
    }

    /// The body is whole.
    pub fn end(mut self, trailers: Option<HeaderMap>) {
        if let Some(Coming { head, varies, is_kept, held, came, length }) = self.coming.take() {
            self.cache.coming.fetch_sub(held, Ordering::Relaxed);
            if length.is_some_and(|length| length != came) {
                return self.flight.writer.fail(Reason::UpstreamReset);
            }
            if is_kept {
                // Before anybody knows that it is whole: who asks again finds it.
                let stored = Arc::new(Stored::new(head, Body::new(self.flight.writer.whole())));
                if let Err(why) = self.cache.store.put(stored, varies, self.want.mark) {
                    tracing::trace!(%why, "an answer is not kept");
                }
            }
        }
        self.flight.writer.end(trailers);
    }

    /// There is no answer, or no more of it.
    pub fn fail(mut self, reason: Reason, now: Moment) {
        if self.coming.is_none() && self.stale_instead(now) {
            return;
        }
        self.flight.writer.fail(reason);
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if let Some(coming) = &self.coming {
            self.cache.coming.fetch_sub(coming.held, Ordering::Relaxed);
        }
        if let Some(stale) = &self.want.stale {
            stale.marks.refreshing.store(false, Ordering::Relaxed);
        }
    }
}

/// Answers on their way that are to be kept may have this part of the budget together, beside it; while they have more, what begins is not
/// kept.
const COMING: u64 = 4;

/// Tags that an upstream may give to one answer, and bytes of each; others are not taken.
const MAX_TAGS: usize = 64;
const MAX_TAG: usize = 256;

/// The groups of the route with the tags that the upstream gives: `Cache-Tag` (by comma), `Surrogate-Key` (by space).
///
/// # Errors
///
/// There are too many, or one is too long: a purge by what was left out would miss the answer.
fn storable_groups(of_route: &Groups, fields: &HeaderMap) -> Result<Groups, NotStored> {
    let parts = |name: &'static str, ends: fn(&u8) -> bool| {
        fields.get_all(name).into_iter().flat_map(move |value| value.as_bytes().split(ends))
    };
    let given = parts("cache-tag", |byte| *byte == b',').chain(parts("surrogate-key", u8::is_ascii_whitespace));
    let mut tags = of_route.tags.to_vec();
    let most = tags.len() + MAX_TAGS;
    for tag in given.map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()) {
        let tag = str::from_utf8(tag).ok().filter(|tag| tag.len() <= MAX_TAG).ok_or(NotStored::Tags)?;
        if !tags.iter().any(|known| **known == *tag) {
            tags.push(tag.into());
        }
        if tags.len() > most {
            return Err(NotStored::Tags);
        }
    }
    Ok(Groups { route: Arc::clone(&of_route.route), partner: of_route.partner.clone(), tags: tags.into() })
}

impl Cache {
    /// Stores an answer with the fields of a newer message about it, and gives it; `None` when it may not be kept any more.
    fn renew(&self, stored: &Arc<Stored>, newer: &HeaderMap, want: &Want, now: Moment) -> Option<Arc<Stored>> {
        let fields = validation::updated(&stored.head.fields, newer);
        let directives = ResponseDirectives::of(&fields);
        let Head { key, status, version, groups, .. } = &*stored.head;
        let freshness = Freshness::of(*status, &fields, &directives, &want.policy.ttl, want.asked, now);
        let judged = storable::judge(&want.policy, &want.request, *status, &fields, &directives, &freshness);
        let own = want.variant(&fields).map(|varies| varies.map_or_else(|| want.base.clone(), |(key, _)| key));
        // Where it would be found now is not where it lies: what it depends on has changed.
        let groups = storable_groups(&want.groups, newer).map(|newer| newer.with(groups));
        let (rules, groups) = match (judged, own.map(|own| own == *key), groups) {
            (Ok(rules), Ok(true), Ok(groups)) => (rules, groups),
            // It may not be given to this caller; that says nothing about others.
            (Err(NotStored::Authorization), Ok(true), _) => return None,
            _ => {
                self.store.remove(key.as_bytes());
                return None;
            }
        };
        let head = Head {
            key: key.clone(),
            status: *status,
            version: *version,
            fields: StoredFields::new(&storable::kept(&fields, &directives)),
            freshness,
            rules,
            groups,
        };
        let renewed = Arc::new(Stored::new(Arc::new(head), stored.body.clone()));
        self.store.replace(stored, Arc::clone(&renewed), want.mark);
        Some(renewed)
    }

    /// What has been stored for a question since it was looked for, if it is fresh.
    #[must_use]
    pub fn look_again(&self, want: &Want, now: Moment) -> Option<Arc<Stored>> {
        let stored = self.select(want.base.as_bytes(), &want.fields).1?;
        (reuse::judge(&stored, &want.request.directives, now) == Reuse::Fresh).then_some(stored)
    }

    /// Purges what a request has changed that succeeded (RFC 9111 §4.4): every answer for these paths, with whatever query, and what the
    /// route says by tags.
    pub fn change(&self, change: &Change<'_>) {
        let Change { scheme, host, paths, tags } = *change;
        for path in paths {
            let mut begins = Vec::new();
            push_path(scheme, host, path, &mut begins);
            self.store.purge(&Purge::Path(begins.into()), false);
        }
        for tag in tags {
            self.store.purge(&Purge::Tag(Arc::clone(tag)), false);
        }
    }

    /// What an answer to HEAD says about what is stored for GET (RFC 9111 §4.3.5).
    pub fn freshen(&self, want: &Want, status: StatusCode, fields: &HeaderMap, now: Moment) {
        let (_, Some(stored), _) = self.select(want.base.as_bytes(), &want.fields) else { return };
        match validation::by_head(status, fields, &stored) {
            ByHead::Updates(fields) => drop(self.renew(&stored, &fields, want, now)),
            ByHead::Invalidates => self.store.remove(stored.head.key.as_bytes()),
            ByHead::Nothing => {}
        }
    }
}

/// A request that changes something.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub scheme: &'a str,
    pub host: &'a str,
    /// In normal form.
    pub paths: &'a [String],
    pub tags: &'a [Arc<str>],
}

#[cfg(test)]
mod tests;
