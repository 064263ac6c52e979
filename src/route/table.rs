//! The compiled table: a hash look-up for the host, then a trie of path segments, then the [`Candidates`] that share
//! both. What a look-up costs depends on the request and on the overlap between patterns, not on the number of routes.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use http::Method;

use super::candidates::Candidates;
use super::{Params, Request, RouteMatch, Segment};
use crate::base::host_pattern::HostPattern;

/// Routes, compiled.
///
/// A look-up goes back to a less specific path or host when a more specific one leads nowhere. It visits a trie node
/// at most once, and at most [`Table::worst_case`] nodes; it allocates only for more than eight parameters and for the
/// methods of [`Lookup::MethodNotAllowed`].
#[derive(Debug, Default)]
pub struct Table {
    exact: HashMap<Box<str>, usize, FixedState>,
    /// By suffix, without `*.`.
    wildcard: HashMap<Box<str>, usize, FixedState>,
    any: Option<usize>,
    longest_wildcard: usize,
    nodes: Vec<Node>,
    candidates: Vec<Candidates>,
    /// The parameter names of each rule.
    names: Vec<Box<[Box<str>]>>,
    worst_case: usize,
}

/// What may follow one path prefix.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, FixedState>,
    param: Option<usize>,
    /// Candidates for all that follows.
    rest: Option<usize>,
    /// Candidates for a path that ends here.
    end: Option<usize>,
}

/// What a look-up came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<'t> {
    Found(Found<'t>),
    /// Some route wants everything that the request has but its method; these methods would find one, sorted.
    MethodNotAllowed(Vec<Method>),
    NotFound,
}

/// The winner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'t> {
    /// Its position in the rules that the table was built from.
    pub index: usize,
    pub params: Params,
    names: &'t [Box<str>],
}

impl Found<'_> {
    /// The parameter of this name, out of the path that was looked up.
    #[must_use]
    pub fn param<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        let position = self.names.iter().position(|known| **known == *name)?;
        self.params.get(path, position)
    }
}

impl Table {
    /// Compiles rules; the positions in `rules` are what look-ups answer with.
    #[must_use]
    pub fn build(rules: &[&RouteMatch]) -> Self {
        let mut table = Self::default();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (rule, wants) in rules.iter().enumerate() {
            for host in &wants.hosts {
                let root = table.root(host);
                let set = table.insert(root, &wants.path.segments, &mut members);
                // A host that a rule names twice is no second candidate.
                if let Some(set) = members.get_mut(set)
                    && set.last() != Some(&rule)
                {
                    set.push(rule);
                }
            }
            table.names.push(wants.path.param_names().map(Box::from).collect());
        }
        table.candidates = members.iter().map(|members| Candidates::build(members, rules)).collect();
        table.worst_case = table.count_worst_case();
        table
    }

    /// Finds the most specific route that the request satisfies.
    pub fn find<R: Request + ?Sized>(&self, request: &R) -> Lookup<'_> {
        if !request.path().starts_with('/') {
            return Lookup::NotFound;
        }
        let mut other_method = false;
        let mut walk = Walk::new(self, request, |candidates| candidates.find(request, &mut other_method));
        if let Some(index) = walk.hosts(request.host()) {
            return Lookup::Found(Found { index, params: walk.params, names: self.param_names(index) });
        }
        if !other_method {
            return Lookup::NotFound;
        }
        let mut methods = Vec::new();
        let mut walk = Walk::new(self, request, |candidates| {
            candidates.allowed(request, &mut methods);
            None
        });
        let _none: Option<usize> = walk.hosts(request.host());
        if methods.is_empty() {
            return Lookup::NotFound;
        }
        methods.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        Lookup::MethodNotAllowed(methods)
    }

    /// The names of a rule's parameters, in the order of its path.
    #[must_use]
    pub fn param_names(&self, index: usize) -> &[Box<str>] {
        self.names.get(index).map(|names| &**names).unwrap_or_default()
    }

    /// No request makes a search visit more trie nodes than this. Without overlap it is the depth of the table; each
    /// `{param}` beside a literal adds the nodes below it. A look-up that ends without a route may search twice.
    #[must_use]
    pub fn worst_case(&self) -> usize {
        self.worst_case
    }

    fn root(&mut self, host: &HostPattern) -> usize {
        let fresh = self.nodes.len();
        let root = match host {
            HostPattern::Exact(name) => *self.exact.entry(name.clone()).or_insert(fresh),
            HostPattern::Wildcard(suffix) => {
                self.longest_wildcard = self.longest_wildcard.max(suffix.len());
                *self.wildcard.entry(suffix.clone()).or_insert(fresh)
            }
            HostPattern::Any => *self.any.get_or_insert(fresh),
        };
        if root == fresh {
            self.nodes.push(Node::default());
        }
        root
    }

    /// The candidate set of a pattern; nodes and sets that are missing are made.
    fn insert(&mut self, root: usize, pattern: &[Segment], members: &mut Vec<Vec<usize>>) -> usize {
        let mut at = root;
        for segment in pattern {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { break };
            at = match segment {
                Segment::Literal(text) => match node.literals.get(text) {
                    Some(child) => *child,
                    None => *node.literals.entry(text.clone()).or_insert(fresh),
                },
                Segment::Param(_) => *node.param.get_or_insert(fresh),
                Segment::Rest(_) => return candidate_set(&mut node.rest, members),
            };
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        self.nodes.get_mut(at).map_or(0, |node| candidate_set(&mut node.end, members))
    }

    fn count_worst_case(&self) -> usize {
        // Children come after their parents, so that one pass from the end sees every child first.
        let mut visits = vec![0_usize; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let of = |child: usize| visits.get(child).copied().unwrap_or_default();
            let literal = node.literals.values().map(|child| of(*child)).max().unwrap_or_default();
            let count = literal.saturating_add(node.param.map_or(0, of)).saturating_add(1);
            if let Some(place) = visits.get_mut(at) {
                *place = count;
            }
        }
        let of = |root: Option<&usize>| root.and_then(|root| visits.get(*root)).copied().unwrap_or_default();
        let any = of(self.any.as_ref());
        let below = |name: &str, root: usize| {
            let suffixes = name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..));
            let wildcards = suffixes.map(|suffix| of(self.wildcard.get(suffix)));
            wildcards.fold(of(Some(&root)).saturating_add(any), usize::saturating_add)
        };
        self.exact.iter().chain(&self.wildcard).map(|(name, root)| below(name, *root)).max().unwrap_or(any)
    }
}

fn candidate_set(place: &mut Option<usize>, members: &mut Vec<Vec<usize>>) -> usize {
    *place.get_or_insert_with(|| {
        members.push(Vec::new());
        members.len() - 1
    })
}

/// One search, the more specific first; `visit` is shown every candidate set on the way, and its answer ends the search.
struct Walk<'a, V> {
    table: &'a Table,
    path: &'a str,
    /// What the parameters on the way to the current node stand for.
    params: Params,
    visit: V,
    #[cfg(test)]
    visited: usize,
}

impl<'a, V: FnMut(&Candidates) -> Option<usize>> Walk<'a, V> {
    fn new<R: Request + ?Sized>(table: &'a Table, request: &'a R, visit: V) -> Self {
        Self {
            table,
            path: request.path(),
            params: Params::default(),
            visit,
            #[cfg(test)]
            visited: 0,
        }
    }

    fn hosts(&mut self, host: &str) -> Option<usize> {
        let table = self.table;
        if let Some(root) = table.exact.get(host)
            && let Some(found) = self.node(*root, 0)
        {
            return Some(found);
        }
        if !table.wildcard.is_empty() {
            // The star stands for one label at least, so a dot at the very front separates nothing.
            for (dot, _) in host.match_indices('.').filter(|(dot, _)| *dot > 0) {
                let suffix = host.get(dot + 1..).unwrap_or_default();
                if suffix.len() <= table.longest_wildcard
                    && let Some(root) = table.wildcard.get(suffix)
                    && let Some(found) = self.node(*root, 0)
                {
                    return Some(found);
                }
            }
        }
        self.node(table.any?, 0)
    }

    /// `at` is where the slash before the next segment stands, or the length of the path.
    fn node(&mut self, node: usize, at: usize) -> Option<usize> {
        #[cfg(test)]
        {
            self.visited += 1;
        }
        let node = self.table.nodes.get(node)?;
        let Some(rest) = self.path.get(at + 1..) else {
            return match self.offer(node.end) {
                None => self.rest(node.rest, self.path.len()),
                found => found,
            };
        };
        if !node.literals.is_empty() || node.param.is_some() {
            let length = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
            let segment = rest.get(..length).unwrap_or_default();
            let end = at + 1 + length;
            if let Some(child) = node.literals.get(segment)
                && let Some(found) = self.node(*child, end)
            {
                return Some(found);
            }
            if let Some(child) = node.param
                && !segment.is_empty()
            {
                self.params.push(at + 1, end);
                if let Some(found) = self.node(child, end) {
                    return Some(found);
                }
                self.params.pop();
            }
        }
        self.rest(node.rest, at + 1)
    }

    fn rest(&mut self, set: Option<usize>, from: usize) -> Option<usize> {
        let set = set?;
        self.params.push(from, self.path.len());
        let found = self.offer(Some(set));
        if found.is_none() {
            self.params.pop();
        }
        found
    }

    fn offer(&mut self, set: Option<usize>) -> Option<usize> {
        (self.visit)(self.table.candidates.get(set?)?)
    }
}

#[cfg(test)]
mod tests;
