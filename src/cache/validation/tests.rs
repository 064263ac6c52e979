use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::Version;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_TYPE, LOCATION, SET_COOKIE};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::base::clock;
use crate::cache::freshness::Freshness;
use crate::cache::key::Key;
use crate::cache::storable::Rules;
use crate::cache::stored::{Body, Groups, Head};

const CHANGED: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
const SECOND_LATER: &str = "Tue, 15 Nov 1994 12:45:27 GMT";
const MADE: &str = "Wed, 16 Nov 1994 08:00:00 GMT";

type Lines<'a> = &'a [(HeaderName, &'a str)];

fn map(lines: Lines<'_>) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
}

fn stored(lines: Lines<'_>) -> StoredFields {
    StoredFields::new(&map(lines))
}

fn unchanged(request: Lines<'_>, of: Lines<'_>) -> bool {
    is_unchanged(&map(request), StatusCode::OK, &stored(of))
}

#[test]
fn rfc_9110_8_8_3_entity_tags() {
    let tag = |is_weak, opaque| Some(EntityTag { is_weak, opaque });
    for (text, expected) in [
        (&b"\"xyzzy\""[..], tag(false, &b"xyzzy"[..])),
        (b"W/\"xyzzy\"", tag(true, b"xyzzy")),
        (b"\"\"", tag(false, b"")),
        (b"\"a,b\\\xFC!\"", tag(false, b"a,b\\\xFC!")),
        (b"", None),
        (b"xyzzy", None),
        (b"\"xyzzy", None),
        (b"w/\"xyzzy\"", None),
        (b"W/ \"xyzzy\"", None),
        (b"W\"xyzzy\"", None),
        (b"\"x y\"", None),
        (b"\"x\x7F\"", None),
        (b"\"x\"y", None),
        (b"\"x\", \"y\"", None),
    ] {
        assert_eq!(EntityTag::read(text), expected, "{}", text.escape_ascii());
    }
}

#[test]
fn rfc_9110_8_8_3_2_comparison() {
    for (one, other, strong, weak) in [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
    ] {
        let [one, other] = [one, other].map(|text| EntityTag::read(text.as_bytes()).unwrap());
        assert_eq!((one.is_strongly(&other), one.is_weakly(&other)), (strong, weak), "{one:?} {other:?}");
        assert_eq!((other.is_strongly(&one), other.is_weakly(&one)), (strong, weak), "{one:?} {other:?}");
    }
}

#[test]
fn rfc_9110_13_1_2_if_none_match() {
    for (lines, tag, expected) in [
        (&["\"a\""][..], "\"a\"", true),
        (&["W/\"a\""], "\"a\"", true),
        (&["\"a\""], "W/\"a\"", true),
        (&["\"b\""], "\"a\"", false),
        (&["\"b\", \"a\""], "\"a\"", true),
        (&["\"b\",,\t\"a\" ,"], "\"a\"", true),
        (&["\"b\"", "\"a\""], "\"a\"", true),
        (&["\"a,b\""], "\"a\"", false),
        (&["\"a,b\", \"c\""], "\"a,b\"", true),
        (&["*"], "\"a\"", true),
        (&["*"], "", true),
        (&[""], "\"a\"", false),
        // Malformed lists name nothing, whatever stands in them.
        (&["a"], "\"a\"", false),
        (&["\"a\" \"b\""], "\"a\"", false),
        (&["\"a\"\"b\""], "\"a\"", false),
        (&["\"a\", b"], "\"a\"", false),
        (&["\"a\"", "b"], "\"a\"", false),
        (&["\"a\", *"], "\"a\"", false),
        (&["\"a\"", "*"], "\"a\"", false),
        (&["*", "*"], "\"a\"", false),
        (&["w/\"a\""], "\"a\"", false),
        (&["\"a\", \"b"], "\"a\"", false),
        // What is stored has none, or a malformed one.
        (&["\"a\""], "", false),
        (&["\"a\""], "a", false),
        (&["a"], "a", false),
    ] {
        let request: Vec<_> = lines.iter().map(|line| (IF_NONE_MATCH, *line)).collect();
        assert_eq!(unchanged(&request, &[(ETAG, tag)]), expected, "{lines:?} {tag}");
        // It goes before If-Modified-Since, whichever way that would decide (§13.2.2).
        let both: Vec<_> = request.into_iter().chain([(IF_MODIFIED_SINCE, MADE)]).collect();
        assert_eq!(unchanged(&both, &[(ETAG, tag), (LAST_MODIFIED, CHANGED)]), expected, "{lines:?} {tag}");
    }
    assert!(!unchanged(&[(IF_NONE_MATCH, "\"a\"")], &[(ETAG, "\"a\""), (ETAG, "\"b\"")]), "two tags are none");
}

#[test]
fn rfc_9110_13_1_3_if_modified_since() {
    for (since, expected) in [
        (CHANGED, true),
        (SECOND_LATER, true),
        ("Tue, 15 Nov 1994 12:45:25 GMT", false),
        ("Tuesday, 15-Nov-94 12:45:26 GMT", true),
        ("Tue Nov 15 12:45:26 1994", true),
        // Not a date: it does not count.
        ("Tue, 15 Nov 2094", false),
        ("2094-11-15T12:45:26Z", false),
        ("4000000000", false),
        ("", false),
    ] {
        assert_eq!(unchanged(&[(IF_MODIFIED_SINCE, since)], &[(LAST_MODIFIED, CHANGED)]), expected, "{since}");
    }
    let twice = [(IF_MODIFIED_SINCE, CHANGED), (IF_MODIFIED_SINCE, CHANGED)];
    assert!(!unchanged(&twice, &[(LAST_MODIFIED, CHANGED)]), "more than one member");
    let since = [(IF_MODIFIED_SINCE, MADE)];
    assert!(!unchanged(&since, &[]), "no date at all");
    assert!(!unchanged(&[], &[(LAST_MODIFIED, CHANGED), (ETAG, "\"a\"")]), "no condition");
    // RFC 9111 §4.3.2: Date, when nothing says when it was changed.
    assert!(unchanged(&since, &[(DATE, MADE)]));
    assert!(!unchanged(&[(IF_MODIFIED_SINCE, CHANGED)], &[(DATE, MADE)]));
    assert!(!unchanged(&since, &[(DATE, CHANGED), (LAST_MODIFIED, "never")]), "what is there counts");
}

#[test]
fn rfc_9110_13_2_1_conditions_are_about_200() {
    for status in [201, 203, 204, 206, 301, 304, 404, 412, 500] {
        let of = stored(&[(ETAG, "\"a\""), (LAST_MODIFIED, CHANGED)]);
        let status = StatusCode::from_u16(status).unwrap();
        for request in [(IF_NONE_MATCH, "*"), (IF_NONE_MATCH, "\"a\""), (IF_MODIFIED_SINCE, MADE)] {
            assert!(!is_unchanged(&map(&[request]), status, &of), "{status}");
        }
    }
}

#[test]
fn rfc_9111_4_3_1_sending_a_validation_request() {
    let sent = |of: Lines<'_>| {
        let mut request =
            map(&[(IF_NONE_MATCH, "\"mine\""), (IF_NONE_MATCH, "*"), (IF_MODIFIED_SINCE, MADE), (ACCEPT, "*/*")]);
        push_conditions(&stored(of), &mut request);
        assert_eq!(request.remove(ACCEPT).unwrap(), "*/*");
        assert_eq!(has_validator(&stored(of)), !request.is_empty(), "{of:?}");
        request
    };
    assert_eq!(
        sent(&[(ETAG, "W/\"a\""), (LAST_MODIFIED, CHANGED)]),
        map(&[(IF_NONE_MATCH, "W/\"a\""), (IF_MODIFIED_SINCE, CHANGED)])
    );
    assert_eq!(sent(&[(ETAG, "\"a\"")]), map(&[(IF_NONE_MATCH, "\"a\"")]));
    assert_eq!(sent(&[(LAST_MODIFIED, CHANGED), (ETAG, "a")]), map(&[(IF_MODIFIED_SINCE, CHANGED)]));
    assert_eq!(sent(&[(LAST_MODIFIED, "yesterday"), (DATE, MADE)]), HeaderMap::new());
}

#[test]
fn rfc_9111_4_3_4_what_a_304_is_about() {
    const STRONG: (HeaderName, &str) = (ETAG, "\"a\"");
    const WEAK: (HeaderName, &str) = (ETAG, "W/\"a\"");
    const OTHER: (HeaderName, &str) = (ETAG, "\"b\"");
    const OTHER_WEAK: (HeaderName, &str) = (ETAG, "W/\"b\"");
    const DATED: (HeaderName, &str) = (LAST_MODIFIED, CHANGED);
    const LATER: (HeaderName, &str) = (LAST_MODIFIED, SECOND_LATER);
    // That makes the date a strong validator, or a weak one.
    const LONG_AGO: (HeaderName, &str) = (DATE, MADE);
    const JUST_NOW: (HeaderName, &str) = (DATE, CHANGED);
    for (newer, of, expected) in [
        // Strong validators: one has to be the same.
        (&[STRONG][..], &[STRONG][..], true),
        (&[STRONG], &[OTHER], false),
        (&[STRONG], &[WEAK], false),
        (&[STRONG], &[], false),
        (&[STRONG], &[DATED, LONG_AGO], false),
        (&[STRONG, DATED], &[DATED, LONG_AGO], true),
        (&[STRONG, DATED], &[DATED, JUST_NOW], false),
        (&[STRONG, DATED], &[WEAK, DATED, LONG_AGO], true),
        (&[STRONG, LATER], &[STRONG, DATED, LONG_AGO], true),
        (&[DATED], &[DATED, LONG_AGO], true),
        (&[LATER], &[DATED, LONG_AGO], false),
        // No date makes up for another entity tag.
        (&[STRONG, DATED], &[OTHER, DATED, LONG_AGO], false),
        (&[OTHER_WEAK, DATED], &[WEAK, DATED, LONG_AGO], false),
        // Weak ones.
        (&[WEAK], &[WEAK], true),
        (&[WEAK], &[STRONG], true),
        (&[WEAK], &[OTHER_WEAK], false),
        (&[WEAK], &[DATED], false),
        (&[WEAK, DATED], &[DATED, JUST_NOW], true),
        (&[DATED], &[DATED, JUST_NOW], true),
        (&[DATED], &[STRONG, DATED], true),
        (&[DATED], &[STRONG], false),
        (&[LATER], &[DATED, JUST_NOW], false),
        // None: the only answer that was asked for.
        (&[], &[STRONG, DATED], true),
        (&[], &[], true),
        // Malformed ones confirm nothing.
        (&[(ETAG, "a")], &[(ETAG, "a")], false),
        (&[STRONG, OTHER], &[STRONG], false),
        (&[(LAST_MODIFIED, "x")], &[(LAST_MODIFIED, "x")], false),
    ] {
        assert_eq!(confirms(&map(newer), &stored(of)), expected, "{newer:?} about {of:?}");
    }
}

#[test]
fn rfc_9111_3_2_updating_stored_fields() {
    let one_hop: [HeaderName; 6] =
        ["keep-alive", "proxy-connection", "te", "upgrade", "x-hop", "content-range"].map(HeaderName::from_static);
    let of = stored(&[
        (CACHE_CONTROL, "max-age=1"),
        (SET_COOKIE, "a=1"),
        (SET_COOKIE, "b=1"),
        (CONTENT_TYPE, "text/plain"),
        (CONTENT_LENGTH, "5"),
        (CONTENT_ENCODING, "gzip"),
        (AGE, "100"),
        (ACCEPT, "kept"),
        (ETAG, "\"a\""),
    ]);
    let mut newer = map(&[
        (CACHE_CONTROL, "max-age=2"),
        (CACHE_CONTROL, "public"),
        (SET_COOKIE, "c=1"),
        (CONTENT_TYPE, "text/plain;charset=utf-8"),
        (CONTENT_LENGTH, "0"),
        (CONTENT_ENCODING, "br"),
        (CONNECTION, "close, X-Hop"),
        (TRANSFER_ENCODING, "chunked"),
        (PROXY_AUTHENTICATE, "Basic"),
        (ETAG, "W/\"a\""),
        (LOCATION, "/new"),
    ]);
    one_hop.iter().for_each(|name| assert!(newer.insert(name, HeaderValue::from_static("x")).is_none()));
    let expected = map(&[
        (CACHE_CONTROL, "max-age=2"),
        (CACHE_CONTROL, "public"),
        (SET_COOKIE, "c=1"),
        (CONTENT_TYPE, "text/plain;charset=utf-8"),
        (CONTENT_LENGTH, "5"),
        (CONTENT_ENCODING, "br"),
        (ACCEPT, "kept"),
        (ETAG, "W/\"a\""),
        (LOCATION, "/new"),
    ]);
    assert_eq!(updated(&of, &newer), expected);
    let age = map(&[(AGE, "7")]);
    assert_eq!(updated(&of, &age).get(AGE), age.get(AGE));
    let weak = stored(&[(ETAG, "W/\"a\"")]);
    assert_eq!(updated(&weak, &map(&[(ETAG, "\"a\"")])), weak.to_map());
    let other = map(&[(ETAG, "\"b\"")]);
    assert_eq!(updated(&weak, &other), other);
}

fn answer(status: StatusCode, lines: Lines<'_>, body: &'static [u8]) -> Stored {
    let received = clock::now();
    let head = Head {
        key: Key::from(&b"key"[..]),
        status,
        version: Version::HTTP_11,
        fields: stored(lines),
        freshness: Freshness { lifetime: Duration::ZERO, initial_age: Duration::ZERO, received },
        rules: Rules::default(),
        groups: Groups::default(),
    };
    Stored::new(Arc::new(head), Body::new(vec![Bytes::from_static(body)]))
}

#[test]
fn rfc_9111_4_3_5_freshening_with_head() {
    let of = answer(StatusCode::OK, &[(ETAG, "\"a\""), (LAST_MODIFIED, CHANGED), (ACCEPT, "old")], b"12345");
    for (head, expected) in [
        (&[(ETAG, "\"a\""), (LAST_MODIFIED, CHANGED), (CONTENT_LENGTH, "5")][..], true),
        (&[(ETAG, "\"a\"")], true),
        (&[(CONTENT_LENGTH, "5")], true),
        (&[], true),
        (&[(ETAG, "W/\"a\"")], false),
        (&[(ETAG, "\"a\""), (LAST_MODIFIED, SECOND_LATER)], false),
        (&[(ETAG, "\"a\""), (CONTENT_LENGTH, "6")], false),
        (&[(ETAG, "\"a\""), (CONTENT_LENGTH, "x")], false),
        (&[(ETAG, "\"a\""), (ETAG, "\"a\"")], false),
    ] {
        let mut head = map(head);
        head.insert(ACCEPT, HeaderValue::from_static("new"));
        match by_head(StatusCode::OK, &head, &of) {
            ByHead::Updates(fields) => {
                assert!(expected, "{head:?}");
                assert_eq!(*fields, updated(&of.head.fields, &head));
                assert_eq!(fields[ACCEPT], "new");
            }
            result => assert_eq!((result, expected), (ByHead::Invalidates, false), "{head:?}"),
        }
    }
    assert_eq!(by_head(StatusCode::NOT_FOUND, &HeaderMap::new(), &of), ByHead::Nothing);
    let gone = answer(StatusCode::NOT_FOUND, &[], b"");
    assert_eq!(by_head(StatusCode::OK, &HeaderMap::new(), &gone), ByHead::Invalidates);
}

#[test]
fn rfc_9111_4_4_other_targets_of_the_same_origin() {
    let changed =
        |reference: &str| also_changed("https", "api.example.com", "/a/b/c?d=e", &map(&[(LOCATION, reference)]));
    for (reference, expected) in [
        ("https://api.example.com/x?y", "/x?y"),
        ("HTTPS://API.example.com:443/x", "/x"),
        ("https://api.example.com.:/x", "/x"),
        ("https://api.example.com", "/"),
        ("https://api.example.com?x", "/?x"),
        ("//api.example.com/x#y", "/x"),
        ("/x/./y/../z", "/x/z"),
        ("/../../x", "/x"),
        ("/x/%2e%2E/y/%2e", "/y/"),
        ("/x/...", "/x/..."),
        ("/x//y", "/x//y"),
        ("x", "/a/b/x"),
        ("../x", "/a/x"),
        ("..", "/a/"),
        (".", "/a/b/"),
        ("../../../x?y=../z", "/x?y=../z"),
        ("?x", "/a/b/c?x"),
        ("/x:y", "/x:y"),
    ] {
        assert_eq!(changed(reference), [expected], "{reference}");
    }
    for nothing in [
        "",
        "#x",
        "/a/b/c?d=e",
        "http://api.example.com/x",
        "https://api.example.com:444/x",
        "https://api.example.com:99999/x",
        "https://api.example.com.evil/x",
        "https://evil.com/x",
        "https://user@api.example.com/x",
        "//evil.com/x",
        "https:/x",
        "https:x",
        "mailto:x",
        "x:y",
        "/x y",
        "https://[::1/x",
    ] {
        assert_eq!(changed(nothing), [""; 0], "{nothing}");
    }
    let both = map(&[(LOCATION, "/x"), (CONTENT_LOCATION, "/x"), (CONTENT_LOCATION, "/y")]);
    assert_eq!(also_changed("http", "[::1]:8080", "/", &both), ["/x", "/y"]);
    let with_port = map(&[(LOCATION, "http://[::1]:8080/x"), (CONTENT_LOCATION, "http://[::1]/y")]);
    assert_eq!(also_changed("http", "[::1]:8080", "/", &with_port), ["/x"]);
    let long = format!("/{}", "x".repeat(9000));
    assert_eq!(also_changed("http", "a", "/", &map(&[(LOCATION, &long)])), [""; 0]);
    let many = map(&[(LOCATION, "/1"), (LOCATION, "/2"), (LOCATION, "/3")]);
    assert_eq!(also_changed("http", "a", "/", &many).len(), 2);
}

fn tag() -> impl Strategy<Value = String> {
    "(W/)?\"[ab,]{0,2}\""
}

proptest! {
    #[test]
    fn a_list_names_its_members_and_nothing_else(
        lines in vec(vec(tag(), 0..4), 1..3),
        own in option::of(tag()),
        between in proptest::sample::select(&[",", ", ", " ,, ", "\t,"][..]),
    ) {
        let request: Vec<String> = lines.iter().map(|line| line.join(between)).collect();
        let request: Vec<_> = request.iter().map(|line| (IF_NONE_MATCH, &**line)).collect();
        let of: Vec<_> = own.iter().map(|tag| (ETAG, &**tag)).collect();
        let opaque = |tag: &String| tag.trim_start_matches("W/").to_owned();
        let expected = own.as_ref().is_some_and(|own| lines.iter().flatten().any(|tag| opaque(tag) == opaque(own)));
        prop_assert_eq!(unchanged(&request, &of), expected);
        // Something that is no entity tag anywhere, and it names nothing.
        let broken: Vec<_> = request.into_iter().chain([(IF_NONE_MATCH, "x")]).collect();
        prop_assert!(!unchanged(&broken, &of));
    }

    #[test]
    fn unmodified_means_not_after_that_date(changed in 0_u64..4_000_000_000, since in 0_u64..4_000_000_000, near in -2_i64..3) {
        for since in [since, changed.saturating_add_signed(near)] {
            let [changed_at, since_at] = [changed, since].map(|at| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at)));
            let expected = changed <= since;
            prop_assert_eq!(unchanged(&[(IF_MODIFIED_SINCE, &since_at)], &[(LAST_MODIFIED, &changed_at)]), expected);
        }
    }

    #[test]
    fn any_target_is_of_our_origin_and_has_no_dots(reference in "(https?:)?(//a(:80)?)?[a./%2eE?#:@\\\\]{0,12}", target in "/[a./]{0,6}(\\?[a/.]{0,3})?") {
        for changed in also_changed("http", "a", &target, &map(&[(LOCATION, &reference)])) {
            prop_assert!(changed.starts_with('/') && changed != target);
            let path = changed.split('?').next().unwrap().replace("%2e", ".").replace("%2E", ".");
            // What the target holds itself stays as it is when the reference has no path.
            prop_assert!(target.contains('.') || !path.split('/').any(|segment| matches!(segment, "." | "..")), "{}", changed);
        }
    }

    #[test]
    fn an_answer_confirms_itself(tag in option::of(tag()), dated in any::<bool>(), made in proptest::sample::select(&[CHANGED, MADE][..])) {
        let mut lines = vec![(DATE, made)];
        lines.extend(tag.iter().map(|tag| (ETAG, &**tag)));
        lines.extend(dated.then_some((LAST_MODIFIED, CHANGED)));
        prop_assert!(confirms(&map(&lines), &stored(&lines)));
    }
}
