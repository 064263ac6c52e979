//! Why the winner won and the nearest others lost, for people; slow, and never on the way of a request.

use std::cmp::{Ordering, Reverse};

use http::{HeaderName, Method};

use super::condition::{MethodFit, Name, holds, method_fit};
use super::{Field, FieldMatch, Lookup, PathPattern, Request, RouteMatch, Segment, Table, ValueMatch};
use crate::base::host_pattern::HostPattern;

/// How many losers are worth reading.
const NEAREST: usize = 5;

/// One route's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its position in the rules.
    pub index: usize,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Won,
    /// Why, in one sentence.
    Lost(String),
}

/// The winner, if any, then the routes that came nearest, at most five.
///
/// The winner is what the compiled [`Table`] finds.
pub fn explain<R: Request + ?Sized>(rules: &[&RouteMatch], request: &R) -> Vec<Candidate> {
    let winner = match Table::build(rules).find(request) {
        Lookup::Found(found) => Some(found.index),
        Lookup::MethodNotAllowed(_) | Lookup::NotFound => None,
    };
    let mut losers: Vec<(Nearness, usize)> = Vec::new();
    for (index, rule) in rules.iter().enumerate().filter(|(index, _)| Some(*index) != winner) {
        if let Some(nearness) = nearness(rule, request) {
            losers.push((nearness, index));
        }
    }
    let rank = |index: usize| Rank::of(rules.get(index)?, index, request);
    losers.sort_by(|(a, at), (b, bt)| {
        a.cmp(b).then_with(|| match a {
            Nearness::LessSpecific => rank(*at).zip(rank(*bt)).map_or(Ordering::Equal, |(a, b)| a.compare(&b).0),
            _ => at.cmp(bt),
        })
    });
    let winning = winner.and_then(rank);
    let lost = losers.iter().take(NEAREST).filter_map(|(_, index)| {
        let rule = rules.get(*index)?;
        let why = match (&winning, rank(*index)) {
            (Some(winning), Some(rank)) => winning.compare(&rank).1,
            _ => misses(rule, request).join(", and "),
        };
        Some(Candidate { index: *index, verdict: Verdict::Lost(why) })
    });
    winner.map(|index| Candidate { index, verdict: Verdict::Won }).into_iter().chain(lost).collect()
}

/// How little was missing; the lesser is the nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    LessSpecific,
    OtherMethod,
    /// This many conditions.
    Conditions(usize),
    OtherHost,
    /// This many of host, method and conditions.
    SamePath(usize),
    /// This many segments differ, after so many that agree, and so many characters would have to be changed.
    OtherPath(usize, Reverse<usize>, usize),
    /// The path takes everything, so that it says little.
    OtherHostAnyPath,
}

/// `None` when too little agrees to be worth telling.
fn nearness<R: Request + ?Sized>(rule: &RouteMatch, request: &R) -> Option<Nearness> {
    let host = rule.hosts.iter().any(|pattern| pattern.matches(request.host()));
    let method = method_fit(&rule.methods, request.method()).is_some();
    let conditions = rule.headers.iter().filter(|condition| !holds(*condition, request)).count()
        + rule.query.iter().filter(|condition| !holds(*condition, request)).count();
    let path = compare_path(&rule.path, request.path());
    match (path.different, host, method, conditions) {
        (0, true, true, 0) => Some(Nearness::LessSpecific),
        (0, true, false, 0) => Some(Nearness::OtherMethod),
        (0, true, true, missing) => Some(Nearness::Conditions(missing)),
        (0, false, ..) if matches!(rule.path.segments.as_slice(), [Segment::Rest(_)]) => {
            Some(Nearness::OtherHostAnyPath)
        }
        (0, false, true, 0) => Some(Nearness::OtherHost),
        (0, ..) => Some(Nearness::SamePath(usize::from(!host) + usize::from(!method) + conditions)),
        (different, true, ..) if different == 1 || path.agreeing > 0 => {
            let changes = strsim::osa_distance(&rule.path.to_string(), request.path());
            Some(Nearness::OtherPath(different, Reverse(path.agreeing), changes))
        }
        _ => None,
    }
}

struct PathComparison {
    /// Segments that do not fit, counting those that one side has and the other has not.
    different: usize,
    /// Segments that fit, from the left.
    agreeing: usize,
    /// What is wrong with the first that does not fit.
    why: String,
}

fn compare_path(pattern: &PathPattern, path: &str) -> PathComparison {
    let mut asked = path.split('/').skip(1);
    let mut comparison = PathComparison { different: 0, agreeing: 0, why: String::new() };
    let mut disagree = |at: usize, why: &dyn Fn() -> String| {
        if comparison.different == 0 {
            comparison.agreeing = at;
            comparison.why = why();
        }
        comparison.different += 1;
    };
    for (at, segment) in pattern.segments.iter().enumerate() {
        if matches!(segment, Segment::Rest(_)) {
            asked.by_ref().for_each(drop);
            break;
        }
        let Some(text) = asked.next() else {
            disagree(at, &|| match segment {
                Segment::Literal(text) if text.is_empty() => {
                    "its path ends with a slash and that of the request does not".into()
                }
                segment => format!("its path goes on with `/{segment}` where that of the request ends"),
            });
            continue;
        };
        let fits = match segment {
            Segment::Literal(literal) => **literal == *text,
            Segment::Param(_) | Segment::Rest(_) => !text.is_empty(),
        };
        if !fits {
            disagree(at, &|| match text {
                text if matches!(segment, Segment::Literal(literal) if literal.is_empty()) => {
                    format!("its path ends where that of the request goes on with `/{text}`")
                }
                "" => format!("segment {} of its path is `{segment}` and that of the request is empty", at + 1),
                text => format!("segment {} of its path is `{segment}` and that of the request `{text}`", at + 1),
            });
        }
    }
    for text in asked {
        disagree(pattern.segments.len(), &|| match text {
            "" => "its path does not end with a slash and that of the request does".into(),
            text => format!("its path ends where that of the request goes on with `/{text}`"),
        });
    }
    comparison
}

/// Everything that is wrong with a rule that the request does not match.
fn misses<R: Request + ?Sized>(rule: &RouteMatch, request: &R) -> Vec<String> {
    let mut misses = Vec::new();
    let path = compare_path(&rule.path, request.path());
    if path.different > 0 {
        misses.push(path.why);
    }
    if !rule.hosts.iter().any(|pattern| pattern.matches(request.host())) {
        misses.push(format!("it is for {} and the request for `{}`", list(&rule.hosts), request.host()));
    }
    if method_fit(&rule.methods, request.method()).is_none() {
        misses.push(format!("it takes {} and the request is {}", list(&rule.methods), request.method()));
    }
    let unmet =
        |kind: &'static str| move |(name, why): (String, &str)| format!("it wants {kind} `{name}`, which {why}");
    misses.extend(
        rule.headers.iter().filter_map(|c| unmet_condition(c, HeaderName::as_str, request)).map(unmet("header")),
    );
    misses.extend(
        rule.query.iter().filter_map(|c| unmet_condition(c, |name| name, request)).map(unmet("query parameter")),
    );
    misses
}

/// Never the value of the request: it may be a secret.
fn unmet_condition<N: Name, R: Request + ?Sized>(
    condition: &FieldMatch<N>,
    text: impl Fn(&N) -> &str,
    request: &R,
) -> Option<(String, &'static str)> {
    if holds(condition, request) {
        return None;
    }
    let name = text(&condition.name);
    let wanted = match &condition.value {
        ValueMatch::Present => name.to_owned(),
        ValueMatch::Exact(value) => format!("{name}: {value}"),
    };
    Some((
        wanted,
        match condition.name.field(request) {
            Field::Absent => "the request does not have",
            Field::Once(_) => "has another value in the request",
            Field::Repeated => "the request has more than once",
        },
    ))
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}

/// The precedence of a rule among those that match a request.
struct Rank<'a> {
    host: &'a HostPattern,
    path: &'a PathPattern,
    method: MethodFit,
    methods: &'a [Method],
    headers: usize,
    query: usize,
    index: usize,
}

impl<'a> Rank<'a> {
    /// `None` when the rule does not match.
    fn of<R: Request + ?Sized>(rule: &'a RouteMatch, index: usize, request: &R) -> Option<Self> {
        let matches = compare_path(&rule.path, request.path()).different == 0
            && rule.headers.iter().all(|condition| holds(condition, request))
            && rule.query.iter().all(|condition| holds(condition, request));
        let hosts = rule.hosts.iter().filter(|pattern| pattern.matches(request.host()));
        Some(Self {
            host: hosts.min_by_key(|pattern| host_rank(pattern)).filter(|_| matches)?,
            path: &rule.path,
            method: method_fit(&rule.methods, request.method())?,
            methods: &rule.methods,
            headers: rule.headers.len(),
            query: rule.query.len(),
            index,
        })
    }

    /// `Less` when this one takes precedence over the other; with a sentence about the other for that case.
    fn compare(&self, other: &Self) -> (Ordering, String) {
        let order = host_rank(self.host).cmp(&host_rank(other.host));
        if order.is_ne() {
            return (order, format!("it matches, but its host `{}` is less specific than `{}`", other.host, self.host));
        }
        let kinds = |pattern: &'a PathPattern| pattern.segments.iter().map(Some).chain([None]);
        for (at, (mine, theirs)) in kinds(self.path).zip(kinds(other.path)).enumerate() {
            let order = segment_rank(mine).cmp(&segment_rank(theirs));
            if order.is_ne() {
                let text =
                    |segment: Option<&Segment>| segment.map_or("the end".to_owned(), |segment| format!("`{segment}`"));
                let (mine, theirs) = (text(mine), text(theirs));
                return (order, format!("it matches, but at segment {} {theirs} is less specific than {mine}", at + 1));
            }
        }
        let order = self.method.cmp(&other.method);
        if order.is_ne() {
            let why = match other.method {
                MethodFit::Every => {
                    format!("it matches, but it takes every method where the winner lists {}", list(self.methods))
                }
                _ => "it matches, but serves HEAD only through GET, which the winner lists".to_owned(),
            };
            return (order, why);
        }
        for (mine, theirs, what) in [(self.headers, other.headers, "header"), (self.query, other.query, "query")] {
            if mine != theirs {
                let why = format!("it matches, but it has {theirs} {what} conditions and the winner {mine}");
                return (theirs.cmp(&mine), why);
            }
        }
        (self.index.cmp(&other.index), "it matches and is as specific as the winner, which is written first".to_owned())
    }
}

fn host_rank(pattern: &HostPattern) -> (u8, Reverse<usize>) {
    match pattern {
        HostPattern::Exact(_) => (0, Reverse(0)),
        HostPattern::Wildcard(suffix) => (1, Reverse(suffix.len())),
        HostPattern::Any => (2, Reverse(0)),
    }
}

/// Literal, parameter, end, rest: among patterns that match one path an end meets only another end or a rest.
fn segment_rank(segment: Option<&Segment>) -> u8 {
    match segment {
        Some(Segment::Literal(_)) => 0,
        Some(Segment::Param(_)) => 1,
        None => 2,
        Some(Segment::Rest(_)) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{get, rule, with_header, with_query};
    use super::*;

    fn verdicts(rules: &[RouteMatch], request: &impl Request) -> Vec<(usize, String)> {
        let rules: Vec<_> = rules.iter().collect();
        let text = |verdict| match verdict {
            Verdict::Won => "won".to_owned(),
            Verdict::Lost(why) => why,
        };
        explain(&rules, request).into_iter().map(|candidate| (candidate.index, text(candidate.verdict))).collect()
    }

    #[test]
    fn names_the_winner_and_why_the_others_are_less_specific() {
        let rules = [
            rule("*", "/o/{id}", "GET"),
            rule("api.example", "/o/{id}", "GET"),
            rule("api.example", "/o/{rest...}", "GET"),
            rule("api.example", "/o/{id}", ""),
            with_header(rule("api.example", "/o/{id}", "GET"), "x-a", None),
        ];
        let mut request = get("api.example", "/o/7");
        request.headers.push((HeaderName::from_static("x-a"), "v".into()));
        assert_eq!(
            verdicts(&rules, &request),
            [
                (4, "won".to_owned()),
                (1, "it matches, but it has 0 header conditions and the winner 1".to_owned()),
                (3, "it matches, but it takes every method where the winner lists `GET`".to_owned()),
                (2, "it matches, but at segment 2 `{rest...}` is less specific than `{id}`".to_owned()),
                (0, "it matches, but its host `*` is less specific than `api.example`".to_owned()),
            ]
        );
    }

    #[test]
    fn nearest_first_when_nobody_wins() {
        let rules = [
            rule("api.example", "/orders/{id}", "POST"),
            with_query(with_header(rule("api.example", "/orders/{id}", "GET"), "x-tenant", Some("acme")), "v", None),
            rule("other.example", "/orders/{id}", "GET"),
            rule("api.example", "/orders/{id}/", "GET"),
            rule("api.example", "/order/{id}", "GET"),
            rule("api.example", "/invoices/{id}/lines", "GET"),
        ];
        assert_eq!(
            verdicts(&rules, &get("api.example", "/orders/7")),
            [
                (0, "it takes `POST` and the request is GET".to_owned()),
                (1, "it wants header `x-tenant: acme`, which the request does not have, and it wants query parameter `v`, \
                     which the request does not have".to_owned()),
                (2, "it is for `other.example` and the request for `api.example`".to_owned()),
                (3, "its path ends with a slash and that of the request does not".to_owned()),
                (4, "segment 1 of its path is `order` and that of the request `orders`".to_owned()),
            ]
        );
    }

    #[test]
    fn the_path_that_was_meant_comes_before_others_and_catch_alls_of_other_hosts() {
        let rules = [
            rule("other.example", "/{rest...}", ""),
            rule("*", "/api/inventory", "GET"),
            rule("*", "/", "GET"),
            rule("*", "/api/orders", "GET"),
        ];
        let nearest: Vec<usize> =
            verdicts(&rules, &get("api.example", "/api/ordrs")).into_iter().map(|(at, _)| at).collect();
        assert_eq!(nearest, [3, 1, 0]);
        let (at, why) = verdicts(&rules, &get("api.example", "/status")).swap_remove(0);
        assert_eq!((at, &*why), (2, "its path ends where that of the request goes on with `/status`"));
    }

    #[test]
    fn values_of_the_request_are_not_repeated() {
        let rules = [with_header(rule("*", "/a", ""), "authorization", Some("x"))];
        let mut request = get("a.example", "/a");
        request.headers.push((http::header::AUTHORIZATION, "secret".into()));
        assert_eq!(
            verdicts(&rules, &request),
            [(0, "it wants header `authorization: x`, which has another value in the request".to_owned())]
        );
    }
}
