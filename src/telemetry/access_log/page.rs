//! Room for lines that is measured once for each line, so that its pieces are written without asking again.

/// Lines one after the other, in memory that is ready to be written.
#[derive(Default)]
pub(super) struct Page {
    /// As long as it is large: what is not filled is rubbish.
    bytes: Vec<u8>,
    filled: usize,
}

impl Page {
    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// Lets a line be written that needs no more than `room` bytes.
    #[inline]
    pub(super) fn write(&mut self, room: usize, line: impl FnOnce(Pen<'_>) -> Pen<'_>) {
        if self.bytes.len() - self.filled < room {
            self.grow(room);
        }
        let size = self.bytes.len();
        let Pen { rest } = line(Pen { rest: self.bytes.get_mut(self.filled..).unwrap_or_default() });
        self.filled = size - rest.len();
    }

    #[cold]
    fn grow(&mut self, room: usize) {
        let size = (self.filled + room).max(2 * self.bytes.len()).next_power_of_two();
        if self.filled == 0 {
            // Comes zeroed from the system, where growing would write the zeros.
            self.bytes = vec![0; size];
        } else {
            self.bytes.resize(size, 0);
        }
    }

    /// Forgets what is filled; keeps no more than so many bytes of memory.
    pub(super) fn clear(&mut self, keep: usize) {
        self.filled = 0;
        if self.bytes.len() > keep {
            self.bytes.truncate(keep);
            self.bytes.shrink_to_fit();
        }
    }
}

/// Writes into measured room, and passes from piece to piece in two registers.
///
/// A piece without room is left out and uses up what is left: whoever measures sees to it that this never happens.
pub(super) struct Pen<'a> {
    rest: &'a mut [u8],
}

impl Pen<'_> {
    /// A piece whose length the compiler knows: a few moves, no call.
    #[inline]
    pub(super) fn put<const N: usize>(self, piece: &[u8; N]) -> Self {
        self.put_first(piece, N)
    }

    /// Only the first bytes of a piece; all of it must have room.
    #[inline]
    pub(super) fn put_first<const N: usize>(self, piece: &[u8; N], length: usize) -> Self {
        let Some(to) = self.rest.first_chunk_mut() else { return Self { rest: &mut [] } };
        *to = *piece;
        // The compiler sees that this is there.
        Self { rest: self.rest.get_mut(length.min(N)..).unwrap_or_default() }
    }

    /// A piece of any length, as it is.
    #[inline]
    pub(super) fn copy(self, piece: &[u8]) -> Self {
        let Some((to, rest)) = self.rest.split_at_mut_checked(piece.len()) else { return Self { rest: &mut [] } };
        // Most names are short; two moves that may overlap are less than a call.
        match piece.len() {
            4..8 => put_ends::<4>(to, piece),
            8..16 => put_ends::<8>(to, piece),
            16..=32 => put_ends::<16>(to, piece),
            _ => to.copy_from_slice(piece),
        }
        Self { rest }
    }

    /// Copies a text that needs no escape in a JSON string; gives itself back, nothing written, when it needs one.
    #[inline]
    pub(super) fn copy_plain(self, text: &[u8]) -> Result<Self, Self> {
        let Self { rest } = self;
        let copy = if text.len() < BLOCK { copy_short } else { copy_blocks };
        let is_plain = rest.get_mut(..text.len()).is_none_or(|to| copy(to, text));
        if is_plain { Ok(Self { rest: rest.get_mut(text.len()..).unwrap_or_default() }) } else { Err(Self { rest }) }
    }

    pub(super) fn number(self, value: u64) -> Self {
        match value {
            0..10 => self.put(&[b'0' | value as u8]),
            10..10_000 => {
                let digits = four_digits(value);
                // Zeros in front are the lowest bytes.
                let zeros = digits.trailing_zeros() & !7;
                let text = ((digits | 0x3030_3030) >> zeros) as u32;
                self.put_first(&text.to_le_bytes(), 4 - (zeros / 8) as usize)
            }
            _ => self.long_number(value),
        }
    }

    /// Of five digits or more.
    #[inline(never)]
    fn long_number(self, value: u64) -> Self {
        const TEN_TO_8: u64 = 100_000_000;
        if value < TEN_TO_8 {
            let digits = four_digits(value / 10_000) | four_digits(value % 10_000) << 32;
            let zeros = digits.trailing_zeros() & !7;
            let text = (digits | 0x3030_3030_3030_3030) >> zeros;
            self.put_first(&text.to_le_bytes(), 8 - (zeros / 8) as usize)
        } else {
            self.number(value / TEN_TO_8).put(&eight_digits(value % TEN_TO_8))
        }
    }
}

/// Of a number below 10^8, with zeros in front.
#[inline]
pub(super) fn eight_digits(value: u64) -> [u8; 8] {
    let digits = four_digits(value / 10_000) | four_digits(value % 10_000) << 32;
    (digits | 0x3030_3030_3030_3030).to_le_bytes()
}

/// The values of the digits of a number below 10^4, the first in the lowest byte: two numbers of two digits, then both of
/// them divided at once (P. Khuong, "How to print integers really fast").
#[inline]
fn four_digits(value: u64) -> u64 {
    let hundreds = (value * 5_243) >> 19;
    let twos = hundreds | (value - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000F_000F;
    tens | (twos - 10 * tens) << 8
}

/// What is copied and judged at once.
const BLOCK: usize = 16;

/// Both have the same length, which is below that of a block. Whether the text was plain; so do all of these.
fn copy_short(to: &mut [u8], text: &[u8]) -> bool {
    let odd = if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk()) {
        put_first(to, first);
        put_last(to, last);
        odd_bits(*first) | odd_bits(*last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk()) {
        put_first(to, first);
        put_last(to, last);
        let ([a, b, c, d], [e, f, g, h]) = (*first, *last);
        odd_bits([a, b, c, d, e, f, g, h])
    } else if let ([first, .., last], Some(middle)) = (text, text.get(text.len() / 2)) {
        put_first(to, &[*first, *middle]);
        put_last(to, &[*last]);
        odd_bits([*first, *middle, *last, b' ', b' ', b' ', b' ', b' '])
    } else if let Some(byte) = text.first() {
        put_first(to, &[*byte]);
        odd_bits([*byte; 8])
    } else {
        0
    };
    odd & ODD == 0
}

/// Both have the same length, of a block or more. By the two ends, which may overlap, then in blocks what is between them.
fn copy_blocks(to: &mut [u8], text: &[u8]) -> bool {
    let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) else { return false };
    put_first(to, first);
    put_last(to, last);
    let ends_are_plain = is_plain_block(first) & is_plain_block(last);
    if text.len() <= 2 * BLOCK {
        return ends_are_plain;
    }
    let between = to.as_chunks_mut().0.iter_mut().zip(text.as_chunks().0).skip(1);
    ends_are_plain
        && between.into_iter().all(|(to, block)| {
            *to = *block;
            is_plain_block(block)
        })
}

#[inline]
fn put_first<const N: usize>(to: &mut [u8], piece: &[u8; N]) {
    if let Some(to) = to.first_chunk_mut() {
        *to = *piece;
    }
}

#[inline]
fn put_last<const N: usize>(to: &mut [u8], piece: &[u8; N]) {
    if let Some(to) = to.last_chunk_mut() {
        *to = *piece;
    }
}

#[inline]
fn put_ends<const N: usize>(to: &mut [u8], piece: &[u8]) {
    if let (Some(first), Some(last)) = (piece.first_chunk::<N>(), piece.last_chunk::<N>()) {
        put_first(to, first);
        put_last(to, last);
    }
}

/// The compiler makes vector instructions of this, and few.
#[inline]
fn is_plain_block(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(true, |plain, byte| plain & (plainness(*byte) != 0))
}

/// 0 for what needs an escape, may not be ASCII, or is DEL.
#[inline]
fn plainness(byte: u8) -> u8 {
    let in_range = (0x7F - b' ').saturating_sub(byte.wrapping_sub(b' '));
    in_range.min(byte ^ b'"').min(byte ^ b'\\')
}

/// In the result of [`odd_bits`], what tells that a byte is not plain.
const ODD: u64 = u64::from_le_bytes([0x80; 8]);

/// The same for a word: has a bit of [`ODD`] exactly when a byte is not plain; other bits mean nothing.
#[inline]
fn odd_bits(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let word = u64::from_le_bytes(word);
    // Taking off too much turns the high bit of a byte on, and perhaps of those after it: but then one is odd already.
    let below_space = word.wrapping_sub(ONES * u64::from(b' '));
    let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    let delete = word.wrapping_add(ONES);
    word | below_space | quote | backslash | delete
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(room: usize, line: impl FnOnce(Pen<'_>) -> Pen<'_>) -> Vec<u8> {
        let mut page = Page::default();
        page.write(room, line);
        page.filled().to_vec()
    }

    #[test]
    fn every_byte_is_judged_alike_wherever_it_stands() {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        for byte in 0..=u8::MAX {
            for length in 1..70 {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let mut plain = true;
                    let copied = written(80, |pen| {
                        let copied = pen.copy_plain(&text);
                        plain = copied.is_ok();
                        copied.unwrap_or_else(|pen| pen)
                    });
                    assert_eq!(plain, is_plain(byte), "{byte:#x} at {at} of {length}");
                    assert_eq!(copied, if plain { text } else { Vec::new() });
                }
            }
        }
    }

    #[test]
    fn lines_keep_their_places_while_the_page_grows() {
        let mut page = Page::default();
        let mut expected = Vec::new();
        for number in 0..10_000 {
            page.write(40, |pen| pen.number(number).put(b"\n"));
            expected.extend_from_slice(format!("{number}\n").as_bytes());
        }
        assert_eq!(page.filled(), expected);
        page.clear(1_000);
        assert!(page.filled().is_empty());
        assert_eq!((page.bytes.len(), page.bytes.capacity()), (1_000, 1_000));
    }

    #[test]
    fn a_piece_without_room_is_left_out() {
        let ends: [fn(Pen<'_>) -> Pen<'_>; 4] = [
            |pen| pen.put(b"89"),
            |pen| pen.copy(b"89"),
            |pen| pen.copy_plain(b"89").unwrap_or_else(|pen| pen),
            |pen| pen.number(8_900_000),
        ];
        for end in ends {
            let line = written(8, |pen| end(pen.copy(b"1234567")).put(b"0"));
            assert_eq!((&line[..7], line.len()), (&b"1234567"[..], 8));
        }
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_the_standard_library_does(number: u64, bits in 0_u32..64) {
            for number in [number >> bits, 10_u64.pow(bits % 20), 10_u64.pow(bits % 20) - 1] {
                prop_assert_eq!(written(40, |pen| pen.number(number)), number.to_string().into_bytes());
            }
        }
    }
}
