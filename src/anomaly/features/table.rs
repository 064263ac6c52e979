//! The table of all features, and what is computed from it.

use std::fmt::Write as _;
use std::ops::Range;

use super::Transformation::{Cyclic, Log, None as AsIs, OneHot, ZScore};
use super::When::{self, Arrival, Outcome};
use super::{Feature, Transformation};

/// The last is for all others.
pub(super) const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"];
/// In the order of [`extraction`](super::extraction).
pub(super) const CONTENT_TYPES: &[&str] = &["none", "json", "form", "multipart", "xml", "text", "octets", "other"];
pub(super) const STATUSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Goes up when a feature keeps its line in the table and means something else.
const EDITION: u8 = 2;

const fn feature(
    name: &'static str,
    unit: &'static str,
    when: When,
    transformation: Transformation,
    what: &'static str,
) -> Feature {
    Feature { name, unit, what, when, transformation }
}

/// All features, those of the arrival first.
pub const FEATURES: &[Feature] = &[
    feature("method", "", Arrival, OneHot(METHODS), "The method."),
    feature("method_length", "bytes", Arrival, AsIs, "Length of the method."),
    feature("url_length", "bytes", Arrival, Log, "Length of path and query."),
    feature("url_length_z", "sd", Arrival, ZScore, "`url_length` against what is usual for the caller."),
    feature("header_bytes", "bytes", Arrival, Log, "Names and values of all header fields."),
    feature("header_bytes_z", "sd", Arrival, ZScore, "`header_bytes` against what is usual for the caller."),
    feature("header_count", "fields", Arrival, AsIs, "Number of header fields."),
    feature(
        "header_order_new",
        "minutes",
        Arrival,
        Log,
        "How new the order of the names of the header fields is for the caller: of the last 500 or so minutes with requests, those \
         with another order for one with this, or for none. Fields that come and go with single requests are left out.",
    ),
    feature(
        "client_new",
        "minutes",
        Arrival,
        Log,
        "Likewise, of the client: order of the header fields together with `User-Agent`.",
    ),
    feature(
        "network_new",
        "minutes",
        Arrival,
        Log,
        "Likewise, of the network (/24 or /48) that the caller comes from.",
    ),
    feature("content_type", "", Arrival, OneHot(CONTENT_TYPES), "Kind of the body by `Content-Type`."),
    feature(
        "request_body",
        "bytes",
        Arrival,
        Log,
        "Length of the request body as announced; missing when it is not announced.",
    ),
    feature("request_body_z", "sd", Arrival, ZScore, "`request_body` against what is usual for the caller."),
    feature("query_parameters", "parameters", Arrival, Log, "Number of query parameters."),
    feature("query_entropy", "bits per byte", Arrival, AsIs, "Shannon entropy of the query after percent-decoding."),
    feature(
        "url_punctuation",
        "marks",
        Arrival,
        Log,
        "Marks in path and query, after percent-decoding, that injections need: quotes, `< > ( ) { } ; | $ \\ %`, line breaks, \
         NUL, `--`, `/*`, `*/`, `../`.",
    ),
    feature("path_depth", "segments", Arrival, AsIs, "Number of segments of the path."),
    feature("path_new", "0 or 1", Arrival, AsIs, "The caller has not asked for this path of late."),
    feature(
        "path_template_new",
        "0 or 1",
        Arrival,
        AsIs,
        "As `path_new`, where segments that look like ids (numbers, UUIDs, dates, long tokens) count as one.",
    ),
    feature("distinct_paths", "paths", Arrival, Log, "Distinct paths of the caller in the running window."),
    feature(
        "time_of_day",
        "day",
        Arrival,
        Cyclic,
        "Time of the day, UTC. A model of less than a day of requests does not look at it.",
    ),
    feature("inter_arrival", "ms", Arrival, Log, "Time since the request of the caller before this one."),
    feature("inter_arrival_z", "sd", Arrival, ZScore, "`inter_arrival` against what is usual for the caller."),
    feature(
        "request_rate",
        "requests per minute",
        Arrival,
        Log,
        "Requests of the caller before this one, each weighing less by 1/e after every minute.",
    ),
    feature("request_rate_z", "sd", Arrival, ZScore, "`request_rate` against what is usual for the caller."),
    feature(
        "error_rate",
        "share",
        Arrival,
        AsIs,
        "Share of answers of 400 and above among those to the caller, over the last 32 or so; half as many after each ten minutes without one.",
    ),
    feature("token_age", "s", Arrival, Log, "Time since the token was issued; missing without a token."),
    feature("duration", "ms", Outcome, Log, "From the arrival of the request to the end of the answer."),
    feature("duration_z", "sd", Outcome, ZScore, "`duration` against what is usual for the caller."),
    feature("status", "", Outcome, OneHot(STATUSES), "Class of the status."),
    feature("error", "0 or 1", Outcome, AsIs, "The status is 400 or above."),
    feature("request_bytes", "bytes", Outcome, Log, "Bytes of the request body that were sent."),
    feature("response_bytes", "bytes", Outcome, Log, "Bytes of the answer's body."),
    feature("response_bytes_z", "sd", Outcome, ZScore, "`response_bytes` against what is usual for the caller."),
];

/// Columns of the arrival: the first of a row.
pub const ARRIVAL: usize = {
    let (mut at, mut columns) = (0, 0);
    while at < FEATURES.len() {
        if matches!(FEATURES[at].when, Arrival) {
            assert!(columns == columns_before(at), "features of the arrival come first");
            columns += FEATURES[at].width();
        }
        at += 1;
    }
    columns
};

/// All columns.
pub const COLUMNS: usize = columns_before(FEATURES.len());

impl Feature {
    /// How many columns it has.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self.transformation {
            AsIs | Log | ZScore => 1,
            OneHot(labels) => labels.len(),
            Cyclic => 2,
        }
    }
}

/// Columns of the features before this one.
const fn columns_before(feature: usize) -> usize {
    let (mut at, mut columns) = (0, 0);
    while at < feature {
        columns += FEATURES[at].width();
        at += 1;
    }
    columns
}

/// For each column, how many its feature has.
pub const TOGETHER: [u16; COLUMNS] = {
    let mut together = [1; COLUMNS];
    let (mut feature, mut column) = (0, 0);
    while feature < FEATURES.len() {
        let mut part = 0;
        while part < FEATURES[feature].width() {
            together[column] = FEATURES[feature].width() as u16;
            part += 1;
            column += 1;
        }
        feature += 1;
    }
    together
};

/// For each column, its feature and the place among the columns of that.
const PLACES: [(u8, u8); COLUMNS] = {
    assert!(FEATURES.len() <= 256 && COLUMNS <= 256, "a byte holds them");
    let mut places = [(0, 0); COLUMNS];
    let (mut at, mut column) = (0, 0);
    while at < FEATURES.len() {
        let mut part = 0;
        while part < FEATURES[at].width() {
            places[column] = (at as u8, part as u8);
            (part, column) = (part + 1, column + 1);
        }
        at += 1;
    }
    places
};

/// The first column of a feature. For a name that there is none of, it is out of every row, which the compiler finds.
pub const fn column(name: &str) -> usize {
    match position(name) {
        Some(at) => columns_before(at),
        None => usize::MAX,
    }
}

const fn position(name: &str) -> Option<usize> {
    let mut at = 0;
    while at < FEATURES.len() {
        if equal(FEATURES[at].name.as_bytes(), name.as_bytes()) {
            return Some(at);
        }
        at += 1;
    }
    None
}

const fn equal(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The feature that a column belongs to.
#[must_use]
pub fn feature_of(column: usize) -> Option<&'static Feature> {
    FEATURES.get(usize::from(PLACES.get(column)?.0))
}

/// The columns of a feature, by its name; none when there is no such feature.
#[must_use]
pub fn columns(name: &str) -> Range<usize> {
    match position(name) {
        Some(at) => columns_before(at)..columns_before(at + 1),
        None => 0..0,
    }
}

/// What a column is called: `method=GET`, `url_length`.
#[must_use]
pub fn label(column: usize) -> Option<String> {
    let feature = feature_of(column)?;
    let part = usize::from(PLACES.get(column)?.1);
    Some(match feature.transformation {
        AsIs | Log | ZScore => feature.name.to_owned(),
        OneHot(labels) => format!("{}={}", feature.name, labels.get(part)?),
        Cyclic => format!("{}={}", feature.name, ["sin", "cos"].get(part)?),
    })
}

/// What a number in a column stands for, in the unit of its feature. Of what is cyclic, which one column does not tell, it is
/// the number itself.
#[must_use]
pub fn value(column: usize, number: f32) -> f32 {
    match feature_of(column).map(|feature| feature.transformation) {
        Some(Log) => number.exp_m1(),
        _ => number,
    }
}

/// A digest of the table (FNV-1a, 64 bits), the same on every machine: rows of one digest mean the same.
#[must_use]
pub const fn schema() -> u64 {
    let mut state = byte(0xcbf2_9ce4_8422_2325, EDITION);
    let mut at = 0;
    while at < FEATURES.len() {
        let feature = &FEATURES[at];
        state = text(text(state, feature.name), feature.unit);
        state = byte(state, matches!(feature.when, Outcome) as u8);
        state = match feature.transformation {
            AsIs => byte(state, 0),
            Log => byte(state, 1),
            ZScore => byte(state, 2),
            Cyclic => byte(state, 3),
            OneHot(labels) => {
                let mut state = byte(state, 4);
                let mut label = 0;
                while label < labels.len() {
                    state = text(state, labels[label]);
                    label += 1;
                }
                state
            }
        };
        at += 1;
    }
    state
}

const fn byte(state: u64, byte: u8) -> u64 {
    (state ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

/// With an end, so that `ab`, `c` is not `a`, `bc`.
const fn text(mut state: u64, text: &str) -> u64 {
    let mut at = 0;
    while at < text.len() {
        state = byte(state, text.as_bytes()[at]);
        at += 1;
    }
    byte(state, 0xff)
}

/// All features in a table, in Markdown.
#[must_use]
pub fn table() -> String {
    let mut page = "| feature | unit | known | columns | meaning |\n|---|---|---|---|---|\n".to_owned();
    for Feature { name, unit, what, when, transformation } in FEATURES {
        let known = match when {
            Arrival => "at arrival",
            Outcome => "at the end",
        };
        let shape = match transformation {
            AsIs => "value".to_owned(),
            Log => "ln(1 + value)".to_owned(),
            ZScore => "z-score within ±16".to_owned(),
            Cyclic => "sine, cosine".to_owned(),
            OneHot(labels) => format!("one each: {}", labels.join(", ")),
        };
        let what = what.replace('|', "\\|");
        let _ = writeln!(page, "| `{name}` | {unit} | {known} | {shape} | {what} |");
    }
    page
}
