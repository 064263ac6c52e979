//! Signed by whoever does not have the key, or with a key for something else.

use aws_lc_rs::hmac;

use super::*;

pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let message = |header: &Value| {
        format!(
            "{}.{}",
            mint::encode(header.to_string().as_bytes()),
            mint::encode(mint::claims().to_string().as_bytes())
        )
    };
    let with = |header: &Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let message = message(header);
        format!("{message}.{}", mint::encode(&sign(message.as_bytes())))
    };

    // What is public taken for the secret.
    let rsa = mint::pair(Algorithm::Rs256);
    let ec = mint::pair(Algorithm::Es256);
    let modulus = mint::jwk(Algorithm::Rs256, "x")["n"].as_str().unwrap().to_owned();
    for (name, secret) in [
        ("PEM of the RSA key", rsa.public_key_pem().into_bytes()),
        ("PEM of the RSA key without line end", rsa.public_key_pem().trim_end().as_bytes().to_vec()),
        ("DER of the RSA key", rsa.public_key_raw().to_vec()),
        ("modulus", base64url::decoded(&modulus).unwrap()),
        ("modulus in base64", modulus.into_bytes()),
        ("PEM of the P-256 key", ec.public_key_pem().into_bytes()),
        ("point of the P-256 key", ec.public_key_raw().to_vec()),
        ("Ed25519 key", mint::pair(Algorithm::EdDsa).public_key_raw().to_vec()),
        ("nothing", Vec::new()),
        ("zeroes", vec![0; 32]),
        ("the secret with a zero", [mint::SECRET, &[1]].concat()),
    ] {
        let sign = |message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message).as_ref().to_vec();
        for (kid, reason) in [("RS256", JwtAlgorithm), ("ES256", JwtAlgorithm), ("HS256", JwtSignature)] {
            let header = json!({"alg": "HS256", "kid": kid, "typ": "JWT"});
            cases.push(case(format!("HMAC with {name} as {kid}"), with(&header, &sign), reason));
        }
    }

    // One key, one algorithm.
    for algorithm in mint::PUBLIC {
        for named in mint::PUBLIC.iter().filter(|named| *named != algorithm) {
            let header = json!({"alg": algorithm.as_str(), "kid": named.as_str(), "typ": "JWT"});
            let text = with(&header, &|message| mint::sign(*algorithm, message));
            cases.push(case(format!("{algorithm:?} with the key of {named:?}"), text, JwtAlgorithm));
            let header = json!({"alg": named.as_str(), "kid": named.as_str(), "typ": "JWT"});
            let text = with(&header, &|message| mint::sign(*algorithm, message));
            cases.push(case(format!("{algorithm:?} said to be {named:?}"), text, JwtSignature));
        }
    }

    // Keys that nobody gave us.
    let mut own = mint::jwk(Algorithm::Es256, "ES256");
    let (x, y) = mint::stranger().public_key_raw()[1..].split_at(32);
    (own["x"], own["y"]) = (mint::encode(x).into(), mint::encode(y).into());
    let strange = |message: &[u8]| mint::sign_with(mint::stranger(), Algorithm::Es256, message);
    for (name, extra, value) in [
        ("no more", "x", json!(0)),
        ("its own key", "jwk", own),
        ("an address of keys", "jku", json!("https://evil.example/keys")),
        ("an address of a certificate", "x5u", json!("https://evil.example/certificate")),
        ("a certificate", "x5c", json!(["MIIB"])),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "ES256", "typ": "JWT"});
        header[extra] = value;
        cases.push(case(format!("a stranger's, with {name}"), with(&header, &strange), JwtSignature));
    }
    for kid in [
        "unknown",
        "",
        "es256",
        "ES256 ",
        "../../../dev/null",
        "' OR 1=1 --",
        "https://evil.example",
        "*",
        "ES256\u{0}",
    ] {
        let header = json!({"alg": "ES256", "kid": kid, "typ": "JWT"});
        cases.push(case(format!("kid {kid:?}"), with(&header, &strange), JwtAlgorithm));
    }

    // Signatures that are none.
    for algorithm in Algorithm::ALL {
        let name = algorithm.as_str();
        let header = json!({"alg": name, "kid": name, "typ": "JWT"});
        let length = mint::sign(*algorithm, b"").len();
        let good = |message: &[u8]| mint::sign(*algorithm, message);
        let mut bad = |what: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
            cases.push(case(format!("{name}: {what}"), with(&header, sign), JwtSignature));
        };
        bad("zeroes", &|_| vec![0; length]);
        bad("ones", &|_| vec![0xff; length]);
        bad("one", &|_| [&vec![0; length - 1][..], &[1]].concat());
        bad("one byte", &|_| vec![7]);
        bad("cut by one", &|message| good(message)[..length - 1].to_vec());
        bad("half", &|message| good(message)[..length / 2].to_vec());
        bad("a byte more", &|message| [&good(message)[..], &[0]].concat());
        bad("a byte before", &|message| [&[0], &good(message)[..]].concat());
        bad("twice", &|message| good(message).repeat(2));
        bad("backwards", &|message| good(message).into_iter().rev().collect());
        bad("of another message", &|message| good(&message[1..]));
        bad("of the claims alone", &|message| good(message.split(|byte| *byte == b'.').next_back().unwrap()));
    }
    let order = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";
    let order: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&order[2 * at..2 * at + 2], 16).unwrap()).collect();
    let header = json!({"alg": "ES256", "kid": "ES256", "typ": "JWT"});
    cases.push(case("r and s are the order", with(&header, &|_| order.repeat(2)), JwtSignature));
    cases.push(case(
        "r is zero",
        with(&header, &|m| [&[0; 32], &mint::sign(Algorithm::Es256, m)[32..]].concat()),
        JwtSignature,
    ));
    cases.push(case(
        "s is zero",
        with(&header, &|m| [&mint::sign(Algorithm::Es256, m)[..32], &[0; 32]].concat()),
        JwtSignature,
    ));
    cases.push(case(
        "DER instead of r and s",
        with(&header, &|message| {
            let signature = mint::sign(Algorithm::Es256, message);
            let number = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
            [&[0x30, 70][..], &number(&signature[..32]), &number(&signature[32..])].concat()
        }),
        JwtSignature,
    ));

    // A good signature, of other parts.
    let [header, claims, signature] = parts(Algorithm::Es256);
    let [other_header, ..] = parts(Algorithm::Es384);
    let [_, other, _] = [(); 3].map(|()| mint::encode(mint::claims_with("sub", json!("admin")).to_string().as_bytes()));
    cases.push(case("claims exchanged", format!("{header}.{other}.{signature}"), JwtSignature));
    cases.push(case("header exchanged", format!("{other_header}.{claims}.{signature}"), JwtSignature));
    cases
}
