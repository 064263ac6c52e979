//! A file's text with the places of its lines.

use std::borrow::Cow;
use std::sync::Arc;

use super::Span;
use crate::base::location::Location;

/// The text of one file and its name as people see it.
#[derive(Clone)]
pub struct Source {
    file: Arc<str>,
    text: Arc<str>,
    /// Byte offset of each line's first character.
    lines: Arc<[u32]>,
}

impl Source {
    #[must_use]
    pub fn new(file: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).map(|at| u32::try_from(at).unwrap_or(u32::MAX)).collect();
        Self { file: file.into(), text, lines }
    }

    /// The same with stars for some parts; every place stays where it is.
    pub(super) fn without(&self, hidden: &[Span]) -> Cow<'_, Self> {
        if hidden.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut parts: Vec<Span> = hidden.to_vec();
        parts.sort_unstable();
        let mut text = String::with_capacity(self.text.len());
        let mut shown = 0;
        for part in parts {
            let (start, end) = (self.floor(part.start).max(shown), self.floor(part.end));
            if start >= end {
                continue;
            }
            text.push_str(self.slice(Span { start: shown, end: start }));
            // The parser counts the white space before the next key to a block.
            let end = start + u32::try_from(self.slice(Span { start, end }).trim_end().len()).unwrap_or_default();
            for character in self.slice(Span { start, end }).chars() {
                match character {
                    '\n' | '\r' => text.push(character),
                    other => text.extend(std::iter::repeat_n('*', other.len_utf8())),
                }
            }
            shown = end;
        }
        text.push_str(self.slice(Span { start: shown, end: u32::try_from(self.text.len()).unwrap_or(u32::MAX) }));
        Cow::Owned(Self { file: Arc::clone(&self.file), text: text.into(), lines: Arc::clone(&self.lines) })
    }

    #[must_use]
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line (0-based) that an offset lies on.
    pub(super) fn line_of(&self, offset: u32) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Bytes of a line without its line break.
    pub(super) fn line_span(&self, line: usize) -> Span {
        let start = self.lines.get(line).copied().unwrap_or(0);
        let next = self.lines.get(line + 1).copied().unwrap_or(self.text.len() as u32);
        let text = self.slice(Span { start, end: next });
        Span { start, end: start + text.trim_end_matches(['\n', '\r']).len() as u32 }
    }

    pub(super) fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// Line and column, both from 1, the column in characters.
    pub(super) fn position(&self, offset: u32) -> (u32, u32) {
        let offset = self.floor(offset);
        let line = self.line_of(offset);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let column = self.slice(Span { start, end: offset }).chars().count();
        (line as u32 + 1, column as u32 + 1)
    }

    /// Byte offset of a line (from 1) and a column (from 0, in characters); the end of the file at most.
    pub(in crate::config) fn offset(&self, line: usize, column: usize) -> u32 {
        let span = self.line_span(line.saturating_sub(1).min(self.lines.len().saturating_sub(1)));
        let bytes: usize = self.slice(span).chars().take(column).map(char::len_utf8).sum();
        span.start + bytes as u32
    }

    #[must_use]
    pub fn location(&self, span: Span) -> Location {
        let (line, column) = self.position(span.start);
        Location { file: Arc::clone(&self.file), line, column }
    }

    /// The nearest character boundary at or before an offset.
    pub(super) fn floor(&self, offset: u32) -> u32 {
        self.text.floor_char_boundary(offset as usize) as u32
    }
}
