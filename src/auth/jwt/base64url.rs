//! Base64url without padding, read so that every value has one text only (RFC 7515 §2, RFC 4648 §3.5).

const INVALID: u8 = 0xff;

const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut values = [INVALID; 256];
    let mut value = 0;
    while value < alphabet.len() {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Appends what `text` stands for; `None` when it has any other byte, padding, or bits that stand for nothing.
#[must_use]
pub(super) fn decode(text: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let (quads, rest) = text.as_chunks::<4>();
    let start = into.len();
    into.resize(start + quads.len() * 3, 0);
    let (triples, _) = into.get_mut(start..)?.as_chunks_mut::<3>();
    // One look at the end instead of one for each byte: a value has six bits, and what is invalid sets the others.
    let mut seen = 0;
    for (quad, triple) in quads.iter().zip(triples) {
        let [a, b, c, d] = quad.map(value);
        seen |= a | b | c | d;
        *triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    let left = match *rest {
        [] => 0,
        [a, b] => {
            let [a, b] = [a, b].map(value);
            seen |= a | b;
            into.push(a << 2 | b >> 4);
            b << 4
        }
        [a, b, c] => {
            let [a, b, c] = [a, b, c].map(value);
            seen |= a | b | c;
            into.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2]);
            c << 6
        }
        _ => return None,
    };
    (seen < 64 && left == 0).then_some(())
}

const fn value(byte: u8) -> u8 {
    VALUES[byte as usize]
}

/// What `text` stands for.
#[must_use]
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    decode(text.as_bytes(), &mut bytes).map(|()| bytes)
}
