//! What holds for any bytes.

use proptest::prelude::*;

use super::*;

/// Heads put together from good and bad pieces, so that most get past the first line.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "(GET|POST|OPTIONS) /[a-z?/%&=]{0,90} HTTP/1\\.[01]\r\n",
        1 => "(GET|OPTIONS|TRACE|connect|G@T) (\\*|https?://[ab@.:1]{0,5}[/?]?[a-z]{0,3}|a:1|/#) HTTP/[12]\\.[012]\r?\n",
        1 => "[A-Z]{1,40}[ \t]{1,2}[!-~]{1,20}[ ]{1,2}[HTP/12.]{0,9}\r\n",
    ];
    let field = prop_oneof![
        3 => "(Host|host): (a|b|a:1)\r\n",
        3 => "X-[A-Za-z_]{0,9}:[ \t]?[ -~\t]{0,40}\r\n",
        1 => "(Content-Length|Transfer-Encoding|Content_Length): ?(0|5|05|5,5|chunked|gzip)\r\n",
        1 => "(Connection|Upgrade|Expect): ?(close|x|host|upgrade|100-continue|,|a/b)\r\n",
        1 => "[ -~\r\n\t]{0,12}\r?\n?",
    ];
    (
        prop_oneof![6 => Just(""), 1 => Just("\r\n"), 1 => Just("\n")],
        line,
        proptest::collection::vec(field, 0..14),
        "\r?\n?[ -~\r\n]{0,8}",
    )
        .prop_map(|(start, line, fields, end)| format!("{start}{line}{}{end}", fields.concat()).into_bytes())
}

fn write(head: &Head<'_, '_>) -> Vec<u8> {
    let scheme = match head.target {
        Target::Absolute { https: true, .. } => "https://",
        _ if head.target.authority().is_some() => "http://",
        _ => "",
    };
    let path = if matches!(head.target, Target::Asterisk { authority: Some(_) }) { "" } else { head.target.path() };
    let query = head.target.query().map_or_else(String::new, |query| format!("?{query}"));
    let version = if head.version == Version::Http11 { "1.1" } else { "1.0" };
    let authority = head.target.authority().unwrap_or_default();
    let mut bytes = format!("{} {scheme}{authority}{path}{query} HTTP/{version}\r\n", head.method).into_bytes();
    for field in head.fields {
        bytes.extend([field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_gives_the_same_result(bytes in nearly_a_head()) {
        check_invariants(&bytes);
    }

    #[test]
    fn any_bytes_keep_the_guarantees(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_invariants(&bytes);
        check_invariants(&[b"GET / HTTP/1.1\r\nHost: a\r\n", &bytes[..]].concat());
    }

    #[test]
    fn what_was_read_and_written_reads_the_same(bytes in nearly_a_head()) {
        let mut room = Room::new();
        if let Ok(Status::Complete(head, _)) = parse(&bytes, &mut room, &LIMITS) {
            let written = write(&head);
            let mut room = Room::new();
            prop_assert_eq!(parse(&written, &mut room, &LIMITS), Ok(Status::Complete(head, written.len())));
        }
    }
}
