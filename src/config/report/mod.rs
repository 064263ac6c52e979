//! What is wrong with a configuration file: every finding with its code, its places and a way out.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::base::location::Location;

mod code;
mod json;
mod render;
mod source;

pub use code::{Code, Severity, documentation};
pub use source::Source;

/// Bytes of a file, half open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place that a finding is about, with what is to be said there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub span: Span,
    pub label: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub message: String,
    /// The first is where the mistake is; the others say what it conflicts with.
    pub places: Vec<Place>,
    pub notes: Vec<String>,
    pub helps: Vec<String>,
}

impl Diagnostic {
    #[must_use]
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        let place = Place { span, label: String::new() };
        Self { code, message: message.into(), places: vec![place], notes: Vec::new(), helps: Vec::new() }
    }

    /// What to say at the main place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        if let Some(first) = self.places.first_mut() {
            first.label = label.into();
        }
        self
    }

    /// A further place.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.places.push(Place { span, label: label.into() });
        self
    }

    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }

    /// Where the mistake is.
    #[must_use]
    pub fn span(&self) -> Span {
        self.places.first().map_or_else(Span::default, |place| place.span)
    }
}

/// All findings of one file, in the order of the file.
#[derive(Clone)]
pub struct Report {
    source: Source,
    diagnostics: Vec<Diagnostic>,
    // Boxed, because reports are errors of functions that usually succeed.
    marks: Box<Marks>,
}

#[derive(Clone, Default)]
struct Marks {
    /// What has been said already.
    seen: HashSet<(Code, Span, u64)>,
    /// Parts of the file that may be secrets.
    hidden: Vec<Span>,
}

impl Report {
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, diagnostics: Vec::new(), marks: Box::default() }
    }

    /// A report with one finding about a file that could not be read at all.
    #[must_use]
    pub fn unreadable(file: &str, error: &std::io::Error) -> Self {
        let mut report = Self::new(Source::new(file, ""));
        report.push(Diagnostic::new(Code::Unreadable, Span::default(), format!("cannot read `{file}`: {error}")));
        report
    }

    /// Adds a finding; what is known already (an anchor used at several places) is not said again.
    pub(crate) fn push(&mut self, mut diagnostic: Diagnostic) {
        use std::hash::BuildHasher;
        let end = u32::try_from(self.source.text().len()).unwrap_or(u32::MAX);
        for Place { span, .. } in &mut diagnostic.places {
            *span = Span { start: span.start.min(end), end: span.end.clamp(span.start.min(end), end) };
        }
        let message = foldhash::fast::FixedState::default().hash_one(&diagnostic.message);
        if self.marks.seen.insert((diagnostic.code, diagnostic.span(), message)) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Keeps these parts of the file out of what is shown.
    pub(crate) fn hide(&mut self, parts: impl IntoIterator<Item = Span>) {
        self.marks.hidden.extend(parts);
    }

    #[must_use]
    pub(crate) fn sorted(mut self) -> Self {
        self.diagnostics.sort_by_key(|diagnostic| (diagnostic.span().start, diagnostic.code));
        self
    }

    #[must_use]
    pub fn file(&self) -> &Arc<str> {
        self.source.file()
    }

    /// All findings.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter()
    }

    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.code.severity() == Severity::Error)
    }

    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.code.severity() == Severity::Warning)
    }

    /// Whether there is no error; there may be warnings.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.errors().next().is_none()
    }

    /// Where a finding is, for people.
    #[must_use]
    pub fn location(&self, diagnostic: &Diagnostic) -> Location {
        self.source.location(diagnostic.span())
    }

    /// One line: `routes.yaml: 2 errors, 1 warning`.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let (errors, warnings) = (self.errors().count(), self.warnings().count());
        let file = self.file();
        match (errors, warnings) {
            (0, 0) => format!("{file}: no errors"),
            (0, warnings) => format!("{file}: no errors, {}", count(warnings, "warning")),
            (errors, 0) => format!("{file}: {}", count(errors, "error")),
            (errors, warnings) => format!("{file}: {}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }

    /// Text for a terminal or a log, with the lines of the file; colours are ANSI escapes.
    #[must_use]
    pub fn render_text(&self, color: bool) -> String {
        render::text(self, &self.source.without(&self.marks.hidden), color)
    }

    /// The same for programs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json::value(self, &self.source)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render_text(false))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render_text(false))
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(Source::new("a.yaml", "one: 1\nzwei: é2\n"));
        report.push(
            Diagnostic::new(Code::UnknownKey, Span { start: 7, end: 11 }, "unknown key `zwei`")
                .label("did you mean `two`?")
                .also(Span { start: 0, end: 3 }, "like this one")
                .note("known: `one`, `two`")
                .help("see the documentation"),
        );
        report
    }

    #[test]
    fn counts_lines_and_characters_from_one() {
        let report = report();
        let at = report.source.location(Span { start: 15, end: 16 });
        assert_eq!(at.to_string(), "a.yaml:2:8");
        assert_eq!(report.summary(), "a.yaml: 1 error");
    }

    #[test]
    fn says_a_repeated_finding_once() {
        let mut report = report();
        let again = report.diagnostics[0].clone();
        report.push(again);
        assert_eq!(report.errors().count(), 1);
    }

    #[test]
    fn people_read_a_list_of_known_keys_once_and_programs_always() {
        let mut report = report();
        let unknown = |start, message| Diagnostic::new(Code::UnknownKey, Span { start, end: start + 1 }, message);
        report.push(unknown(8, "unknown key `drei`").note("known: `one`, `two`"));
        report.push(unknown(9, "unknown key `vier`").note("known: `head`"));
        let text = report.render_text(false);
        assert_eq!(text.matches("known: `one`").count(), 1, "{text}");
        assert!(text.contains("known: `head`"), "{text}");
        assert_eq!(report.to_json().to_string().matches("known: `one`").count(), 2);
    }

    #[test]
    fn text_shows_the_lines_and_colours_only_when_asked() {
        let report = report();
        let text = report.render_text(false);
        assert!(text.contains("error[E0102]: unknown key `zwei`"), "{text}");
        assert!(text.contains("a.yaml:2:1") && text.contains("did you mean `two`?") && text.contains("like this one"));
        assert!(!text.contains('\u{1b}') && report.render_text(true).contains('\u{1b}'));
    }

    #[test]
    fn json_has_every_place() {
        let json = report().to_json();
        assert_eq!(json["diagnostics"][0]["places"][1]["line"], 1);
        assert_eq!(json["diagnostics"][0]["code"], "E0102");
    }
}
