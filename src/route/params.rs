//! What the parameters of a path pattern stand for in one request.

use std::ops::Range;

const INLINE: usize = 8;

/// Byte ranges of the request path, in the order of the pattern's parameters; up to eight need no allocation.
///
/// A `{rest...}` range has no slash in front: it is empty for both `/files` and `/files/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    inline: [(usize, usize); INLINE],
    len: usize,
    more: Vec<(usize, usize)>,
}

impl Params {
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the parameter at this position stands in the path.
    #[must_use]
    pub fn range(&self, position: usize) -> Option<Range<usize>> {
        if position >= self.len {
            return None;
        }
        let range = self.inline.get(position).or_else(|| self.more.get(position - INLINE));
        range.map(|&(start, end)| start..end)
    }

    /// The parameter at this position, out of the path that was looked up.
    #[must_use]
    pub fn get<'p>(&self, path: &'p str, position: usize) -> Option<&'p str> {
        path.get(self.range(position)?)
    }

    pub(super) fn push(&mut self, start: usize, end: usize) {
        match self.inline.get_mut(self.len) {
            Some(place) => *place = (start, end),
            None => self.more.push((start, end)),
        }
        self.len += 1;
    }

    pub(super) fn pop(&mut self) {
        if self.len > INLINE {
            self.more.pop();
        }
        self.len = self.len.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_eight_are_kept_too() {
        let path: String = (0..12).map(|n| format!("/{n:02}")).collect();
        let mut params = Params::default();
        for n in 0..12 {
            params.push(n * 3 + 1, n * 3 + 3);
        }
        assert_eq!(
            (params.get(&path, 7), params.get(&path, 8), params.get(&path, 11)),
            (Some("07"), Some("08"), Some("11"))
        );
        for _ in 0..4 {
            params.pop();
        }
        params.push(0, 1);
        assert_eq!((params.len(), params.get(&path, 8), params.get(&path, 9)), (9, Some("/"), None));
    }
}
