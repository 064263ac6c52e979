use http::Method;
use proptest::prelude::*;

use super::*;

const EMPTY: Arrival<'_> = Arrival {
    at: Duration::ZERO,
    wall: Duration::ZERO,
    method: &Method::GET,
    path: "/",
    query: None,
    fields: Fields { count: 0, bytes: 0, order: 0, agent: 0 },
    content_type: None,
    body: None,
    caller: 1,
    network: 1,
    token_age: None,
};

fn read(arrival: &Arrival<'_>) -> Row {
    let mut row = Row::default();
    row.read(arrival);
    row
}

/// The one column of a feature.
fn one(row: &Row, name: &str) -> f32 {
    let columns = columns(name);
    assert_eq!(columns.len(), 1, "{name}");
    row.0[columns.start]
}

/// In the unit of the feature.
fn told(row: &Row, name: &str) -> f32 {
    value(columns(name).start, one(row, name))
}

/// The label whose column is 1, if it is the only one.
fn chosen(row: &Row, name: &str) -> Option<String> {
    let ones: Vec<usize> = columns(name).filter(|column| row.0[*column] == 1.0).collect();
    assert!(columns(name).all(|column| row.0[column] == 0.0 || row.0[column] == 1.0));
    match *ones {
        [column] => label(column),
        _ => None,
    }
}

fn near(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 1e-3 * expected.abs().max(1.0)
}

fn query(query: &str) -> Row {
    read(&Arrival { query: Some(query), ..EMPTY })
}

#[test]
fn columns_follow_the_table() {
    let mut next = 0;
    for feature in FEATURES {
        let columns = columns(feature.name);
        assert_eq!((columns.start, columns.len()), (next, feature.width()), "{}", feature.name);
        assert_eq!(columns.end <= ARRIVAL, feature.when == When::Arrival, "{}", feature.name);
        assert!(columns.clone().all(|column| feature_of(column).unwrap().name == feature.name));
        assert!(columns.clone().all(|column| label(column).unwrap().starts_with(feature.name)));
        next = columns.end;
    }
    assert_eq!(next, COLUMNS);
    assert_eq!((columns("none"), feature_of(COLUMNS).is_none(), label(COLUMNS)), (0..0, true, None));
    assert_eq!((Row::default().arrival().len(), Row::default().outcome().len()), (ARRIVAL, COLUMNS - ARRIVAL));
}

#[test]
fn names_are_unique_and_say_what_is_a_z_score() {
    for (at, feature) in FEATURES.iter().enumerate() {
        assert!(FEATURES[..at].iter().all(|other| other.name != feature.name), "{}", feature.name);
        assert!(feature.what.ends_with('.') || feature.what.ends_with(".)"), "{}", feature.what);
        let of = feature.name.strip_suffix("_z");
        assert_eq!(of.is_some(), feature.transformation == Transformation::ZScore, "{}", feature.name);
        if let Some(of) = of {
            assert_eq!(feature_of(columns(of).start).unwrap().transformation, Transformation::Log, "{of}");
        }
    }
}

#[test]
fn columns_are_called_and_told_in_words() {
    let named = |name: &str, part: usize| label(columns(name).start + part).unwrap();
    assert_eq!(named("method", 0), "method=GET");
    assert_eq!(named("content_type", 7), "content_type=other");
    assert_eq!(named("time_of_day", 1), "time_of_day=cos");
    assert_eq!(named("url_length", 0), "url_length");
    assert!(near(value(columns("url_length").start, 100_f32.ln()), 99.0));
    assert_eq!(value(columns("url_length_z").start, 2.5), 2.5);
    assert_eq!(value(COLUMNS, 2.5), 2.5);
}

/// A model file of another digest is of no use any more: change the number knowingly.
#[test]
fn the_schema_is_what_models_were_made_from() {
    assert_eq!(schema(), 0x888b_ee95_9d1f_6633, "{:#x}", schema());
}

#[test]
fn the_table_has_a_line_for_each_feature() {
    let table = table();
    assert_eq!(table.lines().count(), FEATURES.len() + 2);
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(table.lines().all(|line| bars(line) == 6), "{table}");
    assert!(table.contains(
        "| `url_length_z` | sd | at arrival | z-score within ±16 | `url_length` against what is usual for the caller. |\n"
    ));
    assert!(
        table.contains("| `status` |  | at the end | one each: 1xx, 2xx, 3xx, 4xx, 5xx | Class of the status. |\n")
    );
}

#[test]
fn methods() {
    for name in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        let row = read(&Arrival { method: &method, ..EMPTY });
        assert_eq!(chosen(&row, "method"), Some(format!("method={name}")));
        assert_eq!(one(&row, "method_length"), name.len() as f32);
    }
    let method = Method::from_bytes(b"PROPFIND").unwrap();
    let row = read(&Arrival { method: &method, ..EMPTY });
    assert_eq!((chosen(&row, "method").unwrap().as_str(), one(&row, "method_length")), ("method=other", 8.0));
}

#[test]
fn content_types() {
    let cases: [(Option<&[u8]>, &str); 14] = [
        (None, "none"),
        (Some(b" "), "none"),
        (Some(b"application/json"), "json"),
        (Some(b"Application/Problem+JSON; charset=utf-8"), "json"),
        (Some(b"application/x-www-form-urlencoded"), "form"),
        (Some(b"multipart/form-data; boundary=x"), "multipart"),
        (Some(b"text/xml"), "xml"),
        (Some(b"application/xml"), "xml"),
        (Some(b"application/soap+xml ;charset=utf-8"), "xml"),
        (Some(b"text/plain"), "text"),
        (Some(b"application/octet-stream"), "octets"),
        (Some(b"image/png"), "other"),
        (Some(b"\xff\x00"), "other"),
        (Some(b"json"), "other"),
    ];
    for (content_type, expected) in cases {
        let row = read(&Arrival { content_type, ..EMPTY });
        assert_eq!(chosen(&row, "content_type"), Some(format!("content_type={expected}")));
    }
}

#[test]
fn lengths_of_urls_and_bodies() {
    let row = read(&Arrival { path: "/orders", query: Some("a=1"), body: Some(99), ..EMPTY });
    assert!(near(one(&row, "url_length"), 12_f32.ln()) && near(told(&row, "url_length"), 11.0));
    assert!(near(one(&row, "request_body"), 100_f32.ln()) && near(told(&row, "request_body"), 99.0));
    assert!(near(told(&read(&EMPTY), "url_length"), 1.0));
    assert!(one(&read(&EMPTY), "request_body").is_nan());
    assert_eq!(one(&read(&Arrival { body: Some(0), ..EMPTY }), "request_body"), 0.0);
}

#[test]
fn header_bytes_and_count() {
    let fields = Fields::of([(&b"Host"[..], &b"a.example"[..]), (b"Accept", b"*/*")].into_iter());
    assert_eq!((fields.count, fields.bytes, fields.agent), (2, 22, 0));
    let row = read(&Arrival { fields, ..EMPTY });
    assert_eq!(one(&row, "header_count"), 2.0);
    assert!(near(told(&row, "header_bytes"), 22.0));
}

fn fields(names: &[&str]) -> Fields {
    Fields::of(names.iter().map(|name| (name.as_bytes(), &b"x"[..])))
}

#[test]
fn the_order_of_fields_is_that_of_their_names() {
    let usual = fields(&["Host", "User-Agent", "Accept"]);
    assert_eq!(usual.order, fields(&["host", "USER-AGENT", "aCCept"]).order);
    assert_ne!(usual.order, fields(&["Host", "Accept", "User-Agent"]).order);
    assert_ne!(usual.order, fields(&["Host", "User-Agent"]).order);
    assert_ne!(usual.order, fields(&["Host", "User-Agent", "Accept", "X-Probe"]).order);
    assert_ne!(fields(&["ab", "c"]).order, fields(&["a", "bc"]).order);
    assert_ne!(usual.agent, 0);
}

#[test]
fn fields_that_come_and_go_do_not_matter_for_the_order() {
    let usual = fields(&["Host", "User-Agent", "Accept"]);
    for name in [
        "Authorization",
        "Cookie",
        "If-None-Match",
        "if-modified-since",
        "Range",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "Expect",
        "traceparent",
        "tracestate",
        "X-Request-Id",
        "X-Forwarded-For",
        "Idempotency-Key",
        "Cache-Control",
    ] {
        let with = fields(&["Host", name, "User-Agent", "Accept"]);
        assert_eq!((with.order, with.count), (usual.order, 4), "{name}");
    }
}

#[test]
fn agents_are_told_apart() {
    let agent = |value: &'static str| Fields::of([(&b"user-agent"[..], value.as_bytes())].into_iter()).agent;
    assert_ne!(agent("curl/8.5.0"), agent("curl/8.5.1"));
    assert_ne!(agent(""), 0);
}

#[test]
fn query_parameters() {
    assert!(near(told(&query("a=1&b=2&&c"), "query_parameters"), 3.0));
    assert_eq!(one(&query("&"), "query_parameters"), 0.0);
    assert_eq!(one(&read(&EMPTY), "query_parameters"), 0.0);
}

#[test]
fn entropy_of_the_query() {
    assert_eq!(one(&read(&EMPTY), "query_entropy"), 0.0);
    assert_eq!(one(&query("aaaa"), "query_entropy"), 0.0);
    assert!(near(one(&query("abab"), "query_entropy"), 1.0));
    assert!(near(one(&query("abcdefgh"), "query_entropy"), 3.0));
    // One in four and three in four: 0.8113 bits.
    assert!(near(one(&query("abbb"), "query_entropy"), 0.8113));
    assert!(near(one(&query("%61b"), "query_entropy"), 1.0));
}

#[test]
fn what_injections_need_is_counted() {
    let marks = |text: &str| told(&query(text), "url_punctuation").round() as u32;
    assert_eq!(marks("page=2&sort=-created_at&name=M%C3%BCller-L%C3%BCdenscheidt"), 0);
    assert_eq!(marks("id=1%27%20OR%20%271%27=%271"), 4);
    assert_eq!(marks("id=1;DROP%20TABLE%20users--"), 2);
    assert_eq!(marks("q=<script>alert(1)</script>"), 6);
    assert_eq!(marks("file=../../../etc/passwd%00"), 4);
    assert_eq!(marks("x=${jndi:ldap://a}"), 3);
    assert_eq!(marks("cmd=a|b`c`"), 3);
    assert_eq!(marks("a=1/**/or/**/1"), 4);
    assert_eq!(marks("a=%0d%0aSet-Cookie:b"), 2);
    // Encoded twice.
    assert_eq!(marks("id=1%2527"), 1);
    let path = read(&Arrival { path: "/a'b/%3Cscript%3E", ..EMPTY });
    assert_eq!(told(&path, "url_punctuation").round() as u32, 3);
}

#[test]
fn depth_of_paths() {
    for (path, depth) in [("/", 0.0), ("/a", 1.0), ("/a/", 1.0), ("/a/b/c", 3.0), ("", 0.0)] {
        assert_eq!(one(&read(&Arrival { path, ..EMPTY }), "path_depth"), depth, "{path}");
    }
}

#[test]
fn time_of_day_is_a_circle() {
    let at = |hours: u64| {
        let row = read(&Arrival { wall: Duration::from_secs(20_000 * 86_400 + hours * 3_600), ..EMPTY });
        let columns = columns("time_of_day");
        (row.0[columns.start], row.0[columns.start + 1])
    };
    let is = |(sine, cosine): (f32, f32), expected: (f32, f32)| near(sine, expected.0) && near(cosine, expected.1);
    assert!(is(at(0), (0.0, 1.0)) && is(at(6), (1.0, 0.0)) && is(at(12), (0.0, -1.0)) && is(at(24), at(0)));
}

#[test]
fn age_of_tokens() {
    let row = read(&Arrival { token_age: Some(Duration::from_secs(59)), ..EMPTY });
    assert!(near(one(&row, "token_age"), 60_f32.ln()));
    assert!(one(&read(&EMPTY), "token_age").is_nan());
}

#[test]
fn outcomes() {
    let outcome = |status| {
        let mut row = Row::default();
        let duration = Duration::from_millis(99);
        row.read_outcome(&Outcome {
            at: duration,
            duration,
            status,
            request_bytes: 9,
            response_bytes: 999,
            is_failure: false,
        });
        row
    };
    let row = outcome(404);
    assert!(near(one(&row, "duration"), 100_f32.ln()) && near(told(&row, "duration"), 99.0));
    assert!(near(told(&row, "request_bytes"), 9.0) && near(told(&row, "response_bytes"), 999.0));
    for (status, class, error) in
        [(101, "1xx", 0.0), (200, "2xx", 0.0), (304, "3xx", 0.0), (400, "4xx", 1.0), (599, "5xx", 1.0)]
    {
        let row = outcome(status);
        assert_eq!((chosen(&row, "status"), one(&row, "error")), (Some(format!("status={class}")), error));
    }
    assert_eq!((chosen(&outcome(0), "status"), chosen(&outcome(600), "status")), (None, None));
}

proptest! {
    #[test]
    fn any_target_is_read(path in ".{0,300}", text in proptest::option::of(".{0,300}"), seed: u64) {
        let target = Target::of(&path, text.as_deref(), seed);
        let row = read(&Arrival { path: &path, query: text.as_deref(), caller: seed, ..EMPTY });
        prop_assert_eq!(target, Target::of(&path, text.as_deref(), seed));
        prop_assert!((0.0..=8.0).contains(&target.entropy));
        prop_assert!(target.punctuation as usize <= target.length && target.depth as usize <= path.len());
        prop_assert!(row.0.iter().all(|number| number.is_nan() || number.is_finite()));
    }

    #[test]
    fn any_fields_are_read(
        list in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..40), proptest::collection::vec(any::<u8>(), 0..40)), 0..40,
        ),
    ) {
        let of = || Fields::of(list.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
        let bytes: usize = list.iter().map(|(name, value)| name.len() + value.len()).sum();
        prop_assert_eq!((of().count as usize, of().bytes as usize), (list.len(), bytes));
        prop_assert_eq!(of(), of());
        let capitals: Vec<_> = list.iter().map(|(name, value)| (name.to_ascii_uppercase(), value)).collect();
        let shouted = Fields::of(capitals.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
        prop_assert_eq!(shouted, of());
    }
}

/// `SLUICE_UPDATE=1` writes it anew.
#[test]
fn documentation_has_the_table() {
    const MARKS: (&str, &str) = ("<!-- features -->\n", "<!-- /features -->");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/anomaly.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS.0).unwrap();
    let (written, after) = rest.split_once(MARKS.1).unwrap();
    let table = table();
    if std::env::var_os("SLUICE_UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1)).unwrap();
    } else {
        assert!(written == table, "docs/anomaly.md is out of date; run the tests with SLUICE_UPDATE=1");
    }
}

proptest! {
    #[test]
    fn neighbours_share_a_network(v4: u32, v6: u128, other: u8, far in any::<u128>()) {
        let of = |bits: u32| network_of(IpAddr::V4(bits.into()));
        prop_assert_eq!(of(v4), of(v4 ^ u32::from(other)));
        prop_assert_ne!(of(v4), of(v4 ^ 0x100));
        let mapped = network_of(IpAddr::V6(std::net::Ipv4Addr::from_bits(v4).to_ipv6_mapped()));
        prop_assert_eq!(mapped, of(v4), "written as IPv6");
        let v6 = v6 | 1 << 127;
        let of = |bits: u128| network_of(IpAddr::V6(bits.into()));
        prop_assert_eq!(of(v6), of(v6 ^ (far >> 48)));
        prop_assert_ne!(of(v6), of(v6 ^ (1 << 80)));
    }
}
