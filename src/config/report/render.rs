//! Findings for people: code, place, the lines themselves, the way out.

use std::collections::HashSet;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Code, Diagnostic, Place, Report, Severity, Source, Span};

/// Findings shown in full; a file of thousands of identical mistakes would only hide the first.
const SHOWN: usize = 100;
/// Two places this many lines apart are shown as one piece of the file.
const NEAR: usize = 6;
/// A line longer than this (bytes) is cut around the place.
const LONG_LINE: u32 = 400;
/// Columns of the text, on a terminal of any width, so that logs and golden files agree.
const WIDTH: usize = 140;

pub(super) fn text(report: &Report, source: &Source, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH);
    let mut out = String::new();
    let mut listed = HashSet::new();
    for diagnostic in report.diagnostics().take(SHOWN) {
        out.push_str(&renderer.render(&[group(diagnostic, source, &mut listed)]));
        out.push_str("\n\n");
    }
    let total = report.diagnostics().count();
    if total > SHOWN {
        out.push_str(&format!("… and {} more\n\n", total - SHOWN));
    }
    out.push_str(&report.summary());
    out.push('\n');
    out
}

/// `listed` are the lists of known keys given so far: they are long, and reading each once is enough.
fn group<'a>(diagnostic: &'a Diagnostic, source: &'a Source, listed: &mut HashSet<&'a str>) -> Group<'a> {
    let level = match diagnostic.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&diagnostic.message).id(diagnostic.code.as_str()));
    if !source.text().is_empty() {
        let mut rest: &[Place] = &diagnostic.places;
        let mut primary = true;
        while let Some(first) = rest.first() {
            let line = source.line_of(first.span.start);
            let near = rest.iter().take_while(|place| source.line_of(place.span.start).abs_diff(line) <= NEAR).count();
            let (together, further) = rest.split_at(near.max(1));
            group = group.element(snippet(together, primary, source));
            (rest, primary) = (further, false);
        }
    }
    let is_new = |note: &&'a String| diagnostic.code != Code::UnknownKey || listed.insert(note);
    for note in diagnostic.notes.iter().filter(is_new) {
        group = group.element(Level::NOTE.message(note));
    }
    for help in &diagnostic.helps {
        group = group.element(Level::HELP.message(help));
    }
    group
}

fn snippet<'a>(
    places: &'a [Place],
    primary: bool,
    source: &'a Source,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let lines = places.iter().map(|place| source.line_of(place.span.start));
    let first = lines.clone().min().unwrap_or(0);
    let last = lines.max().unwrap_or(0);
    let mut shown = Span { start: source.line_span(first).start, end: source.line_span(last).end };
    if first == last && shown.end - shown.start > LONG_LINE {
        let from = places.iter().map(|place| place.span.start).min().unwrap_or(0);
        shown.start = source.floor(from.saturating_sub(LONG_LINE / 2)).max(shown.start);
        shown.end = source.floor(from.saturating_add(LONG_LINE / 2)).min(shown.end);
    }
    let mut snippet = Snippet::source(source.slice(shown)).line_start(first + 1).path(&**source.file()).fold(true);
    for (index, place) in places.iter().enumerate() {
        let line = source.line_span(source.line_of(place.span.start));
        let start = source.floor(place.span.start).clamp(shown.start, shown.end);
        let end = source.floor(place.span.end).clamp(start, line.end.min(shown.end).max(start));
        let kind = if primary && index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let range = (start - shown.start) as usize..(end - shown.start) as usize;
        let annotation = kind.span(range);
        snippet = snippet.annotation(if place.label.is_empty() { annotation } else { annotation.label(&place.label) });
    }
    snippet
}
