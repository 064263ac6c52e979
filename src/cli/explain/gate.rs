//! What an explained request meets between its route and what that does: addresses, authentication, rights, limits.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Explained;
use super::sheet::Sheet;
use crate::base::duration;
use crate::config::checked::identity::{
    Access, ApiKeyPlaces, Auth, ClaimCondition, ClaimPath, ClaimRule, KeySource, Lists, Method, TokenPlaces,
};
use crate::config::checked::limits::{CalendarPeriod, LimitKey, Limits};
use crate::pipeline::caller::Caller;

impl Explained<'_> {
    pub(super) fn tell_gate(&self, sheet: &mut Sheet) {
        let Some(action) = self.action() else { return };
        if let Some(addresses) = &action.written.addresses {
            let observe = observed(addresses.observe);
            let lists = lists(&addresses.lists, "any", "address");
            sheet.row("addresses", format!("{lists}{observe}"), self.place("addresses"));
        }
        match &action.written.auth {
            Auth::None => sheet.row("auth", "none: nobody is asked who they are", self.place("auth")),
            Auth::Required(access) => self.tell_access(access, sheet),
        }
        for limit in self.limits() {
            let Limit { name, says, key, observe, place } = limit;
            let key = if key.is_empty() { String::new() } else { format!(", here for {key}") };
            sheet.row("limit", format!("{name}: {says}{key}{}", observed(observe)), place);
        }
        for reason in &self.decision.facts().observed {
            sheet.say("  observed", format!("it would be refused: {reason}"));
        }
    }

    fn tell_access(&self, access: &Access, sheet: &mut Sheet) {
        for (at, method) in access.methods.iter().enumerate() {
            let label = if at == 0 { "auth" } else { "  or" };
            sheet.row(label, self.method(method), self.place("auth").filter(|_| at == 0));
        }
        for rule in rules(access) {
            sheet.say("", rule);
        }
        match &self.decision.facts().caller {
            Some(caller) => sheet.say("  caller", self.caller(caller)),
            None => sheet.say("  caller", "not known"),
        }
        if self.awaits_keys {
            let note =
                "keys are not fetched here, so no token of theirs is judged; --as shows what a known caller gets";
            sheet.say("  note", note);
        }
    }

    fn method(&self, method: &Method) -> String {
        match method {
            Method::Token { issuers, from } => {
                let issuers: Vec<String> = issuers.iter().map(|name| self.issuer(name)).collect();
                format!("token of {}, in {}", issuers.join(" or "), token_places(from).join(" or "))
            }
            Method::ApiKey(from) => format!("API key, in {}", key_places(from).join(" or ")),
            Method::Certificate => "client certificate of the connection".to_owned(),
        }
    }

    fn issuer(&self, name: &str) -> String {
        let Some(issuer) = self.routes.issuers.get(name) else { return format!("`{name}`") };
        let algorithms: Vec<&str> = issuer.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        let keys = match &issuer.keys {
            KeySource::Url(url) => format!("keys from {}", url.url),
            KeySource::File(file) => format!("keys from {}", file.display()),
            KeySource::Pem(_) => "public keys".to_owned(),
            KeySource::Secret(_) => "shared secret".to_owned(),
        };
        format!("`{name}` ({}; {keys})", algorithms.join(", "))
    }

    fn caller(&self, caller: &Caller) -> String {
        let partner = match (&caller.partner, caller.partner_name()) {
            (Some(partner), _) => match &partner.plan {
                Some(plan) => format!("partner `{}` on plan `{plan}`", partner.name),
                None => format!("partner `{}`", partner.name),
            },
            (None, Some(claimed)) => format!("no partner that is known (`{claimed}` is claimed)"),
            (None, None) => "no partner".to_owned(),
        };
        let subject = caller.subject().map(|subject| format!(", subject `{subject}`")).unwrap_or_default();
        let scopes: Vec<&str> = caller.scopes().collect();
        let scopes =
            if scopes.is_empty() { ", no scopes".to_owned() } else { format!(", scopes {}", scopes.join(" ")) };
        let by = if self.is_supposed { "as asked".to_owned() } else { format!("by {}", caller.method()) };
        format!("{partner}{subject}{scopes}; {by}")
    }

    pub(super) fn gate_json(&self) -> Value {
        let Some(action) = self.action() else { return Value::Null };
        let facts = self.decision.facts();
        let auth = match &action.written.auth {
            Auth::None => json!("none"),
            Auth::Required(access) => json!({
                "methods": access.methods.iter().map(|method| self.method(method)).collect::<Vec<_>>(),
                "rules": rules(access),
                "observe": access.observe,
            }),
        };
        let caller = facts.caller.as_ref().map(|caller| {
            json!({
                "method": if self.is_supposed { "supposed" } else { caller.method() },
                "partner": caller.partner.as_ref().map(|partner| &*partner.name),
                "plan": caller.partner.as_ref().and_then(|partner| partner.plan.as_deref()),
                "subject": caller.subject(),
                "scopes": caller.scopes().collect::<Vec<_>>(),
            })
        });
        let limits: Vec<Value> = self
            .limits()
            .into_iter()
            .map(|limit| {
                json!({
                    "name": limit.name, "limit": limit.says, "key": limit.key, "observe": limit.observe,
                    "at": limit.place,
                })
            })
            .collect();
        json!({
            "auth": auth,
            "caller": caller,
            "awaits_keys": self.awaits_keys,
            "limits": limits,
            "observed": facts.observed.iter().map(|reason| reason.as_str()).collect::<Vec<_>>(),
        })
    }

    /// Those of the route, then those of the caller's plan.
    fn limits(&self) -> Vec<Limit> {
        let Some(action) = self.action() else { return Vec::new() };
        let of_route = self.limits_of(&action.written.limits, |key| self.place(key).map(ToString::to_string));
        let partner = self.decision.facts().caller.as_ref().and_then(|caller| caller.partner.as_ref());
        let plan = partner.and_then(|partner| self.routes.plans.get(partner.plan.as_ref()?));
        let of_plan = plan.map(|plan| self.limits_of(&plan.limits, |_| Some(plan.at.to_string())));
        of_route.into_iter().chain(of_plan.into_iter().flatten()).collect()
    }

    fn limits_of(&self, limits: &Limits, place: impl Fn(&str) -> Option<String>) -> Vec<Limit> {
        let rates = limits.rates.iter().map(|rate| {
            let says = format!("{} in {}, {} at once", rate.permits, duration::format(rate.period), rate.burst);
            self.limit(&rate.name, says, &rate.per, rate.observe, place("rate_limit"))
        });
        let quotas = limits.quotas.iter().map(|quota| {
            let says = format!("{} a {}", quota.limit, period(quota.period));
            self.limit(&quota.name, says, &quota.per, quota.observe, place("quota"))
        });
        let concurrencies = limits.concurrencies.iter().map(|limit| {
            let says = format!("{} at the same time", limit.limit);
            self.limit(&limit.name, says, &limit.per, limit.observe, place("concurrency"))
        });
        rates.chain(quotas).chain(concurrencies).collect()
    }

    fn limit(&self, name: &str, says: String, per: &[LimitKey], observe: bool, place: Option<String>) -> Limit {
        let key: Vec<String> = per.iter().map(|key| self.key(key)).collect();
        Limit { name: name.to_owned(), says, key: key.join(" and "), observe, place }
    }

    /// What this request is counted with.
    fn key(&self, key: &LimitKey) -> String {
        let facts = self.decision.facts();
        let caller = facts.caller.as_ref();
        let subject = || caller.and_then(Caller::subject).map(|subject| format!("subject `{subject}`"));
        let address = || match facts.client.to_canonical() {
            IpAddr::V4(address) => format!("address {address}"),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("network {}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        };
        match key {
            LimitKey::Route => format!("route `{}`", self.route().map_or("", |route| &*route.name)),
            LimitKey::Partner => match caller.and_then(|caller| caller.partner.as_ref()) {
                Some(partner) => format!("partner `{}`", partner.name),
                None => subject().unwrap_or_else(address),
            },
            LimitKey::Plan => {
                let plan = caller.and_then(|caller| caller.partner.as_ref()?.plan.as_deref());
                plan.map_or_else(|| "callers without a plan".to_owned(), |plan| format!("plan `{plan}`"))
            }
            LimitKey::Subject => subject().unwrap_or_else(address),
            LimitKey::Address => address(),
            LimitKey::Header(name) => {
                let sent = self.request.headers.iter().any(|(sent, _)| sent == name);
                if sent { format!("this value of {name}") } else { format!("requests without {name}") }
            }
        }
    }
}

struct Limit {
    name: String,
    says: String,
    /// Whose it is, for this request.
    key: String,
    observe: bool,
    place: Option<String>,
}

const fn period(period: CalendarPeriod) -> &'static str {
    match period {
        CalendarPeriod::Hour => "hour",
        CalendarPeriod::Day => "day",
        CalendarPeriod::Week => "week",
        CalendarPeriod::Month => "month",
    }
}

const fn observed(observe: bool) -> &'static str {
    if observe { " (observed only)" } else { "" }
}

/// What has to hold beside the credential.
fn rules(access: &Access) -> Vec<String> {
    let words = |words: &[std::sync::Arc<str>]| words.iter().map(|word| &**word).collect::<Vec<_>>().join(", ");
    let mut rules = Vec::new();
    if !access.scopes.all_of.is_empty() {
        rules.push(format!("scopes: all of {}", words(&access.scopes.all_of)));
    }
    if !access.scopes.any_of.is_empty() {
        rules.push(format!("scopes: any of {}", words(&access.scopes.any_of)));
    }
    rules.extend(access.claims.iter().map(claim_rule));
    if access.requires_partner {
        rules.push(lists(&access.partners, "any that is known", "partner"));
    } else {
        rules.push("callers may be no partner".to_owned());
    }
    if access.observe {
        rules.push("observed only: who would be refused may pass".to_owned());
    }
    rules
}

fn claim_rule(rule: &ClaimRule) -> String {
    let values = |values: &[Value]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let claim = claim_path(&rule.claim);
    match &rule.condition {
        ClaimCondition::Equals(value) => format!("claim {claim} is {value}"),
        ClaimCondition::In(any) => format!("claim {claim} is one of {}", values(any)),
        ClaimCondition::Matches(pattern) => format!("claim {claim} matches {}", pattern.as_str()),
    }
}

/// As it is written.
fn claim_path(path: &ClaimPath) -> String {
    match &*path.0 {
        [name] => name.to_string(),
        names => names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect(),
    }
}

fn lists<T: ToString>(lists: &Lists<T>, nobody_named: &str, what: &str) -> String {
    let names = |names: &[T]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let allow = if lists.allow.is_empty() { nobody_named.to_owned() } else { names(&lists.allow) };
    match lists.deny.is_empty() {
        true => format!("{what}: {allow}"),
        false => format!("{what}: {allow}; not {}", names(&lists.deny)),
    }
}

fn token_places(from: &TokenPlaces) -> Vec<String> {
    let mut places = Vec::new();
    if from.authorization {
        places.push("Authorization".to_owned());
    }
    places.extend(from.query.as_ref().map(|name| format!("query parameter {name}")));
    places.extend(from.cookie.as_ref().map(|name| format!("cookie {name}")));
    if from.websocket_protocol {
        places.push("Sec-WebSocket-Protocol".to_owned());
    }
    places
}

fn key_places(from: &ApiKeyPlaces) -> Vec<String> {
    let field = from.header.as_ref().map(|name| format!("field {name}"));
    let parameter = from.query.as_ref().map(|name| format!("query parameter {name}"));
    field.into_iter().chain(parameter).collect()
}
