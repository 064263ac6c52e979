//! Numbers and texts as people are shown them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::base::timestamp;

/// Names in the first column.
const LABEL: usize = 11;

/// Appends a line of two columns.
pub(super) fn line(out: &mut String, label: &str, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{}", format!("{label:LABEL$}{text}").trim_end());
}

/// Appends rows as a table whose columns are as wide as they need to be; behind a label, if there is one.
pub(super) fn table<const N: usize>(out: &mut String, label: Option<&str>, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        match label {
            Some(label) => line(out, if at == 0 { label } else { "" }, &cells.join("  ")),
            None => out.extend([cells.join("  ").trim_end(), "\n"]),
        }
    }
}

/// As it is written in the routes: floats in between would show.
pub(super) fn percent(share: f64) -> String {
    format!("{}%", (share * 1e7).round() / 1e5)
}

/// In millionths, as the access log has it, and never 0.
pub(super) fn rarity(rarity: f32) -> String {
    let text = format!("{:.6}", f64::from(rarity).max(1e-6));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// With milliseconds.
pub(super) fn moment(since_1970: Duration) -> String {
    timestamp::format(since_1970).replace('Z', &format!(".{:03}Z", since_1970.subsec_millis()))
}

/// What came from outside, so that it cannot steer a terminal, nor be taken for several lines.
pub(super) fn foreign(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

pub(super) fn counted(number: u64, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{number} {of}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_true() {
        assert_eq!(percent(f64::from(0.005_f32)), "0.5%");
        assert_eq!((percent(1.0), percent(0.000_123_4)), ("100%".to_owned(), "0.01234%".to_owned()));
        assert_eq!((rarity(0.25), rarity(1.0), rarity(1e-9)), ("0.25".into(), "1".into(), "0.000001".into()));
        assert_eq!(moment(Duration::from_millis(1_500)), "1970-01-01T00:00:01.500Z");
        assert_eq!(foreign("/a\u{1b}[31m\n"), "/a\\u{1b}[31m\\n");
    }

    #[test]
    fn tables_stand_under_their_label() {
        let mut out = String::new();
        table(
            &mut out,
            Some("ladder"),
            &[["rung".to_owned(), "share".to_owned()], ["throttle".to_owned(), "1%".to_owned()]],
        );
        assert_eq!(out, "ladder     rung      share\n           throttle  1%\n");
    }
}
