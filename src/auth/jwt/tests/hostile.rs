//! Tokens that somebody might try, each with the reason for which it is refused.

mod signatures;

use Reason::{
    JwtAlgorithm, JwtAudience, JwtClaims, JwtExpired, JwtIssuer, JwtKeyUnknown, JwtMalformed, JwtNotYetValid,
    JwtSignature, JwtType,
};

use super::*;

type Case = (String, String, Reason);

/// HS256 where the algorithm does not matter: it is the quickest to sign with.
fn with_header(header: &str) -> String {
    mint::signed(Algorithm::Hs256, header, &mint::claims().to_string())
}

fn with_claims(claims: &str) -> String {
    mint::signed(Algorithm::Hs256, r#"{"alg":"HS256","typ":"JWT"}"#, claims)
}

fn case(name: impl Into<String>, text: impl Into<String>, reason: Reason) -> Case {
    (name.into(), text.into(), reason)
}

/// Header, claims and signature of a good token.
fn parts(algorithm: Algorithm) -> [String; 3] {
    let text = mint::token(algorithm, &mint::claims());
    let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

fn forms() -> Vec<Case> {
    let good = mint::token(Algorithm::Hs256, &mint::claims());
    let [header, claims, signature] = parts(Algorithm::Hs256);
    let mut cases = vec![
        case("empty signature", format!("{header}.{claims}."), JwtMalformed),
        case("empty header", format!(".{claims}.{signature}"), JwtMalformed),
        case("empty claims", format!("{header}..{signature}"), JwtMalformed),
        case("two parts", format!("{header}.{claims}"), JwtMalformed),
        case("four parts", format!("{good}.{signature}"), JwtMalformed),
        case("dot at the end", format!("{good}."), JwtMalformed),
        case("dot at the start", format!(".{good}"), JwtMalformed),
        case("five parts", format!("{good}.AA.AA"), JwtMalformed),
        case("scheme", format!("Bearer {good}"), JwtMalformed),
        case("quoted", format!("\"{good}\""), JwtMalformed),
        case("two tokens", format!("{good},{good}"), JwtMalformed),
        case("percent-encoded", good.replace('.', "%2E"), JwtMalformed),
        case("parts in another order", format!("{claims}.{header}.{signature}"), JwtMalformed),
        case("JSON serialization", format!(r#"{{"payload":"{claims}","protected":"{header}"}}"#), JwtMalformed),
        case("longer than 16 KiB", format!("{header}.{}.{signature}", "A".repeat(16 * 1024)), JwtMalformed),
        case("signature longer than any", format!("{header}.{claims}.{}", "A".repeat(1368)), JwtMalformed),
        case(
            "header longer than 2 KiB",
            with_header(&format!(r#"{{"alg":"HS256","x":"{}"}}"#, "y".repeat(2048))),
            JwtMalformed,
        ),
        case(
            "header of 2 KiB and one",
            with_header(&format!(r#"{{"alg":"HS256","x":"{}"}}"#, "y".repeat(2028))),
            JwtMalformed,
        ),
    ];
    for text in ["", ".", "..", "...", "a", "a.b", "a.b.c", "null", "undefined", "\u{0}.\u{0}.\u{0}"] {
        cases.push(case(format!("text {text:?}"), text, JwtMalformed));
    }
    for (at, part) in [&header, &claims, &signature].into_iter().enumerate() {
        let other = |text: String| {
            let mut parts = [header.clone(), claims.clone(), signature.clone()];
            parts[at] = text;
            parts.join(".")
        };
        for (name, text) in [
            ("padding", format!("{part}=")),
            ("two signs of padding", format!("{part}==")),
            ("space before", format!(" {part}")),
            ("space behind", format!("{part} ")),
            ("line end", format!("{part}\n")),
            ("NUL", format!("{part}\0")),
            ("standard alphabet", format!("+/{part}")),
            ("a letter beyond ASCII", format!("\u{e9}{part}")),
            ("a letter that cuts to ASCII", format!("\u{141}{part}")),
            ("one sign of four", format!("{}A", "AAAA".repeat(3))),
            ("bits that stand for nothing, of two", "AAAAAB".to_owned()),
            ("bits that stand for nothing, of four", "AAAAP".to_owned() + "AB"),
        ] {
            cases.push(case(format!("{name} in part {at}"), other(text), JwtMalformed));
        }
    }
    cases
}

fn headers() -> Vec<Case> {
    let deep = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(16), "]".repeat(16));
    let deepest = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(900), "]".repeat(900));
    let long_id = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(257));
    let malformed = [
        "",
        " ",
        "[]",
        "\"alg\"",
        "5",
        "null",
        "true",
        "{}",
        "{",
        "HS256",
        &deep,
        &deepest,
        &long_id,
        r#"["alg","HS256"]"#,
        r#"{"alg":"HS256"}{"#,
        r#"{"alg":"HS256"},"#,
        r#"{"alg":"HS256"} x"#,
        r#"{"alg":"HS256",}"#,
        r#"{alg:"HS256"}"#,
        r#"{'alg':'HS256'}"#,
        r#"{"alg":"HS256"/**/}"#,
        "\u{feff}{\"alg\":\"HS256\"}",
        r#"{"alg":"HS256","x":NaN}"#,
        r#"{"alg":"HS256","x":1e999}"#,
        r#"{"alg":"HS256","x":01}"#,
        r#"{"alg":"HS256","x":"\ud800"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","x":{"a":1,"a":1}}"#,
        r#"{"alg":"HS256","x":[{"a":[{"b":1,"c":2,"b":3}]}]}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"Alg":"HS256","typ":"JWT"}"#,
        r#"{"alg ":"HS256","typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"alg":true}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":{"name":"HS256"}}"#,
        r#"{"alg":"HS256","typ":1}"#,
        r#"{"alg":"HS256","typ":null}"#,
        r#"{"alg":"HS256","typ":["JWT"]}"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","kid":null}"#,
        r#"{"alg":"HS256","kid":{"x":1}}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","cr\u0069t":["x"],"x":1}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","enc":"A128GCM"}"#,
    ];
    let mut cases: Vec<Case> = malformed
        .iter()
        .map(|header| case(format!("header {header:.60}"), with_header(header), JwtMalformed))
        .collect();
    let [_, claims, signature] = parts(Algorithm::Hs256);
    let bytes = mint::encode(b"{\"alg\":\"HS256\",\"x\":\"\xff\"}");
    cases.push(case("header is not UTF-8", format!("{bytes}.{claims}.{signature}"), JwtMalformed));
    for algorithm in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "hs256",
        "HS256 ",
        " HS256",
        "Hs256",
        "HS384",
        "HS512",
        "HS256\u{0}",
        "ES256K",
        "RS1",
        "rs256",
        "eddsa",
        "Ed25519",
        "Ed448",
        "dir",
        "RSA-OAEP",
        "A128KW",
        "SHA256",
        "HMAC",
    ] {
        let header = json!({"alg": algorithm, "typ": "JWT"}).to_string();
        cases.push(case(format!("alg {algorithm:?}"), with_header(&header), JwtAlgorithm));
    }
    for kind in [
        "",
        "ID",
        "id+jwt",
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "JOSE",
        "jwt ",
        "application/",
        "text/jwt",
        "application/application/jwt",
        "jwt,at+jwt",
    ] {
        let header = json!({"alg": "HS256", "typ": kind}).to_string();
        cases.push(case(format!("typ {kind:?}"), with_header(&header), JwtType));
    }
    cases.push(case("no typ", with_header(r#"{"alg":"HS256"}"#), JwtType));
    cases
}

fn claims() -> Vec<Case> {
    let mut cases = Vec::new();
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(16), "]".repeat(16));
    let deepest = format!(r#"{{"x":{}1{}}}"#, r#"{"x":"#.repeat(1500), "}".repeat(1500));
    let good = mint::claims().to_string();
    let inside = &good[1..];
    for claims in [
        "",
        "[]",
        "5",
        "\"x\"",
        "null",
        &deep,
        &deepest,
        &format!("{good}x"),
        &format!("{good}{good}"),
        &format!("{{\"exp\":1,{inside}"),
        &format!("{{\"\\u0065xp\":99999999999,{inside}"),
        &format!("{{\"iss\":\"x\",{inside}"),
        &format!("{{\"x\":{{\"y\":1,\"y\":2}},{inside}"),
        &format!("{{\"x\":1e999,{inside}"),
        &format!("{{\"x\":-,{inside}"),
        &format!("{{\"x\":\"\\udc00\",{inside}"),
        &format!("{{\"x\":\"\n\",{inside}"),
        &format!("\u{feff}{good}"),
    ] {
        cases.push(case(format!("claims {claims:.60}"), with_claims(claims), JwtMalformed));
    }
    let mut changed = |name: &str, value: Value, reason: Reason| {
        let mut claims = mint::claims();
        claims[name] = value;
        let shown: String = claims[name].to_string().chars().take(60).collect();
        cases.push(case(format!("{name} {shown}"), with_claims(&claims.to_string()), reason));
    };
    let odd = [json!(null), json!(true), json!({}), json!([1]), json!([null]), json!([["x"]])];
    for value in odd.iter().cloned().chain([json!(1)]) {
        for name in ["iss", "aud", "scope"] {
            changed(name, value.clone(), JwtClaims);
        }
    }
    for value in odd.iter().cloned().chain([json!("x"), json!("1900000000"), json!([])]) {
        for name in ["exp", "nbf", "iat"] {
            changed(name, value.clone(), JwtClaims);
        }
    }
    let long = "x".repeat(513);
    for value in odd.into_iter().chain([
        json!(""),
        json!(1.5),
        json!(1e30),
        json!(long),
        json!("a\nb"),
        json!("\u{0}"),
        json!("a\u{7f}"),
    ]) {
        for name in ["sub", "azp", "jti"] {
            changed(name, value.clone(), JwtClaims);
        }
    }
    for value in [
        json!(["a b"]),
        json!([""]),
        json!(["a\tb"]),
        json!("a\tb"),
        json!("a\nb"),
        json!("a\u{a0}b"),
        json!(vec!["x"; 1001]),
        json!("x ".repeat(1001)),
    ] {
        changed("scope", value, JwtClaims);
    }
    for value in [
        "",
        "https://id.example/",
        "HTTPS://id.example",
        "https://id.example ",
        "https://evil.example",
        "https://id.exampl",
    ] {
        changed("iss", json!(value), JwtIssuer);
    }
    for value in [
        json!(""),
        json!([]),
        json!("https://api.example/"),
        json!("https://api.exampl"),
        json!("https://api.example https://other.example"),
        json!(["x", "y"]),
    ] {
        changed("aud", value, JwtAudience);
    }
    let now = NOW.as_secs();
    for value in [
        json!(0),
        json!(1),
        json!(-1),
        json!(now - 5),
        json!(now - 6),
        json!(now as f64 - 5.5),
        json!(-1e300),
        json!(1e-300),
    ] {
        changed("exp", value, JwtExpired);
    }
    for name in ["nbf", "iat"] {
        for value in [json!(now + 6), json!(now + 100_000), json!(now * 1000), json!(u64::MAX), json!(1e300)] {
            changed(name, value, JwtNotYetValid);
        }
    }
    for (name, reason) in [("iss", JwtIssuer), ("aud", JwtAudience), ("exp", JwtClaims)] {
        let text = with_claims(&mint::claims_with(name, Value::Null).to_string());
        cases.push(case(format!("no {name}"), text, reason));
    }
    cases
}

#[test]
fn every_hostile_token_is_refused_for_its_reason() {
    let cases = [forms(), headers(), signatures::all(), claims()].concat();
    assert!(cases.len() > 400, "{}", cases.len());
    let mut wrong = Vec::new();
    for (name, text, expected) in &cases {
        let found = judge(text);
        match found {
            Err(fault) if fault.reason == *expected => {
                // What is told to the client says nothing of the token.
                assert!(fault.detail.ends_with('.') && fault.detail.is_ascii(), "{}", fault.detail);
            }
            other => wrong.push(format!("{name}: {other:?} instead of {expected:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Without a key that fits any `kid`, an unknown one is told as such.
#[test]
fn a_key_that_is_not_in_the_set_is_unknown() {
    let mut keys = mint::jwk(Algorithm::Es256, "a");
    keys["alg"] = "ES256".into();
    let (set, _) = KeySet::from_jwks(json!({"keys": [keys]}).to_string().as_bytes(), Algorithm::ALL).unwrap();
    let issuer = mint::issuer();
    for kid in ["b", "", "A", "a ", "../../../dev/null", "a\u{0}"] {
        let header = json!({"alg": "ES256", "kid": kid, "typ": "JWT"}).to_string();
        let text = mint::signed(Algorithm::Es256, &header, &mint::claims().to_string());
        let token = parse(&text).unwrap();
        assert!(!token.has_key(&set), "{kid:?}");
        assert_eq!(reason(token.verify(&issuer, &set, &[], NOW)), Some(JwtKeyUnknown), "{kid:?}");
    }
    for header in [json!({"alg": "ES256", "kid": "a", "typ": "JWT"}), json!({"alg": "ES256", "typ": "JWT"})] {
        let text = mint::signed(Algorithm::Es256, &header.to_string(), &mint::claims().to_string());
        let token = parse(&text).unwrap();
        assert!(token.has_key(&set) && token.verify(&issuer, &set, &[], NOW).is_ok());
    }
}
