//! Findings for programs.

use serde_json::{Value, json};

use super::{Place, Report, Source};

pub(super) fn value(report: &Report, source: &Source) -> Value {
    let place = |place: &Place| {
        let (line, column) = source.position(place.span.start);
        let (end_line, end_column) = source.position(place.span.end.max(place.span.start));
        json!({ "line": line, "column": column, "end_line": end_line, "end_column": end_column, "label": place.label })
    };
    let diagnostics: Vec<Value> = report
        .diagnostics()
        .map(|diagnostic| {
            json!({
                "code": diagnostic.code.as_str(),
                "severity": diagnostic.code.severity().as_str(),
                "message": diagnostic.message,
                "places": diagnostic.places.iter().map(place).collect::<Vec<_>>(),
                "notes": diagnostic.notes,
                "helps": diagnostic.helps,
            })
        })
        .collect();
    json!({
        "file": &**report.file(),
        "ok": report.is_ok(),
        "errors": report.errors().count(),
        "warnings": report.warnings().count(),
        "diagnostics": diagnostics,
    })
}
