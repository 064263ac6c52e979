//! Dictionaries of Structured Fields (RFC 8941 §4.2), as far as `CDN-Cache-Control` needs them: all of the syntax, as one mistake
//! makes the whole field count for nothing, and of the values only what a directive can have.

use super::list::{Argument, Form, is_token, quoted};

/// The value of a member.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Boolean(bool),
    Is(Argument<'a>),
}

impl<'a> Value<'a> {
    /// The argument of a directive: none for true; `None` when the directive is not there.
    pub const fn as_argument(self) -> Option<Option<Argument<'a>>> {
        match self {
            Self::Boolean(true) => Some(None),
            Self::Boolean(false) => None,
            Self::Is(argument) => Some(Some(argument)),
        }
    }
}

/// Shows the members of a dictionary in order; `None` when it is none.
pub(super) fn each<'a>(field: &'a [u8], mut show: impl FnMut(&'a [u8], Value<'a>)) -> Option<()> {
    let mut rest = Rest(field);
    rest.spaces();
    while !rest.0.is_empty() {
        let name = rest.key()?;
        let value = if rest.eat(b'=') { rest.member()? } else { Value::Boolean(true) };
        rest.parameters()?;
        show(name, value);
        rest.white_space();
        if rest.0.is_empty() {
            break;
        }
        rest.expect(b',')?;
        rest.white_space();
        if rest.0.is_empty() {
            return None;
        }
    }
    Some(())
}

/// What is still to be read. Everything that reads gives `None` for what is no such thing.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn eat(&mut self, byte: u8) -> bool {
        let behind = self.0.strip_prefix(&[byte]);
        self.0 = behind.unwrap_or(self.0);
        behind.is_some()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    /// Takes bytes as long as they are such.
    fn run(&mut self, such: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !such(*byte)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at_checked(end).unwrap_or((self.0, b""));
        self.0 = rest;
        run
    }

    fn spaces(&mut self) {
        self.run(|byte| byte == b' ');
    }

    fn white_space(&mut self) {
        self.run(|byte| byte == b' ' || byte == b'\t');
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        matches!(self.0, [b'a'..=b'z' | b'*', ..]).then(|| {
            let of_key = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*');
            self.run(of_key)
        })
    }

    fn member(&mut self) -> Option<Value<'a>> {
        if self.eat(b'(') {
            self.inner_list()?;
            Some(Value::Is(Argument::UNREADABLE))
        } else {
            self.bare_item()
        }
    }

    /// Behind its opening parenthesis.
    fn inner_list(&mut self) -> Option<()> {
        loop {
            self.spaces();
            if self.eat(b')') {
                return Some(());
            }
            self.bare_item()?;
            self.parameters()?;
            matches!(self.0, [b' ' | b')', ..]).then_some(())?;
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.spaces();
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn bare_item(&mut self) -> Option<Value<'a>> {
        match self.0 {
            [b'-' | b'0'..=b'9', ..] => self.number().map(|number| Value::Is(Argument::new(number, Form::Token))),
            [b'"', ..] => {
                let (text, rest) = quoted(self.0)?;
                self.0 = rest;
                is_string(text).then_some(Value::Is(Argument::new(text, Form::String)))
            }
            [b'*' | b'A'..=b'Z' | b'a'..=b'z', ..] => {
                let token = self.run(|byte| is_token(byte) || matches!(byte, b':' | b'/'));
                Some(Value::Is(Argument::new(token, Form::Token)))
            }
            [b':', rest @ ..] => {
                self.0 = rest;
                self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
                self.expect(b':')?;
                Some(Value::Is(Argument::UNREADABLE))
            }
            [b'?', truth @ (b'0' | b'1'), rest @ ..] => {
                self.0 = rest;
                Some(Value::Boolean(*truth == b'1'))
            }
            _ => None,
        }
    }

    /// An integer or a decimal, within the digits that they may have.
    fn number(&mut self) -> Option<&'a [u8]> {
        let begin = self.0;
        self.eat(b'-');
        let whole = self.run(|byte| byte.is_ascii_digit()).len();
        let fits = if self.eat(b'.') {
            let fraction = self.run(|byte| byte.is_ascii_digit()).len();
            (1..=12).contains(&whole) && (1..=3).contains(&fraction)
        } else {
            (1..=15).contains(&whole)
        };
        fits.then(|| begin.get(..begin.len() - self.0.len()))?
    }
}

/// Printable, and nothing escaped but what has to be (RFC 8941 §4.2.5).
fn is_string(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'\\' => matches!(bytes.next(), Some(b'"' | b'\\')),
            byte => matches!(byte, b' '..=b'~'),
        };
        if !good {
            return false;
        }
    }
    true
}
