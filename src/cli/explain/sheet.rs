//! Three columns for people: what it is about, what is to be said, and where in a file that is written.

/// Columns in all; a longer place goes beyond.
const WIDTH: usize = 100;
const LABEL: usize = 11;
/// Text is never made narrower than this, however long the places are.
const NARROWEST: usize = 48;

#[derive(Default)]
pub(super) struct Sheet(Vec<Row>);

struct Row {
    label: &'static str,
    text: String,
    place: String,
}

impl Sheet {
    pub(super) fn row(&mut self, label: &'static str, text: impl Into<String>, place: Option<impl ToString>) {
        let place = place.map(|place| place.to_string()).unwrap_or_default();
        self.0.push(Row { label, text: text.into(), place });
    }

    /// A row of which no file speaks.
    pub(super) fn say(&mut self, label: &'static str, text: impl Into<String>) {
        self.row(label, text, None::<String>);
    }

    pub(super) fn render(&self) -> String {
        let longest = self.0.iter().map(|row| row.place.chars().count()).max().unwrap_or(0);
        let width = WIDTH.saturating_sub(LABEL + longest + 2).max(NARROWEST);
        let mut out = String::new();
        for Row { label, text, place } in &self.0 {
            // Without a place, a row may use the room of the places.
            let room = if place.is_empty() { (WIDTH - LABEL).max(width) } else { width };
            for (at, line) in wrap(text, room).into_iter().enumerate() {
                let (label, place) = if at == 0 { (*label, place.as_str()) } else { ("", "") };
                let line = format!("{label:LABEL$}{line:width$}  {place}");
                out.push_str(line.trim_end());
                out.push('\n');
            }
        }
        out
    }
}

/// Lines of at most `room` characters, broken at spaces; a word that is longer than that stays whole.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stand_in_one_column_and_long_text_is_wrapped() {
        let mut sheet = Sheet::default();
        sheet.row("route", "orders", Some("routes.yaml:55:5"));
        sheet.row("  not", "one two three ".repeat(8).trim_end(), Some("routes.yaml:7:5"));
        sheet.say("answer", "404");
        let text = sheet.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("routes.yaml"), lines[1].find("routes.yaml"));
        assert!(lines[2].starts_with(&" ".repeat(LABEL)) && !lines[2].ends_with(' '), "{text}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(lines.last(), Some(&"answer     404"));
    }

    #[test]
    fn a_long_place_does_not_squeeze_the_text() {
        let mut sheet = Sheet::default();
        sheet.row("route", "a".repeat(40), Some("/very/long/folder/".repeat(5)));
        assert_eq!(sheet.render().lines().count(), 1);
    }
}
