use proptest::prelude::*;

use super::*;

fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {protocol} {} {} {} {}\r\n", source.ip(), destination.ip(), source.port(), destination.port())
        .into_bytes()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = V2_SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn v2_addresses(source: SocketAddr, destination: SocketAddr, options: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(ip) => rest.extend(ip.octets()),
            IpAddr::V6(ip) => rest.extend(ip.octets()),
        }
    }
    rest.extend(source.port().to_be_bytes());
    rest.extend(destination.port().to_be_bytes());
    rest.extend(options);
    v2(0x21, if source.is_ipv4() { TCP4 } else { TCP6 }, &rest)
}

fn done(consumed: usize, source: &str, destination: &str) -> Parsed {
    Parsed::Done { consumed, source: Some(source.parse().unwrap()), destination: Some(destination.parse().unwrap()) }
}

fn unknown(consumed: usize) -> Parsed {
    Parsed::Done { consumed, source: None, destination: None }
}

#[test]
fn reads_version_1() {
    for (text, from, to) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.9 51000 443\r\n", "192.0.2.1:51000", "198.51.100.9:443"),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            "255.255.255.255:65535",
            "255.255.255.255:65535",
        ),
        ("PROXY TCP4 192.0.2.1 198.51.100.9 0 0\r\n", "192.0.2.1:0", "198.51.100.9:0"),
        ("PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2\r\n", "[2001:db8::1]:1", "[2001:db8::2]:2"),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1", "[::1]:2"),
    ] {
        let followed = format!("{text}GET / HTTP/1.1\r\n");
        assert_eq!(parse(followed.as_bytes()), done(text.len(), from, to), "{text}");
    }
    assert_eq!(parse(b"PROXY UNKNOWN\r\n"), unknown(15));
    assert_eq!(parse(b"PROXY UNKNOWN ffff:f:: whatever 1\r\nx"), unknown(35));
    let longest =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), V1_LONGEST);
    assert_eq!(parse(longest.as_bytes()), unknown(V1_LONGEST));
}

#[test]
fn refuses_hostile_version_1() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(long.len(), V1_LONGEST + 1);
    for text in [
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\0 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY UNKNOWN \u{e9}\r\n",
        &long,
        &long[..V1_LONGEST],
    ] {
        assert!(matches!(parse(text.as_bytes()), Parsed::Invalid(_)), "{text:?}: {:?}", parse(text.as_bytes()));
        check_invariants(text.as_bytes());
    }
}

#[test]
fn reads_version_2() {
    let v4 = v2_addresses("192.0.2.1:51000".parse().unwrap(), "198.51.100.9:443".parse().unwrap(), &[]);
    assert_eq!(parse(&v4), done(28, "192.0.2.1:51000", "198.51.100.9:443"));
    let v6 = v2_addresses(
        "[2001:db8::1]:1".parse().unwrap(),
        "[::ffff:192.0.2.1]:2".parse().unwrap(),
        &[0x04, 0, 1, 9, 0x20, 0, 0],
    );
    assert_eq!(parse(&v6), done(59, "[2001:db8::1]:1", "192.0.2.1:2"));

    assert_eq!(parse(&v2(0x20, 0x00, &[])), unknown(16));
    assert_eq!(parse(&v2(0x20, 0xff, b"anything")), unknown(24));
    assert_eq!(parse(&v2(0x21, 0x00, b"anything")), unknown(24));
    assert_eq!(parse(&v2(0x21, UNIX, &[0; 216])), unknown(232));
    assert_eq!(parse(&v2(0x20, 0x00, &[0; V2_LONGEST_REST])), unknown(LONGEST));
}

#[test]
fn refuses_hostile_version_2() {
    let tcp4 = |options: &[u8]| v2_addresses("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap(), options);
    let mut wrong_signature = tcp4(&[]);
    wrong_signature[11] = b'\r';
    for (what, bytes) in [
        ("signature", wrong_signature),
        ("version 1", v2(0x11, TCP4, &[0; 12])),
        ("version 3", v2(0x31, TCP4, &[0; 12])),
        ("command 2", v2(0x22, TCP4, &[0; 12])),
        ("family 4", v2(0x21, 0x41, &[0; 12])),
        ("transport 3", v2(0x21, 0x13, &[0; 12])),
        ("tcp without family", v2(0x21, 0x01, &[0; 12])),
        ("udp4", v2(0x21, UDP4, &[0; 12])),
        ("udp6", v2(0x21, UDP6, &[0; 36])),
        ("unix datagram", v2(0x21, UNIX_DATAGRAM, &[0; 216])),
        ("short tcp4", v2(0x21, TCP4, &[0; 11])),
        ("short tcp6", v2(0x21, TCP6, &[0; 35])),
        ("short unix", v2(0x21, UNIX, &[0; 215])),
        ("too long", v2(0x20, 0x00, &[0; V2_LONGEST_REST + 1])),
        ("option cut off", tcp4(&[4])),
        ("option length cut off", tcp4(&[4, 0])),
        ("option overruns", tcp4(&[4, 0, 2, 0])),
        ("second option overruns", tcp4(&[4, 0, 0, 5, 0xff, 0xff])),
        ("line break only", b"\r\n\r\nGET / HTTP/1.1".to_vec()),
    ] {
        assert!(matches!(parse(&bytes), Parsed::Invalid(_)), "{what}: {:?}", parse(&bytes));
        check_invariants(&bytes);
    }
}

#[test]
fn a_wrong_byte_is_refused_as_soon_as_it_is_there() {
    assert!(matches!(parse(b"G"), Parsed::Invalid(_)));
    assert!(matches!(parse(b"PO"), Parsed::Invalid(_)));
    assert!(matches!(parse(b"\r\n\n"), Parsed::Invalid(_)));
    assert!(matches!(parse(&v2(0x11, TCP4, &[])[..13]), Parsed::Invalid(_)));
    assert!(matches!(parse(&v2(0x21, UDP4, &[])[..14]), Parsed::Invalid(_)));
}

fn addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = (any::<(Ipv4Addr, u16)>(), any::<(Ipv4Addr, u16)>())
        .prop_map(|(a, b)| (SocketAddr::from(a), SocketAddr::from(b)));
    let v6 = (any::<(Ipv6Addr, u16)>(), any::<(Ipv6Addr, u16)>())
        .prop_map(|(a, b)| (SocketAddr::from(a), SocketAddr::from(b)));
    prop_oneof![v4, v6]
}

fn canonical(address: SocketAddr) -> Option<SocketAddr> {
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6).prop_map(|list| {
        list.into_iter()
            .flat_map(|(kind, value)| {
                let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
                [vec![kind, high, low], value].concat()
            })
            .collect()
    })
}

/// Bytes that get past the first checks more often than any.
fn nearly_a_header() -> impl Strategy<Value = Vec<u8>> {
    let rest = || proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        rest(),
        rest().prop_map(|rest| [V1_START, &rest].concat()),
        rest().prop_map(|rest| [&V2_SIGNATURE[..], &rest].concat()),
        (0x20..=0x21u8, prop_oneof![Just(TCP4), Just(TCP6), Just(UNIX), Just(0)], rest())
            .prop_map(|(command, family, rest)| v2(command, family, &rest)),
        "PROXY (TCP4|TCP6|UNKNOWN)[ 0-9a-f:.]{0,110}\r\n".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read((source, destination) in addresses(), options in options(), tail in any::<Vec<u8>>()) {
        for header in [v1(source, destination), v2_addresses(source, destination, &options)] {
            let expected = Parsed::Done { consumed: header.len(), source: canonical(source), destination: canonical(destination) };
            prop_assert_eq!(parse(&[&header[..], &tail].concat()), expected);
            for length in 0..header.len() {
                prop_assert_eq!(parse(&header[..length]), Parsed::Incomplete);
            }
        }
    }

    #[test]
    fn any_bytes_keep_the_guarantees(bytes in nearly_a_header()) {
        check_invariants(&bytes);
    }
}
