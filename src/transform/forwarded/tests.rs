use proptest::prelude::*;

use super::*;

type Line = (Field, &'static str);

fn trusted() -> TrustedProxies {
    let networks = ["10.0.0.0/8", "fd00::/8", "::ffff:192.168.0.0/112"];
    TrustedProxies::new(&networks.map(|text| text.parse().unwrap()))
}

fn assessed(peer: &str, lines: &'static [Line]) -> Chain<'static> {
    let peer = Peer { address: peer.parse().unwrap(), tls: true, host: "api.example.com" };
    assess(peer, &trusted(), |field| lines.iter().filter(move |line| line.0 == field).map(|line| line.1.as_bytes()))
}

fn client(peer: &str, lines: &'static [Line]) -> String {
    assessed(peer, lines).facts.client.to_string()
}

fn told(peer: &str, lines: &'static [Line]) -> (&'static str, &'static str) {
    let facts = assessed(peer, lines).facts;
    (facts.proto, facts.host)
}

fn outgoing(chain: &Chain<'_>) -> [String; 2] {
    let (mut chained, mut forwarded) = (Vec::new(), Vec::new());
    chain.write_for(&mut chained);
    chain.write_forwarded(&mut forwarded);
    [chained, forwarded].map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn an_untrusted_peer_is_the_client_whatever_it_says() {
    let lines: &[Line] = &[
        (Field::For, "1.1.1.1"),
        (Field::Proto, "http"),
        (Field::Host, "evil.example"),
        (Field::Forwarded, "for=1.1.1.1;proto=http;host=evil.example"),
    ];
    let chain = assessed("203.0.113.9", lines);
    assert_eq!(
        chain.facts,
        ClientFacts { client: "203.0.113.9".parse().unwrap(), proto: "https", host: "api.example.com" }
    );
    assert_eq!(outgoing(&chain), ["203.0.113.9", "for=203.0.113.9;host=api.example.com;proto=https"]);
}

#[test]
fn the_first_untrusted_from_the_right_is_the_client() {
    assert_eq!(client("10.0.0.1", &[(Field::For, "1.1.1.1, 203.0.113.9, 10.0.0.2")]), "203.0.113.9");
    assert_eq!(
        client("10.0.0.1", &[(Field::For, "1.1.1.1"), (Field::For, "203.0.113.9"), (Field::For, "10.0.0.2")]),
        "203.0.113.9"
    );
    assert_eq!(client("10.0.0.1", &[(Field::For, "10.0.0.3, 10.0.0.2")]), "10.0.0.3");
    assert_eq!(client("10.0.0.1", &[(Field::For, " , 203.0.113.9 ,, \t")]), "203.0.113.9");
    assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    assert_eq!(client("10.0.0.1", &[(Field::For, "")]), "10.0.0.1");
}

#[test]
fn every_spelling_of_an_address_is_understood() {
    for (entry, expected) in [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:DB8::9", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
    ] {
        let entry: &'static str = entry;
        let lines: &'static [Line] = Vec::leak(vec![(Field::For, entry)]);
        assert_eq!(client("10.0.0.1", lines), expected, "{entry}");
    }
}

#[test]
fn mapped_addresses_are_the_same_network() {
    assert_eq!(client("::ffff:10.0.0.1", &[(Field::For, "203.0.113.9")]), "203.0.113.9");
    assert_eq!(client("192.168.0.1", &[(Field::For, "203.0.113.9, ::ffff:192.168.255.1")]), "203.0.113.9");
    assert_eq!(client("192.169.0.1", &[(Field::For, "203.0.113.9")]), "192.169.0.1");
    assert!(TrustedProxies::new(&["::/0".parse().unwrap()]).contains("::1".parse().unwrap()));
    assert!(!TrustedProxies::default().contains("127.0.0.1".parse().unwrap()));
}

#[test]
fn nothing_left_of_a_malformed_entry_is_believed_or_passed_on() {
    for entry in [
        "junk",
        "unknown",
        "_hidden",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:99999",
        "1.2.3.4:+80",
        "[::1",
        "::1]",
        "[1.2.3.4]",
        "fe80::1%eth0",
        "\"1.2.3.4\"",
        "1.2.3.4 5.6.7.8",
        "1.2.3.4;x",
        "é",
    ] {
        let line: &'static str = format!("203.0.113.9, {entry}, 10.0.0.2").leak();
        let chain = assessed("10.0.0.1", Vec::leak(vec![(Field::For, line)]));
        assert_eq!(chain.facts.client.to_string(), "10.0.0.2", "{entry}");
        assert_eq!(outgoing(&chain)[0], "10.0.0.2, 10.0.0.1", "{entry}");
    }
}

#[test]
fn forwarded_is_read_where_there_is_no_other_chain() {
    let line = "for=1.1.1.1, For=\"[2001:db8::9]:4711\"; Proto=http;host=\"shop.example.com:8443\" ; ext=\"a, b;\\\"c\", for=10.0.0.2;proto=https";
    let lines: &'static [Line] = Vec::leak(vec![(Field::Forwarded, line)]);
    let chain = assessed("10.0.0.1", lines);
    assert_eq!(chain.facts.client.to_string(), "2001:db8::9");
    assert_eq!((chain.facts.proto, chain.facts.host), ("http", "shop.example.com:8443"));
    assert_eq!(
        outgoing(&chain),
        [
            "2001:db8::9, 10.0.0.2, 10.0.0.1",
            "for=\"[2001:db8::9]\";host=\"shop.example.com:8443\";proto=http, for=10.0.0.2, for=10.0.0.1"
        ]
    );
    assert_eq!(client("10.0.0.1", &[(Field::For, "203.0.113.9"), (Field::Forwarded, "for=1.1.1.1")]), "203.0.113.9");
}

#[test]
fn a_node_that_is_not_named_ends_the_walk_but_what_its_proxy_saw_counts() {
    for node in ["unknown", "_hidden", "_SEVKISEK:_port", "unknown:80"] {
        let line: &'static str =
            format!("for=1.1.1.1;proto=https, for={node};proto=http;host=a.example, for=10.0.0.2").leak();
        let chain = assessed("10.0.0.1", Vec::leak(vec![(Field::Forwarded, line)]));
        assert_eq!(chain.facts.client.to_string(), "10.0.0.2", "{node}");
        assert_eq!((chain.facts.proto, chain.facts.host), ("http", "a.example"), "{node}");
    }
    assert_eq!(told("10.0.0.1", &[(Field::Forwarded, "proto=http")]), ("http", "api.example.com"));
}

#[test]
fn malformed_elements_tell_nothing() {
    for element in [
        "for",
        "for=",
        "=1.1.1.1",
        "for=1.1.1.1;for=1.1.1.1",
        "for=1.1.1.1 proto=http",
        "for=\"1.1.1.1",
        "f or=1.1.1.1",
        "for=\"1.1.1.1\"x",
        "for=1.1.1.1;proto",
        "for=\"1.1.1\\.1\"",
        "for=junk",
        "\"for=1.1.1.1\"",
        "for=\"\"",
    ] {
        let line: &'static str = format!("for=203.0.113.9, {element}").leak();
        let chain = assessed("10.0.0.1", Vec::leak(vec![(Field::Forwarded, line)]));
        assert_eq!((chain.facts.client.to_string().as_str(), chain.facts.proto), ("10.0.0.1", "https"), "{element}");
    }
}

#[test]
fn proto_and_host_stand_beside_the_client_or_come_from_the_peer() {
    let aligned: &[Line] = &[
        (Field::For, "1.1.1.1, 203.0.113.9, 10.0.0.2"),
        (Field::Proto, "https, http, https"),
        (Field::Host, "evil.example, shop.example, inner.example"),
    ];
    assert_eq!(told("10.0.0.1", aligned), ("http", "shop.example"));
    let single: &[Line] =
        &[(Field::For, "203.0.113.9, 10.0.0.2"), (Field::Proto, "HTTP"), (Field::Host, "Shop.example:8443")];
    assert_eq!(told("10.0.0.1", single), ("http", "Shop.example:8443"));
    let uneven: &[Line] =
        &[(Field::For, "203.0.113.9"), (Field::Proto, "evil, https, ws"), (Field::Host, "e.example, s.example")];
    assert_eq!(told("10.0.0.1", uneven), ("http", "s.example"));
    assert_eq!(told("10.0.0.1", &[(Field::Proto, "http"), (Field::Host, "[::1]:80")]), ("http", "[::1]:80"));
}

#[test]
fn what_is_no_scheme_or_host_is_replaced_by_the_connections_own() {
    for host in ["a b", "a\"b", "user@a", "a/b", "a:99999", "a:+80", "a:", "[::1", "[x]", "é.example", ""] {
        let lines: &'static [Line] = Vec::leak(vec![(Field::Host, host), (Field::Proto, "gopher")]);
        assert_eq!(told("10.0.0.1", lines), ("https", "api.example.com"), "{host}");
    }
    let peer = Peer { address: "203.0.113.9".parse().unwrap(), tls: false, host: "not a host\r\n" };
    let chain = assess(peer, &trusted(), |_| std::iter::empty());
    assert_eq!(chain.facts.host, "");
    assert_eq!(outgoing(&chain)[1], "for=203.0.113.9;proto=http");
}

#[test]
fn long_chains_are_believed_up_to_the_limits() {
    let chain_of = |count: usize, gap: &str| -> &'static [Line] {
        let line: &'static str = format!("203.0.113.9{gap}{}", ",10.0.0.2".repeat(count)).leak();
        Vec::leak(vec![(Field::For, line)])
    };
    assert_eq!(client("10.0.0.1", chain_of(MAX_ENTRIES - 1, "")), "203.0.113.9");
    assert_eq!(client("10.0.0.1", chain_of(MAX_ENTRIES, "")), "10.0.0.2");
    assert_eq!(client("10.0.0.1", chain_of(100_000, "")), "10.0.0.2");
    assert_eq!(client("10.0.0.1", chain_of(1, &" ".repeat(MAX_BYTES))), "10.0.0.2");
    assert_eq!(client("10.0.0.1", chain_of(1, &",".repeat(MAX_BYTES))), "10.0.0.2");
}

/// Pieces that forwarding fields are made of, in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "10.0.0.2",
            "203.0.113.7",
            "2001:db8::1",
            "[fd00::1]:80",
            "::ffff:10.1.1.1",
            "192.168.3.4",
            "unknown",
            "_x",
            ", ",
            ",",
            ";",
            "\"",
            "\\",
            "for=",
            "For=\"",
            "proto=https",
            "host=",
            "http",
            "https",
            "a.example",
            ":80",
            " ",
            "=",
            "\n\0",
            "\n\x01",
            "\n\x02",
            "\n\x03",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_client_chooses_who_it_is(soup in soup()) {
        invariants::check(&soup);
    }

    #[test]
    fn addresses_are_written_as_they_are_read(address in any::<IpAddr>()) {
        let peer = Peer { address, tls: false, host: "a" };
        let [chained, forwarded] = outgoing(&assess(peer, &trusted(), |_| std::iter::empty()));
        prop_assert_eq!(&chained, &address.to_canonical().to_string());
        prop_assert_eq!(forwarded.contains('['), address.to_canonical().is_ipv6());
    }
}
