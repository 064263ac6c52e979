//! What always holds of this room, as functions over bytes: the tests and the fuzz targets call the same ones.
//!
//! The reference here is written from the documentation of the room, not from its code, and kept simple.

use std::cmp::Reverse;

use http::{HeaderName, Method};

use super::{
    Conflict, Example, FieldMatch, Lookup, PathPattern, RouteMatch, Segment, Table, ValueMatch, Verdict, conflicts,
    explain, normalise,
};
use crate::base::host_pattern::{self, HostPattern};

/// Where the trouble in paths is.
pub const PATH_PIECES: &[&str] = &[
    "/", "//", ".", "..", "a", "B~", "%2e", "%2E", "%2f", "%5C", "\\", "%00", "%41", "%c3%bc", "ü", "%25", "%", "%g1",
    ";", " ", "{", "|", "?", "#", "\u{7f}", "%7e", "\u{1}",
];

/// Normalisation: a fixed point, always in the grammar, and telling of every encoded delimiter.
pub fn path(raw: &[u8]) {
    let Ok(normal) = normalise(raw) else { return };
    let path = normal.as_str();
    assert!(path.starts_with('/'), "{path}");
    assert!(!path.contains("//"), "{path}");
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{path}");
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let allowed = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(byte);
        assert!(allowed, "{path}");
        if *byte == b'%' {
            let digits = std::str::from_utf8(&bytes[at + 1..at + 3]).expect("two hex digits");
            let decoded = u8::from_str_radix(digits, 16).expect("two hex digits");
            assert_eq!(digits, digits.to_uppercase());
            assert!(!(decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded)), "{path}");
        }
    }
    let again = normalise(path).expect("a normal path has a normal form");
    assert_eq!(again.as_str(), path);
    assert!(matches!(again.clone().into_cow(), std::borrow::Cow::Borrowed(_)), "{path}");
    let spelt = |text: &str| ["%2F", "%5C", "%00"].iter().any(|delimiter| text.contains(delimiter));
    assert_eq!(again.has_encoded_delimiter(), spelt(path));
    let sent = raw.contains(&b'\\') || spelt(&String::from_utf8_lossy(raw).to_uppercase().replace("%25", "_____"));
    assert_eq!(normal.has_encoded_delimiter(), sent, "{}", raw.escape_ascii());
}

/// Hosts: one form, and patterns that agree with the plain reading of their text.
pub fn host(raw: &[u8]) {
    let Ok(text) = std::str::from_utf8(raw) else { return };
    if let Some(name) = host_pattern::normalise(text) {
        assert_eq!(host_pattern::normalise(&name).as_ref(), Some(&name));
        assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase() || b"/@?# ".contains(&byte)), "{name}");
        assert!(HostPattern::Any.matches(&name));
        assert!(HostPattern::parse(&name).expect("a host is a pattern").matches(&name));
    }
    if let Ok(pattern) = HostPattern::parse(text) {
        assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
    }
}

/// Table, conflicts and explanation on a small table and requests made to hit it.
pub fn route_table(data: &[u8]) {
    let mut choices = Choices { data, at: 0 };
    let mut rules: Vec<RouteMatch> = Vec::new();
    for _ in 0..1 + choices.below(12) {
        let rule = choices.rule();
        // Unrelated rules rarely meet, so some differ from an earlier one in their conditions only.
        let like = choices.below(2 * rules.len() + 1);
        rules.push(match rules.get(like) {
            Some(earlier) => RouteMatch { headers: rule.headers, query: rule.query, ..earlier.clone() },
            None => rule,
        });
    }
    let rules: Vec<&RouteMatch> = rules.iter().collect();
    let table = Table::build(&rules);
    let found = conflicts(&rules);
    for conflict in &found {
        check_conflict(&rules, conflict);
    }
    let told: Vec<_> = found.iter().map(|conflict| (conflict.first, conflict.second)).collect();
    let pairs = (0..rules.len()).flat_map(|first| (first + 1..rules.len()).map(move |second| (first, second)));
    let expected: Vec<_> = pairs.filter(|(first, second)| clash(rules[*first], rules[*second])).collect();
    assert_eq!(told, expected, "{rules:#?}");
    for _ in 0..6 {
        let request = choices.request();
        check_lookup(&rules, &table, &told, &request);
    }
}

/// Both rules match, and nothing but their order decides.
fn check_conflict(rules: &[&RouteMatch], conflict: &Conflict) {
    let Conflict { first, second, example } = conflict;
    assert!(first < second);
    let ranks = [*first, *second].map(|index| rank(rules[index], example));
    assert!(ranks[0].is_some(), "{example} does not match {:?}", rules[*first]);
    assert_eq!(ranks[0], ranks[1], "{example} tells {:?} and {:?} apart", rules[*first], rules[*second]);
}

/// Whether nothing but their order would tell two rules apart.
fn clash(a: &RouteMatch, b: &RouteMatch) -> bool {
    let shape = |rule: &RouteMatch| -> Vec<Segment> {
        let unnamed = |segment: &Segment| match segment {
            Segment::Literal(text) => Segment::Literal(text.clone()),
            Segment::Param(_) => Segment::Param("".into()),
            Segment::Rest(_) => Segment::Rest("".into()),
        };
        rule.path.segments.iter().map(unnamed).collect()
    };
    let methods =
        a.methods.iter().any(|method| b.methods.contains(method)) || (a.methods.is_empty() && b.methods.is_empty());
    let all = |rule: &RouteMatch| -> Vec<(String, ValueMatch)> {
        let headers = rule.headers.iter().map(|wanted| (format!("header {}", wanted.name), wanted.value.clone()));
        let query = rule.query.iter().map(|wanted| (format!("query {}", wanted.name), wanted.value.clone()));
        headers.chain(query).collect()
    };
    let conditions = [all(a), all(b)].concat();
    let contradict = conditions.iter().any(|(name, value)| {
        let other = |(other_name, other): &(String, ValueMatch)| {
            name == other_name && value != other && *value != ValueMatch::Present && *other != ValueMatch::Present
        };
        conditions.iter().any(other)
    });
    a.hosts.iter().any(|host| b.hosts.contains(host))
        && shape(a) == shape(b)
        && methods
        && (a.headers.len(), a.query.len()) == (b.headers.len(), b.query.len())
        && !contradict
}

fn check_lookup(rules: &[&RouteMatch], table: &Table, told: &[(usize, usize)], request: &Example) {
    let answer = table.find(request);
    let ranks: Vec<_> = rules.iter().map(|rule| rank(rule, request)).collect();
    let best = ranks.iter().flatten().min();
    let winners: Vec<usize> =
        (0..rules.len()).filter(|index| best.is_some() && ranks[*index].as_ref() == best).collect();
    for (at, first) in winners.iter().enumerate() {
        for second in &winners[at + 1..] {
            let told = told.contains(&(*first, *second));
            assert!(told, "{first} and {second} both take {request} and are not told: {rules:#?}");
        }
    }
    let mut allowed: Vec<Method> = [Method::GET, Method::HEAD, Method::POST, Method::DELETE]
        .into_iter()
        .filter(|method| {
            let other = Example { method: method.clone(), ..request.clone() };
            rules.iter().any(|rule| rank(rule, &other).is_some())
        })
        .collect();
    allowed.sort_by_key(|method| method.as_str().to_owned());
    match &answer {
        Lookup::Found(won) => {
            assert_eq!(Some(&won.index), winners.first(), "{request} in {rules:#?}");
            let names = rules[won.index].path.param_names();
            let params = params(&rules[won.index].path, &request.path);
            assert_eq!(params.len(), won.params.len());
            for (at, (name, value)) in names.zip(&params).enumerate() {
                assert_eq!(won.params.get(&request.path, at), Some(&**value), "{request} in {rules:#?}");
                assert_eq!(won.param(&request.path, name), Some(&**value));
            }
        }
        Lookup::MethodNotAllowed(methods) => assert_eq!((best, methods), (None, &allowed), "{request} in {rules:#?}"),
        Lookup::NotFound => assert_eq!((best, allowed), (None, Vec::new()), "{request} in {rules:#?}"),
    }
    let explained = explain(rules, request);
    let won: Vec<usize> = explained.iter().filter(|each| each.verdict == Verdict::Won).map(|each| each.index).collect();
    assert_eq!(won.first(), winners.first());
    let lost = explained.iter().filter(|each| matches!(&each.verdict, Verdict::Lost(why) if !why.is_empty()));
    let matching: Vec<_> = explained.iter().filter_map(|each| ranks[each.index].as_ref()).collect();
    assert!(matching.is_sorted(), "{request} in {rules:#?}");
    assert!(won.len() <= 1 && lost.count() == explained.len() - won.len() && explained.len() <= 6);
}

/// Precedence of a rule that matches, the lesser first.
type Rank = ((u8, Reverse<usize>), Vec<u8>, u8, Reverse<usize>, Reverse<usize>);

fn rank(rule: &RouteMatch, request: &Example) -> Option<Rank> {
    let host = rule.hosts.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(name) => (**name == *request.host).then_some((0, Reverse(0))),
        HostPattern::Wildcard(suffix) => {
            let labels = request.host.strip_suffix(&**suffix).and_then(|labels| labels.strip_suffix('.'));
            labels.is_some_and(|labels| !labels.is_empty()).then_some((1, Reverse(suffix.len())))
        }
        HostPattern::Any => Some((2, Reverse(0))),
    });
    let asked: Vec<&str> = request.path[1..].split('/').collect();
    let mut path = Vec::new();
    let mut open = false;
    for (at, segment) in rule.path.segments.iter().enumerate() {
        match (segment, asked.get(at)) {
            (Segment::Literal(literal), Some(text)) if **literal == **text => path.push(0),
            (Segment::Param(_), Some(text)) if !text.is_empty() => path.push(1),
            (Segment::Rest(_), _) => {
                path.push(3);
                open = true;
            }
            _ => return None,
        }
    }
    if !open {
        if asked.len() != rule.path.segments.len() {
            return None;
        }
        path.push(2);
    }
    let method = match () {
        () if rule.methods.is_empty() => 2,
        () if rule.methods.contains(&request.method) => 0,
        () if request.method == Method::HEAD && rule.methods.contains(&Method::GET) => 1,
        () => return None,
    };
    let sent: Vec<(String, Vec<u8>)> = request.query.iter().flat_map(|query| query.split('&')).map(pair).collect();
    let headers = rule.headers.iter().all(|wanted| {
        let values: Vec<&[u8]> = request
            .headers
            .iter()
            .filter(|(name, _)| *name == wanted.name)
            .map(|(_, value)| value.as_bytes())
            .collect();
        holds(&wanted.value, &values)
    });
    let query = rule.query.iter().all(|wanted| {
        let values: Vec<&[u8]> =
            sent.iter().filter(|(name, _)| **name == *wanted.name).map(|(_, value)| &**value).collect();
        holds(&wanted.value, &values)
    });
    (headers && query).then_some((host.min()?, path, method, Reverse(rule.headers.len()), Reverse(rule.query.len())))
}

fn holds(wanted: &ValueMatch, values: &[&[u8]]) -> bool {
    match wanted {
        ValueMatch::Present => !values.is_empty(),
        ValueMatch::Exact(value) => values == [value.as_bytes()],
    }
}

/// Requests here are generated with `%20`, `%61` and `+` as the only encodings.
fn pair(text: &str) -> (String, Vec<u8>) {
    let decode = |text: &str| text.replace('+', " ").replace("%20", " ").replace("%61", "a");
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (decode(name), decode(value).into_bytes())
}

fn params(pattern: &PathPattern, path: &str) -> Vec<String> {
    let asked: Vec<&str> = path[1..].split('/').collect();
    let value = |(at, segment): (usize, &Segment)| match segment {
        Segment::Literal(_) => None,
        Segment::Param(_) => Some(asked[at].to_owned()),
        Segment::Rest(_) => Some(asked.get(at..).unwrap_or_default().join("/")),
    };
    pattern.segments.iter().enumerate().filter_map(value).collect()
}

/// Reads decisions off the input; small alphabets make rules overlap and requests hit.
struct Choices<'d> {
    data: &'d [u8],
    at: usize,
}

impl Choices<'_> {
    fn below(&mut self, limit: usize) -> usize {
        let byte = self.data.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        usize::from(byte) % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn rule(&mut self) -> RouteMatch {
        let hosts = (0..1 + self.below(2)).map(|_| {
            let text = self.one(&["*", "*", "a.b.c", "b.c", "*.c", "*.b.c", "*.a.b.c"]);
            HostPattern::parse(text).expect("a pattern")
        });
        let hosts = hosts.collect();
        let mut path = String::new();
        for at in 0..1 + self.below(4) {
            match self.below(7) {
                0 => path.push_str("/a"),
                1 => path.push_str("/b"),
                2 => path.push_str("/%2F"),
                3 | 4 => path.push_str(&format!("/{{p{at}}}")),
                5 => {
                    path.push_str(&format!("/{{r{at}...}}"));
                    break;
                }
                _ => {
                    path.push('/');
                    break;
                }
            }
        }
        let methods = (0..self.below(3)).map(|_| self.method()).collect();
        let headers = (0..self.below(6).saturating_sub(3)).map(|_| {
            let name = HeaderName::from_static(["x-a", "x-b"][self.below(2)]);
            FieldMatch { name, value: self.value() }
        });
        let headers = headers.collect();
        let query = (0..self.below(6).saturating_sub(3)).map(|_| {
            let name = self.one(&["a", "b"]).into();
            FieldMatch { name, value: self.value() }
        });
        let query = query.collect();
        RouteMatch { hosts, path: PathPattern::parse(&path).expect("a pattern"), methods, headers, query }
    }

    fn method(&mut self) -> Method {
        [Method::GET, Method::GET, Method::HEAD, Method::POST, Method::DELETE][self.below(5)].clone()
    }

    fn value(&mut self) -> ValueMatch {
        match self.one(&["*", "a", "b", "a b"]) {
            "*" => ValueMatch::Present,
            value => ValueMatch::Exact(value.into()),
        }
    }

    fn request(&mut self) -> Example {
        let host = self.one(&["a.b.c", "b.c", "x.b.c", "x.a.b.c", "c", "", "other"]).to_owned();
        let method = self.method();
        let mut path: String = (0..self.below(5)).map(|_| self.one(&["/a", "/b", "/c", "/%2F"])).collect();
        if path.is_empty() || self.below(4) == 0 {
            path.push('/');
        }
        let headers = (0..self.below(4)).map(|_| {
            let name = HeaderName::from_static(["x-a", "x-b"][self.below(2)]);
            (name, self.one(&["a", "b", "a b", "c"]).to_owned())
        });
        let headers = headers.collect();
        let query: Vec<&str> = (0..self.below(4))
            .map(|_| self.one(&["a=a", "a", "b=b", "%61=b", "b=%61", "a=a+b", "b=a%20b", "c=a"]))
            .collect();
        let query = (!query.is_empty()).then(|| query.join("&"));
        Example { method, host, path, headers, query }
    }
}
