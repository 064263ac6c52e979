#![no_main]
#![allow(dead_code)]
//! Any bytes from a client, and any as answers of an upstream: both engines do the same with them, on real sockets.

#[path = "../../it/differential/differences.rs"]
mod differences;
#[path = "../../it/differential/exchange.rs"]
mod exchange;
#[path = "../../it/differential/message.rs"]
mod message;
#[path = "../../it/differential/pair.rs"]
mod pair;
#[path = "../../it/differential/seen.rs"]
mod seen;
#[path = "../../it/differential/socket.rs"]
mod socket;
#[path = "../../it/support/mod.rs"]
mod support;
#[path = "../../it/differential/tokens.rs"]
mod tokens;
#[path = "../../it/differential/upstream.rs"]
mod upstream;

use std::cell::RefCell;

use exchange::{Exchange, Reply, Then};
use pair::Pair;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static PAIR: RefCell<(Runtime, Pair)> = {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let pair = runtime.block_on(Pair::start(["engine: auto", "engine: pingora"]));
        RefCell::new((runtime, pair))
    };
}

/// Stands between what the client says and each answer of the upstream.
const NEXT: u8 = 0xff;
/// From here up, bytes stand for a token each.
const TOKENS: u8 = 0x80;

/// Where the client's stream is cut, then its bytes, then answers with what the upstream does after each.
fn exchange(bytes: &[u8]) -> Option<Exchange> {
    let (cut, bytes) = bytes.split_first()?;
    let mut parts = bytes.split(|byte| *byte == NEXT);
    let client = [spell(parts.next()?, tokens::REQUEST), tokens::LAST.to_vec()].concat();
    let reply = |bytes: &[u8]| {
        let (then, bytes) = bytes.split_first()?;
        // Reset and late bytes would be a race with the next request.
        let then = if then % 4 == 0 { Then::Keep } else { Then::Close };
        Some(Reply::whole(spell(bytes, tokens::ANSWER), "").then(then))
    };
    let mut exchange = Exchange::new(client, parts.map_while(reply).take(4).collect::<Vec<_>>());
    exchange.cuts.client = vec![usize::from(*cut)];
    Some(exchange)
}

fn spell(bytes: &[u8], tokens: &[&[u8]]) -> Vec<u8> {
    let one = |byte: &u8| match byte.checked_sub(TOKENS).and_then(|index| tokens.get(usize::from(index))) {
        Some(token) => token.to_vec(),
        None => vec![*byte],
    };
    bytes.iter().flat_map(one).collect()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(exchange) = exchange(bytes) else { return };
    PAIR.with_borrow_mut(|(runtime, pair)| {
        runtime.block_on(async {
            for _ in 0..3 {
                let Some(report) = pair.difference_on_the_wires(&exchange).await else { return };
                eprintln!("{report}");
            }
            panic!("the engines differ, three times");
        })
    });
});
