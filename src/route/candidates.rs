//! The routes that share host pattern and path shape, told apart by method, header fields and query parameters.
//!
//! Routes that ask for the same things and differ only in exact values form one group with a hash index over those
//! values, so ten thousand tenants told apart by a header cost one look-up, not ten thousand comparisons.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use http::{HeaderName, Method};

use super::condition::{MethodFit, Name, has_value, is_present, method_fit};
use super::{Field, FieldMatch, Request, RouteMatch, ValueMatch};

/// Fewer routes than this in a group are compared one by one.
const INDEX_FROM: usize = 5;

/// Groups, the more specific first.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    groups: Box<[Group]>,
}

/// Routes that ask for the same methods and names.
#[derive(Debug)]
struct Group {
    tier: Tier,
    methods: Box<[Method]>,
    headers: Names<HeaderName>,
    query: Names<Box<str>>,
    entries: Box<[Entry]>,
    /// The first of the entries with this hash; empty for a small group.
    index: HashMap<u64, usize, FixedState>,
}

/// Precedence by what is counted: methods listed before every method, more headers, more query parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Tier {
    every_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Names<N> {
    present: Box<[N]>,
    exact: Box<[N]>,
}

/// One route: its exact header values, then its exact query values, in the order of the group's names.
#[derive(Debug)]
struct Entry {
    hash: u64,
    rule: usize,
    values: Box<[Box<str>]>,
}

impl Candidates {
    /// From rules that share host pattern and path shape, given as positions in `rules`.
    pub(super) fn build(members: &[usize], rules: &[&RouteMatch]) -> Self {
        let mut groups: HashMap<_, Vec<Entry>, FixedState> = HashMap::default();
        for &rule in members {
            let Some(wants) = rules.get(rule) else { continue };
            let mut methods = wants.methods.clone();
            methods.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
            methods.dedup();
            let tier = Tier {
                every_method: methods.is_empty(),
                headers: Reverse(wants.headers.len()),
                query: Reverse(wants.query.len()),
            };
            let (headers, mut values) = split(&wants.headers, HeaderName::as_str);
            let (query, query_values) = split(&wants.query, |name| name);
            values.extend(query_values);
            let entry = Entry { hash: 0, rule, values: values.into() };
            groups.entry((tier, methods, headers, query)).or_default().push(entry);
        }
        let mut groups: Box<[Group]> = groups
            .into_iter()
            .map(|((tier, methods, headers, query), entries)| Group {
                tier,
                methods: methods.into(),
                headers,
                query,
                entries: entries.into(),
                index: HashMap::default(),
            })
            .map(Group::indexed)
            .collect();
        groups.sort_unstable_by_key(|group| group.tier);
        Self { groups }
    }

    /// The position of the best rule that the request satisfies. Tells through `other_method` whether some rule was
    /// passed over for its methods, when none is found.
    pub(super) fn find<R: Request + ?Sized>(&self, request: &R, other_method: &mut bool) -> Option<usize> {
        let method = request.method();
        let fits: &[MethodFit] = if *method == Method::HEAD {
            &[MethodFit::Listed, MethodFit::HeadByGet, MethodFit::Every]
        } else {
            &[MethodFit::Listed, MethodFit::Every]
        };
        let found = fits.iter().find_map(|fit| self.find_fit(request, *fit));
        if found.is_none() {
            *other_method |= self.groups.iter().any(|group| method_fit(&group.methods, method).is_none());
        }
        found
    }

    fn find_fit<R: Request + ?Sized>(&self, request: &R, fit: MethodFit) -> Option<usize> {
        let mut best: Option<(Tier, usize)> = None;
        for group in &self.groups {
            if best.is_some_and(|(tier, _)| tier != group.tier) {
                break;
            }
            if method_fit(&group.methods, request.method()) != Some(fit) {
                continue;
            }
            if let Some(rule) = group.find(request)
                && best.is_none_or(|(_, earlier)| rule < earlier)
            {
                best = Some((group.tier, rule));
            }
        }
        best.map(|(_, rule)| rule)
    }

    /// Adds the methods of all rules that the request satisfies but for its method.
    pub(super) fn allowed<R: Request + ?Sized>(&self, request: &R, methods: &mut Vec<Method>) {
        for group in self.groups.iter().filter(|group| group.find(request).is_some()) {
            methods.extend_from_slice(&group.methods);
            if group.methods.contains(&Method::GET) {
                methods.push(Method::HEAD);
            }
        }
    }
}

/// The names of the conditions and the exact values, in the order of names and values.
fn split<N: Clone>(conditions: &[FieldMatch<N>], text: impl Fn(&N) -> &str) -> (Names<N>, Vec<Box<str>>) {
    let mut present = Vec::new();
    let mut exact = Vec::new();
    for FieldMatch { name, value } in conditions {
        match value {
            ValueMatch::Present => present.push(name.clone()),
            ValueMatch::Exact(value) => exact.push((name.clone(), value.clone())),
        }
    }
    present.sort_unstable_by(|a, b| text(a).cmp(text(b)));
    exact.sort_unstable_by(|(a, v), (b, w)| text(a).cmp(text(b)).then_with(|| v.cmp(w)));
    let (exact, values): (Vec<_>, Vec<_>) = exact.into_iter().unzip();
    (Names { present: present.into(), exact: exact.into() }, values)
}

impl Group {
    fn indexed(mut self) -> Self {
        if self.entries.len() < INDEX_FROM {
            self.entries.sort_unstable_by_key(|entry| entry.rule);
            return self;
        }
        for entry in &mut self.entries {
            let mut hasher = FixedState::default().build_hasher();
            entry.values.iter().for_each(|value| feed(&mut hasher, value.bytes()));
            entry.hash = hasher.finish();
        }
        self.entries.sort_unstable_by_key(|entry| (entry.hash, entry.rule));
        for (at, entry) in self.entries.iter().enumerate() {
            self.index.entry(entry.hash).or_insert(at);
        }
        self
    }

    fn find<R: Request + ?Sized>(&self, request: &R) -> Option<usize> {
        let present = self.headers.present.iter().all(|name| is_present(name, request))
            && self.query.present.iter().all(|name| is_present(name, request));
        if !present {
            return None;
        }
        let agrees = |entry: &&Entry| self.values_agree(entry, request);
        let entry = if self.index.is_empty() {
            self.entries.iter().find(agrees)?
        } else {
            let hash = self.hash(request)?;
            let from = self.entries.get(*self.index.get(&hash)?..)?;
            from.iter().take_while(|entry| entry.hash == hash).find(agrees)?
        };
        Some(entry.rule)
    }

    fn values_agree<R: Request + ?Sized>(&self, entry: &Entry, request: &R) -> bool {
        let (headers, query) = (&self.headers.exact, &self.query.exact);
        headers.iter().zip(&entry.values).all(|(name, value)| has_value(name, value, request))
            && query
                .iter()
                .zip(entry.values.iter().skip(headers.len()))
                .all(|(name, value)| has_value(name, value, request))
    }

    /// The hash of the values that the request has under the names of the group; `None` when one is not there once.
    fn hash<R: Request + ?Sized>(&self, request: &R) -> Option<u64> {
        let mut hasher = FixedState::default().build_hasher();
        self.headers.exact.iter().try_for_each(|name| feed_field(&mut hasher, name, request))?;
        self.query.exact.iter().try_for_each(|name| feed_field(&mut hasher, name, request))?;
        Some(hasher.finish())
    }
}

fn feed_field<N: Name, R: Request + ?Sized>(hasher: &mut impl Hasher, name: &N, request: &R) -> Option<()> {
    let Field::Once(raw) = name.field(request) else { return None };
    feed(hasher, N::bytes(raw));
    Some(())
}

/// Byte by byte, because a decoded query value exists nowhere as a slice.
fn feed(hasher: &mut impl Hasher, value: impl Iterator<Item = u8>) {
    value.for_each(|byte| hasher.write_u8(byte));
    hasher.write_u8(0xFF);
}
