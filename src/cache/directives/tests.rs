use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::prelude::*;

use super::{
    About, CDN_CACHE_CONTROL, LONGEST, LONGEST_NAME, MAX_NAMES, NAMES, RequestDirectives, ResponseDirectives,
    invariants,
};

fn fields(name: &HeaderName, lines: &[&str]) -> HeaderMap {
    lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
}

fn request(lines: &[&str]) -> RequestDirectives {
    RequestDirectives::of(&fields(&header::CACHE_CONTROL, lines))
}

fn answer(lines: &[&str]) -> ResponseDirectives {
    ResponseDirectives::of(&fields(&header::CACHE_CONTROL, lines))
}

fn targeted(lines: &[&str]) -> Option<ResponseDirectives> {
    let mut fields = fields(&CDN_CACHE_CONTROL, lines);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let read = ResponseDirectives::of(&fields);
    assert!(read.targeted || read == answer(&["no-store"]), "{lines:?}");
    read.targeted.then_some(read)
}

const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

fn names(of: &[&'static str]) -> About {
    About::Fields(of.iter().map(|name| HeaderName::from_static(name)).collect())
}

#[test]
fn rfc_9111_5_2_names_count_in_any_case_and_arguments_in_both_forms() {
    for line in [
        "max-age=600",
        "MAX-AGE=600",
        "Max-Age=\"600\"",
        "max-age=\"6\\00\"",
        " , ,max-age=600,,",
        "max-age = 600\t",
        "max-age=0600",
        "x, max-age=600",
        "x=\"a, max-age=1\", max-age=600",
        "x=\"a\\\", max-age=1\", max-age=600",
        "x=\"a\"b, max-age=600",
        "xmax-age=1, max-agex=1, max-age=600",
        "a-directive-nobody-knows-and-that-is-long=1, max-age=600",
    ] {
        assert_eq!(answer(&[line]), ResponseDirectives { max_age: seconds(600), ..Default::default() }, "{line}");
        assert_eq!(request(&[line]).max_age, seconds(600), "{line}");
    }
}

#[test]
fn rfc_9111_4_2_1_an_age_that_cannot_be_read_is_none_and_the_smallest_of_several_counts() {
    for line in [
        "max-age",
        "max-age=",
        "max-age=\"\"",
        "max-age=-1",
        "max-age=+1",
        "max-age=1.5",
        "max-age=1e3",
        "max-age=0x10",
        "max-age='600'",
        "max-age=600 s",
        "max-age=600;",
        "max-age 600",
        "max-age: 600",
        "max-age=\"600",
        "max-age=\"600\"x",
        "max-age=\" 600\"",
        "max-age=600, max-age=x",
        "max-age, max-age=600",
    ] {
        assert_eq!(answer(&[line]).max_age, seconds(0), "{line}");
        let shared = answer(&[&line.replace("max-age", "s-maxage")]);
        assert_eq!((shared.s_maxage, shared.max_age), (seconds(0), None), "{line}");
    }
    assert_eq!(answer(&["max-age=600, max-age=60", "max-age=6000"]).max_age, seconds(60));
    assert_eq!(answer(&["public"]).max_age, None);
}

#[test]
fn rfc_9111_1_2_2_more_seconds_than_can_be_counted_are_the_longest_time() {
    for line in ["max-age=2147483648", "max-age=4294967296", "max-age=99999999999999999999999999999999"] {
        assert_eq!(answer(&[line]).max_age, Some(LONGEST), "{line}");
    }
    assert_eq!(answer(&["max-age=2147483647"]).max_age, seconds(2_147_483_647));
}

#[test]
fn rfc_9111_5_2_1_what_requests_ask() {
    let all = "max-age=1, max-stale=2, min-fresh=3, no-cache, no-store, no-transform, only-if-cached, stale-if-error=4";
    let expected = RequestDirectives {
        max_age: seconds(1),
        max_stale: seconds(2),
        min_fresh: seconds(3),
        no_cache: true,
        no_store: true,
        only_if_cached: true,
        stale_if_error: seconds(4),
    };
    assert_eq!(request(&[all]), expected);
    assert_eq!(request(&all.split(", ").collect::<Vec<_>>()), expected);
    assert_eq!(
        request(&["no-store=1, no-cache=\"a\", only-if-cached=x"]),
        request(&["no-store, no-cache, only-if-cached"])
    );
    assert_eq!(request(&[]), RequestDirectives::default());
}

#[test]
fn rfc_9111_5_2_1_what_a_request_writes_badly_is_the_strictest() {
    for (line, expected) in [
        ("max-stale", Some(LONGEST)),
        ("max-stale, max-stale=5", seconds(5)),
        ("max-stale=", seconds(0)),
        ("max-stale=x", seconds(0)),
        ("max-stale ?", seconds(0)),
    ] {
        assert_eq!(request(&[line]).max_stale, expected, "{line}");
    }
    for (line, expected) in
        [("min-fresh", Some(LONGEST)), ("min-fresh=x", Some(LONGEST)), ("min-fresh=5, min-fresh=9", seconds(9))]
    {
        assert_eq!(request(&[line]).min_fresh, expected, "{line}");
    }
    assert_eq!(request(&["stale-if-error=x"]).stale_if_error, seconds(0));
}

#[test]
fn rfc_9111_5_4_pragma_counts_where_there_is_no_cache_control() {
    let mut pragma = fields(&header::PRAGMA, &["x=\"no-cache\"", "No-Cache"]);
    assert_eq!(RequestDirectives::of(&pragma), RequestDirectives { no_cache: true, ..Default::default() });
    pragma.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1"));
    assert!(!RequestDirectives::of(&pragma).no_cache);
    assert_eq!(
        RequestDirectives::of(&fields(&header::PRAGMA, &["x=\"a, no-cache\"", "max-age=0"])),
        RequestDirectives::default()
    );
    assert_eq!(ResponseDirectives::of(&fields(&header::PRAGMA, &["no-cache"])), ResponseDirectives::default());
}

#[test]
fn rfc_9111_5_2_2_what_answers_allow() {
    let all = "max-age=1, s-maxage=2, no-cache, private, no-store, public, must-revalidate, proxy-revalidate, must-understand, \
               stale-while-revalidate=3, stale-if-error=4, no-transform, immutable";
    let expected = ResponseDirectives {
        max_age: seconds(1),
        s_maxage: seconds(2),
        no_cache: About::Everything,
        private: About::Everything,
        no_store: true,
        public: true,
        must_revalidate: true,
        proxy_revalidate: true,
        must_understand: true,
        stale_while_revalidate: seconds(3),
        stale_if_error: seconds(4),
        targeted: false,
    };
    assert_eq!(answer(&[all]), expected);
    assert_eq!(answer(&all.split(", ").collect::<Vec<_>>()), expected);
    assert_eq!(targeted(&[all]), Some(ResponseDirectives { targeted: true, ..expected }));
    assert_eq!(
        answer(&["no-store=1, public=\"x\", must-revalidate=0"]),
        answer(&["no-store, public, must-revalidate"])
    );
}

#[test]
fn a_mistake_hides_no_directive_behind_it() {
    for line in [
        "x=\"a, no-store",
        "private; x, no-store",
        "no-cache=\"a\"\"b\", no-store",
        "=, no-store",
        "x==\"\"=, no-store",
        "no-store; x",
        "no-store x",
    ] {
        assert!(answer(&[line]).no_store, "{line}");
    }
    assert_eq!(answer(&["private; max-age=600"]), answer(&["private=\"\""]));
}

#[test]
fn rfc_9111_5_2_2_4_and_7_fields_may_be_named() {
    for (line, expected) in [
        ("no-cache=\"set-cookie\"", names(&["set-cookie"])),
        ("no-cache=Set-Cookie", names(&["set-cookie"])),
        ("No-Cache=\" A ,, b\\-c,a\"", names(&["a", "b-c"])),
        ("no-cache=\"a\", no-cache=\"b, a\"", names(&["a", "b"])),
        ("no-cache=\"a\", no-cache", About::Everything),
        ("no-cache, no-cache=\"a\"", About::Everything),
        ("no-cache=\"\"", About::Everything),
        ("no-cache=", About::Everything),
        ("no-cache=\"a b\"", About::Everything),
        ("no-cache=\"a, (\"", About::Everything),
        ("no-cache=\"a", About::Everything),
        ("x=\"no-cache\"", About::Nothing),
    ] {
        assert_eq!(answer(&[line]).no_cache, expected, "{line}");
        assert_eq!(answer(&[&line.to_lowercase().replace("no-cache", "private")]).private, expected, "{line}");
    }
    let many = |count: usize| (0..count).map(|at| format!("f{at}")).collect::<Vec<_>>().join(",");
    assert!(matches!(answer(&[&format!("private=\"{}\"", many(MAX_NAMES))]).private, About::Fields(_)));
    assert_eq!(answer(&[&format!("private=\"{}\"", many(MAX_NAMES + 1))]).private, About::Everything);
    let twice = [format!("private=\"{}\"", many(MAX_NAMES)), "private=\"other\"".to_owned()];
    assert_eq!(answer(&twice.each_ref().map(|line| &**line)).private, About::Everything);
}

#[test]
fn rfc_9213_2_1_a_targeted_field_is_a_dictionary_or_nothing() {
    for (line, max_age) in [
        ("max-age=600", seconds(600)),
        ("  max-age=600;a;b=1;c=\"x\";d=:YQ==:;e=tok/en:*;f=?0;g=-1.5 ", seconds(600)),
        ("max-age=600 ,\t*x=(1 \"2\";a b );c, y.z_1=?1", seconds(600)),
        ("max-age=1, max-age=600", seconds(600)),
        ("max-age=600, x=:cHJldGVuZA==:", seconds(600)),
        ("max-age=999999999999999", Some(LONGEST)),
        ("public", None),
        // Not the type that it has to have.
        ("max-age", seconds(0)),
        ("max-age=?1", seconds(0)),
        ("max-age=\"600\"", seconds(0)),
        ("max-age=600.0", seconds(0)),
        ("max-age=-600", seconds(0)),
        ("max-age=ten", seconds(0)),
        ("max-age=(600)", seconds(0)),
        ("max-age=:600=:", seconds(0)),
    ] {
        let expected = ResponseDirectives { max_age, targeted: true, public: line == "public", ..Default::default() };
        assert_eq!(targeted(&[line]), Some(expected), "{line}");
    }
    for line in [
        "",
        " ",
        ",",
        "max-age=600,",
        "max-age=600,,public",
        "Max-Age=600",
        "max-age = 600",
        "max-age= 600",
        "max-age=600 public",
        "max-age=600;",
        "max-age=600;A",
        "max-age=1000000000000000",
        "max-age=1.",
        "max-age=1.2345",
        "max-age=1234567890123.1",
        "max-age=-",
        "x=\"a",
        "x=\"\\a\"",
        "x=\"\u{e4}\"",
        "x=?2",
        "x=?",
        "x=:a",
        "x=:-:",
        "x=(1",
        "x=(1,2)",
        "x=(1\"a\")",
        "x=@1",
        "x==1",
        "1=1",
        "max-age=600\u{a0}",
        "\tmax-age=600",
    ] {
        assert_eq!(targeted(&[line]), None, "{line:?}");
    }
    assert_eq!(targeted(&["max-age=1", "public, max-age=60"]).unwrap().max_age, seconds(60));
    assert_eq!(targeted(&["max-age=1", "Public"]), None);
    assert_eq!(targeted(&["max-age=1", ""]), None, "lines are one list (RFC 8941 §4.2)");
}

#[test]
fn rfc_9213_2_1_truth_and_strings_in_a_targeted_field() {
    let read = |line| targeted(&[line]).unwrap();
    assert!(read("no-store=?1").no_store && !read("no-store=?0").no_store && !read("no-store, no-store=?0").no_store);
    assert!(read("no-store=1").no_store, "what cannot be read is the strictest");
    assert_eq!(read("no-cache=\"a, b\"").no_cache, names(&["a", "b"]));
    assert_eq!(read("no-cache").no_cache, About::Everything);
    assert_eq!(read("no-cache=(a b)").no_cache, About::Everything);
    assert_eq!(read("private=\"a\", private=\"b\"").private, names(&["b"]));
}

#[test]
fn the_buffer_of_names_takes_every_name() {
    assert!(NAMES.iter().all(|name| name.len() <= LONGEST_NAME));
}

proptest! {
    #[test]
    fn whatever_is_written_holds_to_the_rules(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        invariants::check(&bytes);
    }

    #[test]
    fn so_does_what_is_nearly_right(
        status in any::<u16>(),
        lines in prop::collection::vec(prop::collection::vec(piece(), 0..12), 0..9),
    ) {
        let lines: Vec<String> = lines.into_iter().map(|pieces| pieces.concat()).collect();
        invariants::check(&[&status.to_be_bytes()[..], lines.join("\n").as_bytes()].concat());
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(NAMES.to_vec()).prop_map(|name| String::from_utf8(name.to_vec()).unwrap()),
        "[ ,=\"\\\\;?()0-9a-zA-Z:-]{1,4}",
        prop::sample::select(vec![
            ", ",
            "=",
            "=\"",
            "\"",
            "=60",
            "=\"60\"",
            "=?0",
            "; ",
            "no-transform",
            "max-stale",
            "min-fresh",
            "only-if-cached",
            "set-cookie",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Wed, 18 May 2033 03:33:30 GMT",
            "Wednesday, 18-May-33 03:34:20 GMT",
        ])
        .prop_map(str::to_owned),
    ]
}
