//! What a verified token takes of memory.

use serde_json::Value;

use super::{Digest, Known};
use crate::auth::jwt::Token;

/// What the table adds to key and value: links, state and tag of a place, twice of all because a growing table doubles, and the
/// place in the index.
pub(super) const BOOKKEEPING: usize = 2 * (size_of::<(Digest, Known)>() + 24) + 16;

/// Bytes of the token, of its entry, and of the table around it.
pub(super) fn of(token: &Token) -> usize {
    let names = [&token.subject, &token.partner, &token.id];
    let names: usize = names.into_iter().flatten().map(|text| piece(text.len())).sum();
    let scopes: usize = token.scopes.iter().map(|scope| piece(scope.len())).sum();
    let claims: usize = token.claims.iter().map(|(_, value)| heap(value)).sum();
    // The counters of the `Arc` around it.
    let own = piece(size_of::<Token>() + 2 * size_of::<usize>());
    let lists = piece(size_of_val(&*token.scopes)) + piece(size_of_val(&*token.claims));
    BOOKKEEPING + own + names + scopes + lists + claims
}

/// What an allocator gives for so many bytes.
const fn piece(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        // Classes of sizes are an eighth apart, and no less than a pointer and its neighbour.
        _ => (bytes + bytes / 8).next_multiple_of(16),
    }
}

fn heap(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => piece(text.capacity()),
        Value::Array(members) => {
            piece(members.capacity() * size_of::<Value>()) + members.iter().map(heap).sum::<usize>()
        }
        Value::Object(members) => {
            // Hash, name and value in a list, and an index into it; both may have grown to twice of what they hold.
            let place = size_of::<(u64, String, Value)>() + 9;
            piece(2 * members.len() * place)
                + members.iter().map(|(name, value)| piece(name.len()) + heap(value)).sum::<usize>()
        }
    }
}
