//! Limits of plans and of routes.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::super::checked::limits::{Concurrency, LimitKey, Limits, Quota, Rate};
use super::super::model::limits::{self as written, LimitWord, RateText, RateValue};
use super::super::model::{At, Count, Name, OneOrMany, routes};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::{headers, matching, not_empty, observes};

/// The limits of a plan or a route, with what the rest of the file has to know of them.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) limits: Limits,
    /// Their names, which are unique in the file.
    pub(super) names: Vec<(Arc<str>, Span)>,
    /// How much each has room for at once.
    pub(super) rooms: Vec<Room>,
    /// Where one of them first asks who the caller is.
    pub(super) asks_callers: Option<Span>,
}

/// What a single request can cost at most.
pub(super) struct Room {
    pub(super) name: Arc<str>,
    pub(super) most: u64,
    pub(super) place: Span,
}

/// Gathers limits of one owner.
struct Gather<'a> {
    owner: &'a str,
    checked: Checked,
}

impl Gather<'_> {
    /// The name of the limit number `index` of its kind.
    fn name(&mut self, written: Option<&At<Name>>, kind: &str, index: usize, span: Span) -> Arc<str> {
        let (name, place) = match written {
            Some(name) => (Arc::from(&*name.value.0), name.span),
            None if index == 0 => (Arc::from(format!("{}.{kind}", self.owner)), span),
            None => (Arc::from(format!("{}.{kind}.{}", self.owner, index + 1)), span),
        };
        // What has no name of its own has nothing that could be named twice.
        if written.is_some() || !self.owner.is_empty() {
            self.checked.names.push((Arc::clone(&name), place));
        }
        name
    }

    fn rate(
        &mut self,
        name: Arc<str>,
        rate: &At<RateText>,
        burst: Option<&At<Count>>,
        rest: Rest,
        reader: &mut Reader<'_>,
    ) {
        let RateValue { permits, period } = rate.value.0;
        let place = burst.map_or(rate.span, |burst| burst.span);
        let burst = burst.map_or(Some(permits), |burst| number(burst, reader));
        let Some(burst) = burst else { return };
        self.checked.rooms.push(Room { name: Arc::clone(&name), most: burst.get().into(), place });
        self.checked.limits.rates.push(Rate { name, per: rest.per, permits, period, burst, observe: rest.observe });
    }

    fn quota(&mut self, name: Arc<str>, quota: &At<written::QuotaText>, rest: Rest) {
        let written::QuotaValue { limit, period } = quota.value.0;
        self.checked.rooms.push(Room { name: Arc::clone(&name), most: limit.get(), place: quota.span });
        self.checked.limits.quotas.push(Quota { name, per: rest.per, limit, period, observe: rest.observe });
    }

    fn concurrency(&mut self, name: Arc<str>, limit: &At<Count>, rest: Rest, reader: &mut Reader<'_>) {
        if let Some(limit) = number(limit, reader) {
            self.checked.limits.concurrencies.push(Concurrency { name, per: rest.per, limit, observe: rest.observe });
        }
    }

    fn per(&mut self, written: &At<OneOrMany<written::LimitKey>>, reader: &mut Reader<'_>) -> Vec<LimitKey> {
        let mut keys = Vec::new();
        for At { value, span, node } in &written.value.0 {
            let key = match value {
                written::LimitKey::Word(LimitWord::Route) => LimitKey::Route,
                written::LimitKey::Word(LimitWord::Partner) => LimitKey::Partner,
                written::LimitKey::Word(LimitWord::Plan) => LimitKey::Plan,
                written::LimitKey::Word(LimitWord::Subject) => LimitKey::Subject,
                written::LimitKey::Word(LimitWord::Address) => LimitKey::Address,
                written::LimitKey::Header(name) => match headers::name(&name.value.0, name.span, reader) {
                    Some(name) => LimitKey::Header(name),
                    None => continue,
                },
            };
            if matches!(key, LimitKey::Partner | LimitKey::Plan | LimitKey::Subject) {
                self.checked.asks_callers.get_or_insert(*span);
            }
            if keys.contains(&key) {
                let written = reader.scalar(*node).unwrap_or("header");
                matching::repeated(*span, written, reader);
            } else {
                keys.push(key);
            }
        }
        keys
    }
}

/// What all limits have.
struct Rest {
    per: Vec<LimitKey>,
    observe: bool,
}

fn number(written: &At<Count>, reader: &mut Reader<'_>) -> Option<NonZeroU32> {
    let number = u32::try_from(written.value.0).ok().and_then(NonZeroU32::new);
    if number.is_none() {
        super::out_of_range(written, "1", &u32::MAX.to_string(), reader);
    }
    number
}

/// The limits of a plan; all of them are each partner's own.
pub(super) fn of_plan(name: &str, plan: &written::Plan, reader: &mut Reader<'_>) -> Checked {
    let mut gather = Gather { owner: name, checked: Checked::default() };
    let own = |observe| Rest { per: vec![LimitKey::Partner], observe };
    let mut index = 0;
    if let Some(rate) = &plan.rate_limit {
        let name = gather.name(None, "rate_limit", index, rate.span);
        gather.rate(name, rate, plan.burst.as_ref(), own(false), reader);
        index += 1;
    } else if let (false, Some(burst)) = (plan.keys.is_meant("rate_limit"), plan.keys.place("burst")) {
        reader.note(Diagnostic::new(Code::NoEffect, burst, "`burst` has no effect without `rate_limit`"));
    }
    if let Some(list) = &plan.rate_limits {
        not_empty(list, "`rate_limits`", "leave it out when there is no rate to keep", reader);
    }
    for At { value: rate, span, .. } in plan.rate_limits.iter().flat_map(|list| &list.value.0) {
        let name = gather.name(rate.name.as_ref(), "rate_limit", index, *span);
        index += 1;
        if let Some(written) = &rate.rate {
            gather.rate(name, written, rate.burst.as_ref(), own(observes(rate.mode.as_ref())), reader);
        }
    }
    index = 0;
    if let Some(quota) = &plan.quota {
        let name = gather.name(None, "quota", index, quota.span);
        gather.quota(name, quota, own(false));
        index += 1;
    }
    if let Some(list) = &plan.quotas {
        not_empty(list, "`quotas`", "leave it out when there is no quota to keep", reader);
    }
    for At { value: quota, span, .. } in plan.quotas.iter().flat_map(|list| &list.value.0) {
        let name = gather.name(quota.name.as_ref(), "quota", index, *span);
        index += 1;
        if let Some(limit) = &quota.limit {
            gather.quota(name, limit, own(observes(quota.mode.as_ref())));
        }
    }
    if let Some(At { value: written::PlanConcurrency(concurrency), span, .. }) = &plan.concurrency {
        let name = gather.name(concurrency.name.as_ref(), "concurrency", 0, *span);
        if let Some(limit) = &concurrency.limit {
            gather.concurrency(name, limit, own(observes(concurrency.mode.as_ref())), reader);
        }
    }
    gather.checked
}

/// The limits of a route.
pub(super) fn of_route(route: &routes::Route, reader: &mut Reader<'_>) -> Checked {
    let owner = route.name.as_ref().map_or("", |name| &name.value.0);
    let mut gather = Gather { owner, checked: Checked::default() };
    for (index, At { value: rate, span, .. }) in entries(&route.rate_limit) {
        let name = gather.name(rate.name.as_ref(), "rate_limit", index, *span);
        let per = rate.per.as_ref().map(|per| gather.per(per, reader)).unwrap_or_default();
        if let Some(written) = &rate.rate {
            let rest = Rest { per, observe: observes(rate.mode.as_ref()) };
            gather.rate(name, written, rate.burst.as_ref(), rest, reader);
        }
    }
    for (index, At { value: quota, span, .. }) in entries(&route.quota) {
        let name = gather.name(quota.name.as_ref(), "quota", index, *span);
        let per = quota.per.as_ref().map(|per| gather.per(per, reader)).unwrap_or_default();
        if let Some(limit) = &quota.limit {
            gather.quota(name, limit, Rest { per, observe: observes(quota.mode.as_ref()) });
        }
    }
    for (index, At { value: concurrency, span, .. }) in entries(&route.concurrency) {
        let name = gather.name(concurrency.name.as_ref(), "concurrency", index, *span);
        let per = concurrency.per.as_ref().map(|per| gather.per(per, reader)).unwrap_or_default();
        if let Some(limit) = &concurrency.limit {
            let rest = Rest { per, observe: observes(concurrency.mode.as_ref()) };
            gather.concurrency(name, limit, rest, reader);
        }
    }
    gather.checked
}

fn entries<T>(written: &Option<At<OneOrMany<T>>>) -> impl Iterator<Item = (usize, &At<T>)> {
    written.iter().flat_map(|list| &list.value.0).enumerate()
}

/// What one request counts for, which has to fit into every limit that counts it.
pub(super) fn cost<'a>(
    route: &routes::Route,
    rooms: impl Iterator<Item = &'a Room>,
    reader: &mut Reader<'_>,
) -> NonZeroU32 {
    let Some(written) = &route.cost else { return NonZeroU32::MIN };
    let Some(cost) = number(written, reader) else { return NonZeroU32::MIN };
    for Room { name, most, place } in rooms {
        if u64::from(cost.get()) > *most {
            let message = format!("a request costs {cost}, and the limit `{name}` has room for {most} at most");
            let mistake = Diagnostic::new(Code::CostTooHigh, written.span, message).label("no request could ever pass");
            reader.note(mistake.also(*place, "the limit"));
        }
    }
    cost
}
