//! Pairs of routes that nothing but their order would tell apart, each with a request that both match.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};

use foldhash::fast::FixedState;
use http::{HeaderName, Method};

use super::{Field, PathPattern, Request, RouteMatch, Segment, ValueMatch};
use crate::base::host_pattern::HostPattern;

/// How many conflicts of one route are told in full.
const PER_ROUTE: usize = 16;

/// Two routes of equal precedence that one request can match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The rule that wins, because it is written first.
    pub first: usize,
    pub second: usize,
    pub example: Example,
}

/// A request, made up to show something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub method: Method,
    pub host: String,
    pub path: String,
    pub headers: Vec<(HeaderName, String)>,
    /// Without `?`, percent-encoded.
    pub query: Option<String>,
}

impl Request for Example {
    fn host(&self) -> &str {
        &self.host
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn method(&self) -> &Method {
        &self.method
    }

    fn header(&self, name: &HeaderName) -> Field<'_> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_bytes()).collect()
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

impl fmt::Display for Example {
    /// On one line: `GET http://api.example.com/orders/1?v=2 (x-tenant: acme)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} http://{}{}", self.method, self.host, self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        for (at, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}{name}: {value}", if at == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.headers.is_empty() { "" } else { ")" })
    }
}

/// Every pair in conflict, sorted. Of a route with more than 16 conflicts some may be left out, but each route
/// that is in conflict with any other is in the answer.
#[must_use]
pub fn conflicts(rules: &[&RouteMatch]) -> Vec<Conflict> {
    let mut equals: HashMap<Precedence<'_>, Vec<usize>, FixedState> = HashMap::default();
    for (index, rule) in rules.iter().enumerate() {
        let methods = if rule.methods.is_empty() { vec![None] } else { rule.methods.iter().map(Some).collect() };
        for host in &rule.hosts {
            for method in &methods {
                let key = Precedence {
                    host,
                    path: Shape(&rule.path),
                    method: *method,
                    headers: rule.headers.len(),
                    query: rule.query.len(),
                };
                let members = equals.entry(key).or_default();
                if members.last() != Some(&index) {
                    members.push(index);
                }
            }
        }
    }
    let mut told = Told { pairs: HashSet::default(), per_rule: vec![0; rules.len()] };
    let mut found = Vec::new();
    for (key, members) in equals.iter().filter(|(_, members)| members.len() > 1) {
        let conditions: ByRule<'_> =
            members.iter().filter_map(|index| Some((*index, Conditions::of(rules.get(*index)?)?))).collect();
        compatible_pairs(members, &conditions, &mut told, |first, second| {
            if let (Some(a), Some(b)) = (conditions.get(&first), conditions.get(&second)) {
                found.push(Conflict { first, second, example: key.example(a, b) });
            }
        });
    }
    found.sort_unstable_by_key(|conflict| (conflict.first, conflict.second));
    found
}

type ByRule<'a> = HashMap<usize, Conditions<'a>, FixedState>;

/// What is already in the answer: two rules may meet under several hosts and methods.
struct Told {
    pairs: HashSet<(usize, usize), FixedState>,
    per_rule: Vec<usize>,
}

impl Told {
    fn count(&self, rule: usize) -> usize {
        self.per_rule.get(rule).copied().unwrap_or_default()
    }

    /// Whether the pair is new.
    fn add(&mut self, first: usize, second: usize) -> bool {
        let new = self.pairs.insert((first, second));
        for rule in [first, second] {
            if let Some(count) = self.per_rule.get_mut(rule) {
                *count += usize::from(new);
            }
        }
        new
    }
}

/// What two rules have in common when a request that both match cannot tell them apart. HEAD needs no mention: routes
/// that serve it through GET share GET, and one that lists it comes first.
#[derive(PartialEq, Eq, Hash)]
struct Precedence<'a> {
    host: &'a HostPattern,
    path: Shape<'a>,
    method: Option<&'a Method>,
    headers: usize,
    query: usize,
}

/// A path pattern but for the names of its parameters.
struct Shape<'a>(&'a PathPattern);

impl Shape<'_> {
    fn parts(&self) -> impl Iterator<Item = (u8, &str)> {
        self.0.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => (0, &**text),
            Segment::Param(_) => (1, ""),
            Segment::Rest(_) => (2, ""),
        })
    }
}

impl PartialEq for Shape<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.parts().eq(other.parts())
    }
}

impl Eq for Shape<'_> {}

impl Hash for Shape<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().for_each(|part| part.hash(state));
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FieldName<'a> {
    Header(&'a str),
    Query(&'a str),
}

/// What a rule wants of each header and query parameter; `None` is any value.
struct Conditions<'a> {
    rule: &'a RouteMatch,
    fields: BTreeMap<FieldName<'a>, Option<&'a str>>,
}

impl<'a> Conditions<'a> {
    /// `None` when no request can satisfy them.
    fn of(rule: &'a RouteMatch) -> Option<Self> {
        let headers = rule.headers.iter().map(|field| (FieldName::Header(field.name.as_str()), &field.value));
        let query = rule.query.iter().map(|field| (FieldName::Query(&field.name), &field.value));
        let mut fields = BTreeMap::new();
        for (name, value) in headers.chain(query) {
            let wanted = fields.entry(name).or_insert(None);
            if let ValueMatch::Exact(value) = value
                && wanted.replace(&**value).is_some_and(|earlier| *earlier != **value)
            {
                return None;
            }
        }
        Some(Self { rule, fields })
    }

    fn exact_names(&self) -> BTreeSet<FieldName<'a>> {
        self.fields.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name).collect()
    }

    fn values(&self, names: &[FieldName<'a>]) -> Vec<Option<&'a str>> {
        names.iter().map(|name| self.fields.get(name).copied().flatten()).collect()
    }
}

/// Reports the pairs whose exact values agree wherever both want one. Rules that want exact values of the same names
/// are joined over those values by hash, so rules that contradict each other are never compared.
fn compatible_pairs(members: &[usize], conditions: &ByRule<'_>, told: &mut Told, mut report: impl FnMut(usize, usize)) {
    let mut by_names: BTreeMap<BTreeSet<FieldName<'_>>, Vec<usize>> = BTreeMap::new();
    for index in members {
        if let Some(conditions) = conditions.get(index) {
            by_names.entry(conditions.exact_names()).or_default().push(*index);
        }
    }
    for (at, (names, group)) in by_names.iter().enumerate() {
        for (apart, (other_names, others)) in by_names.iter().skip(at).enumerate() {
            let same_group = apart == 0;
            let shared: Vec<_> = names.intersection(other_names).copied().collect();
            let values = |index: usize| conditions.get(&index).map(|conditions| conditions.values(&shared));
            let mut joined: HashMap<_, Partners, FixedState> = HashMap::default();
            if !same_group {
                for index in group {
                    joined.entry(values(*index)).or_default().rules.push(*index);
                }
            }
            for &index in others {
                let partners = joined.entry(values(index)).or_default();
                for (nth, &partner) in partners.rules.iter().enumerate() {
                    // The first visitor of a list sees to it that everybody in it is told at least once.
                    if nth >= PER_ROUTE && (same_group || partners.visited) {
                        break;
                    }
                    let (first, second) = (index.min(partner), index.max(partner));
                    let wanted = told.count(index) < PER_ROUTE || told.count(partner) == 0;
                    if wanted && told.add(first, second) {
                        report(first, second);
                    }
                }
                partners.visited |= !partners.rules.is_empty();
                if same_group {
                    partners.rules.push(index);
                }
            }
        }
    }
}

/// Rules with the same values under the shared names.
#[derive(Default)]
struct Partners {
    rules: Vec<usize>,
    visited: bool,
}

impl Precedence<'_> {
    fn example(&self, a: &Conditions<'_>, b: &Conditions<'_>) -> Example {
        let mut fields = a.fields.clone();
        for (name, value) in &b.fields {
            let wanted = fields.entry(*name).or_insert(None);
            *wanted = wanted.or(*value);
        }
        let mut headers = Vec::new();
        let mut query = String::new();
        for rule in [a.rule, b.rule] {
            for header in &rule.headers {
                if let Some(value) = fields.remove(&FieldName::Header(header.name.as_str())) {
                    headers.push((header.name.clone(), value.unwrap_or("1").to_owned()));
                }
            }
            for parameter in &rule.query {
                if let Some(value) = fields.remove(&FieldName::Query(&parameter.name)) {
                    if !query.is_empty() {
                        query.push('&');
                    }
                    push_encoded(&mut query, &parameter.name);
                    query.push('=');
                    push_encoded(&mut query, value.unwrap_or("1"));
                }
            }
        }
        let path: String = self
            .path
            .0
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => format!("/{text}"),
                Segment::Param(_) | Segment::Rest(_) => "/1".to_owned(),
            })
            .collect();
        Example {
            method: self.method.unwrap_or(&Method::GET).clone(),
            host: match self.host {
                HostPattern::Exact(name) => name.to_string(),
                HostPattern::Wildcard(suffix) => format!("any.{suffix}"),
                HostPattern::Any => "example.com".to_owned(),
            },
            path,
            headers,
            query: (!query.is_empty()).then_some(query),
        }
    }
}

fn push_encoded(text: &mut String, raw: &str) {
    for byte in raw.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rule, with_header, with_query};
    use super::*;

    fn pairs(rules: &[RouteMatch]) -> Vec<(usize, usize)> {
        let rules: Vec<_> = rules.iter().collect();
        conflicts(&rules).iter().map(|conflict| (conflict.first, conflict.second)).collect()
    }

    #[test]
    fn the_same_shape_under_other_names_is_a_conflict() {
        let rules = [
            rule("a.example", "/o/{id}", "GET"),
            rule("a.example", "/o/{order}", "POST,GET"),
            rule("*", "/o/{id}", "GET"),
        ];
        let found = conflicts(&rules.iter().collect::<Vec<_>>());
        let [conflict] = &found[..] else { panic!("{found:?}") };
        assert_eq!((conflict.first, conflict.second), (0, 1));
        assert_eq!(conflict.example.to_string(), "GET http://a.example/o/1");
    }

    #[test]
    fn different_precedence_is_none() {
        let rules = [
            rule("*", "/a", "GET"),
            rule("*", "/a", ""),
            rule("*", "/a", "HEAD"),
            rule("*", "/a/", "GET"),
            rule("*", "/{x}", "GET"),
            rule("*", "/{x...}", "GET"),
            rule("*.a.example", "/a", "GET"),
            rule("*.b.a.example", "/a", "GET"),
            with_header(rule("*", "/a", "GET"), "x-a", None),
            with_query(rule("*", "/a", "GET"), "a", None),
        ];
        assert_eq!(pairs(&rules), []);
    }

    #[test]
    fn values_that_exclude_each_other_are_none_but_independent_conditions_are() {
        let base = || rule("*", "/a", "GET");
        let rules = [
            with_header(base(), "x-a", Some("1")),
            with_header(base(), "x-a", Some("2")),
            with_header(base(), "x-b", Some("1")),
            with_header(base(), "x-a", None),
        ];
        assert_eq!(pairs(&rules), [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]);
        let impossible = with_header(with_header(base(), "x-a", Some("1")), "x-a", Some("2"));
        assert_eq!(pairs(&[impossible.clone(), impossible]), []);
    }

    #[test]
    fn an_example_has_what_both_want() {
        let a = with_query(with_header(rule("*.a.example", "/{x}/{y...}", ""), "x-a", None), "q &", Some("ü"));
        let b = with_query(with_header(rule("*.a.example", "/{x}/{y...}", ""), "x-a", Some("v")), "r", None);
        let found = conflicts(&[&a, &b]);
        assert_eq!(found[0].example.to_string(), "GET http://any.a.example/1/1?q%20%26=%C3%BC&r=1 (x-a: v)");
    }

    #[test]
    fn many_equals_are_told_without_every_pair() {
        let rules = vec![rule("*", "/a", "GET"); 5_000];
        let found = pairs(&rules);
        assert!(found.len() <= rules.len() * PER_ROUTE, "{}", found.len());
        let concerned: BTreeSet<usize> = found.iter().flat_map(|(a, b)| [*a, *b]).collect();
        assert_eq!(concerned.len(), rules.len());
    }
}
