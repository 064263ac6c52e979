//! What holds for whatever is sent; checked by the property tests and by the fuzz target, which brings the same names.

use std::net::IpAddr;

use super::{Chain, Field, Peer, TrustedProxies, assess};

const TRUSTED: [&str; 3] = ["10.0.0.0/8", "fd00::/8", "::ffff:192.168.0.0/112"];

/// Lines are separated by a byte that no field value holds; the first byte of each says which field it belongs to.
pub(crate) fn check(data: &[u8]) {
    let lines: Vec<(Field, &[u8])> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let (kind, value) = line.split_first()?;
            Field::ALL.get(usize::from(*kind) % Field::ALL.len()).map(|field| (*field, value))
        })
        .collect();
    untrusted_peers_are_not_believed(&lines);
    what_is_passed_on_reads_the_same(&lines);
    nothing_left_of_the_client_counts(&lines);
}

fn trusted() -> TrustedProxies {
    TrustedProxies::new(&TRUSTED.map(|text| text.parse().expect("a network")))
}

fn peer(address: &str) -> Peer<'static> {
    Peer { address: address.parse().expect("an address"), tls: false, host: "own.example" }
}

fn assessed<'a>(address: &str, lines: &'a [(Field, &'a [u8])]) -> Chain<'a> {
    assess(peer(address), &trusted(), |field| lines.iter().filter(move |line| line.0 == field).map(|line| line.1))
}

fn untrusted_peers_are_not_believed(lines: &[(Field, &[u8])]) {
    for (address, canonical) in
        [("203.0.113.9", "203.0.113.9"), ("::ffff:203.0.113.9", "203.0.113.9"), ("2001:db8::9", "2001:db8::9")]
    {
        let chain = assessed(address, lines);
        let expected: IpAddr = canonical.parse().expect("an address");
        assert_eq!((chain.facts.client, chain.facts.proto, chain.facts.host), (expected, "http", "own.example"));
        assert_eq!(written(|out| chain.write_for(out)), canonical.as_bytes());
    }
}

/// The next proxy, which trusts this one, comes to the same conclusion from either field.
fn what_is_passed_on_reads_the_same(lines: &[(Field, &[u8])]) {
    let chain = assessed("10.0.0.1", lines);
    let (chained, forwarded) = (written(|out| chain.write_for(out)), written(|out| chain.write_forwarded(out)));
    assert!(chained.iter().chain(&forwarded).all(|byte| matches!(byte, b' '..=b'~')));
    let x_fields = [
        (Field::For, chained.as_slice()),
        (Field::Proto, chain.facts.proto.as_bytes()),
        (Field::Host, chain.facts.host.as_bytes()),
    ];
    // A chain that was as long as may be believed has grown by one, and loses its client at the next proxy.
    let full = chained.split(|byte| *byte == b',').count() > super::MAX_ENTRIES;
    for next in [&x_fields[..], &[(Field::Forwarded, forwarded.as_slice())]] {
        let next = assessed("10.0.0.2", next);
        assert!(full || next.facts == chain.facts, "{:?} {:?}", next.facts, chain.facts);
    }
}

/// Whatever a client sends in front of what its proxy appends, on the same line or on one of its own.
fn nothing_left_of_the_client_counts(lines: &[(Field, &[u8])]) {
    let chained = &b"203.0.113.9, 10.0.0.7"[..];
    let forwarded =
        &b"for=203.0.113.9;proto=https;host=\"a.example:1\";ext=\", for=1.1.1.1\", for=10.0.0.7;proto=http"[..];
    for (field, appended) in [(Field::For, chained), (Field::Forwarded, forwarded)] {
        // The other chain is only asked where this one is missing.
        let sent: Vec<_> = lines.iter().filter(|line| field == Field::For || line.0 != Field::For).copied().collect();
        let joined: Vec<u8> =
            sent.iter().flat_map(|line| [line.1, b", "]).chain([appended]).flatten().copied().collect();
        for last in [appended, joined.as_slice()] {
            let all: Vec<_> = sent.iter().copied().chain([(field, last)]).collect();
            let facts = assessed("10.0.0.1", &all).facts;
            assert_eq!(facts.client, "203.0.113.9".parse::<IpAddr>().expect("an address"));
            if field == Field::Forwarded {
                assert_eq!((facts.proto, facts.host), ("https", "a.example:1"));
            }
        }
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}
