use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::jwt::mint;

fn read(keys: &Value) -> Result<(KeySet, Vec<KeyFault>), KeyFault> {
    KeySet::from_jwks(json!({"keys": keys}).to_string().as_bytes(), Algorithm::ALL)
}

fn known(set: &KeySet) -> Vec<(Option<&str>, Algorithm)> {
    set.keys.iter().map(|key| (key.id.as_deref(), key.algorithm)).collect()
}

/// A good key, changed.
fn changed(algorithm: Algorithm, member: &str, value: Value) -> Value {
    let mut key = mint::jwk(algorithm, "k");
    key[member] = value;
    key
}

#[test]
fn a_key_has_the_algorithm_of_its_kind_or_the_one_it_names() {
    use Algorithm::{EdDsa, Es256, Es384, Es512, Ps256, Rs256};
    for algorithm in [Es256, Es384, Es512, EdDsa] {
        let (set, faults) = read(&json!([mint::jwk(algorithm, "k")])).unwrap();
        assert_eq!((known(&set), faults.len()), (vec![(Some("k"), algorithm)], 0));
    }
    let (set, _) = read(&json!([changed(Rs256, "alg", json!("PS256"))])).unwrap();
    assert_eq!(known(&set), [(Some("k"), Ps256)]);

    let body = json!({"keys": [mint::jwk(Rs256, "k")]}).to_string();
    let (set, _) = KeySet::from_jwks(body.as_bytes(), &[Es256, Ps256, Rs256]).unwrap();
    assert_eq!(known(&set), [(Some("k"), Rs256), (Some("k"), Ps256)], "every accepted one");
    assert_eq!(set.ids(), ["k"]);
    assert!(KeySet::from_jwks(body.as_bytes(), &[Es256]).is_err());
}

#[test]
fn what_a_key_may_have_besides() {
    let mut key = mint::jwk(Algorithm::Es256, "k");
    for (name, value) in [
        ("use", json!("sig")),
        ("key_ops", json!(["verify"])),
        ("alg", json!("ES256")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AA")),
        ("exp", json!(5)),
        ("unheard", json!({"of": []})),
    ] {
        key[name] = value;
    }
    assert_eq!(read(&json!([key])).unwrap().1, Vec::<String>::new());
}

#[test]
fn keys_that_cannot_be_used_are_left_out_and_said() {
    use Algorithm::{EdDsa, Es256, Es384, Es512, Rs256};
    let n = |bytes: &[u8]| changed(Rs256, "n", mint::encode(bytes).into());
    let e = |bytes: &[u8]| changed(Rs256, "e", mint::encode(bytes).into());
    let x = |bytes: &[u8]| changed(Es256, "x", mint::encode(bytes).into());
    let own = |algorithm: Algorithm, member: &str| {
        crate::auth::jwt::base64url::decoded(mint::jwk(algorithm, "k")[member].as_str().unwrap()).unwrap()
    };
    let (modulus, coordinate) = (own(Rs256, "n"), own(Es256, "x"));
    let mut off_curve = coordinate.clone();
    off_curve[31] ^= 1;
    let even = [&[0xff; 255][..], &[0xfe]].concat();
    let mut without = mint::jwk(Es256, "k");
    without.as_object_mut().unwrap().remove("y");
    let cases = [
        (json!({"kty": "oct", "k": "AAAA", "kid": "k"}), "symmetric"),
        (json!({"kty": "oct", "kid": "k"}), "symmetric"),
        (json!({"kty": "oct", "k": "AAAA", "alg": "HS256", "use": "sig"}), "symmetric"),
        (changed(Rs256, "kty", json!("oct")), "symmetric"),
        (changed(Rs256, "alg", json!("HS256")), "`alg` is \"HS256\""),
        (changed(Es256, "alg", json!("HS256")), "`alg`"),
        (changed(Es256, "alg", json!("ES384")), "`alg`"),
        (changed(Es256, "alg", json!("RS256")), "`alg`"),
        (changed(Es256, "alg", json!("none")), "`alg`"),
        (changed(Es256, "alg", json!("")), "`alg`"),
        (changed(Es256, "alg", json!(null)), "`alg`"),
        (changed(Rs256, "alg", json!("RSA-OAEP")), "`alg`"),
        (changed(Es256, "alg", json!("ECDH-ES")), "`alg`"),
        (changed(Es256, "alg", json!(["ES256"])), "no JSON Web Key"),
        (changed(Rs256, "use", json!("enc")), "`use`"),
        (changed(Rs256, "use", json!("")), "`use`"),
        (changed(Rs256, "use", json!("SIG")), "`use`"),
        (changed(Rs256, "key_ops", json!([])), "`key_ops`"),
        (changed(Rs256, "key_ops", json!(["sign", "encrypt"])), "`key_ops`"),
        (changed(Rs256, "key_ops", json!("verify")), "no JSON Web Key"),
        (changed(Rs256, "kid", json!(5)), "no JSON Web Key"),
        (changed(Rs256, "kid", json!("k".repeat(257))), "`kid`"),
        (changed(Rs256, "d", json!("AQ")), "private"),
        (changed(Es256, "d", json!("AQ")), "private"),
        (changed(EdDsa, "d", json!("AQ")), "private"),
        (changed(Es256, "kty", json!("OKP")), "`kty` and `crv`"),
        (changed(EdDsa, "kty", json!("EC")), "`kty` and `crv`"),
        (changed(EdDsa, "crv", json!("X25519")), "`kty` and `crv`"),
        (changed(EdDsa, "crv", json!("Ed448")), "`kty` and `crv`"),
        (changed(EdDsa, "crv", json!("P-256")), "`kty` and `crv`"),
        (changed(Es256, "crv", json!("secp256k1")), "`kty` and `crv`"),
        (changed(Es256, "crv", json!("Ed25519")), "`kty` and `crv`"),
        (changed(Es256, "kty", json!("ec")), "`kty` and `crv`"),
        (json!({"kty": "RSA", "kid": "k"}), "`kty` and `crv`"),
        (json!({}), "`kty` and `crv`"),
        (json!(5), "no JSON Web Key"),
        (without, "`kty` and `crv`"),
        (n(&modulus[..128]), "2048 bits"),
        (n(&[&[0x7f], &modulus[1..]].concat()), "2048 bits"),
        (n(&[0xff; 1025]), "8192 bits"),
        (n(&[&[0], &modulus[..]].concat()), "zero"),
        (n(&[]), "2048 bits"),
        (n(&even), "even"),
        (e(&[1]), "exponent"),
        (e(&[2]), "exponent"),
        (e(&[1, 0, 0]), "exponent"),
        (e(&[]), "exponent"),
        (e(&[0, 1, 0, 1]), "zero"),
        (e(&[1, 0, 0, 0, 1]), "exponent"),
        (changed(Rs256, "n", json!("=")), "base64url"),
        (changed(Rs256, "e", json!("AQAB=")), "base64url"),
        (changed(Rs256, "e", json!("AQA+")), "base64url"),
        (changed(Rs256, "n", json!(5)), "`kty` and `crv`"),
        (x(&off_curve), "curve"),
        (x(&[0; 32]), "curve"),
        (x(&[0xff; 32]), "curve"),
        (x(&coordinate[1..]), "coordinates"),
        (x(&[&[0], &coordinate[..]].concat()), "coordinates"),
        (changed(Es256, "crv", json!("P-384")), "coordinates"),
        (changed(Es384, "crv", json!("P-256")), "coordinates"),
        (changed(Es512, "crv", json!("P-384")), "coordinates"),
        (changed(EdDsa, "x", mint::encode(&[1; 31]).into()), "32 bytes"),
        (changed(EdDsa, "x", mint::encode(&[1; 33]).into()), "32 bytes"),
        (changed(EdDsa, "x", mint::encode(mint::pair(EdDsa).public_key_pem().as_bytes()).into()), "32 bytes"),
    ];
    for (key, expected) in cases {
        let fault = read(&json!([key])).map(|(set, _)| known(&set).len()).unwrap_err();
        assert!(fault.contains(expected), "{key}: {fault}");
        let mut good = mint::jwk(Es256, "good");
        good["alg"] = "ES256".into();
        let (set, faults) = read(&json!([key, good])).unwrap();
        assert_eq!(known(&set), [(Some("good"), Es256)]);
        assert!(faults.len() == 1 && faults[0].starts_with("key 1"), "{faults:?}");
    }
}

#[test]
fn what_is_no_set_is_refused_whole() {
    let good = mint::jwk(Algorithm::Es256, "k");
    let many: Vec<Value> = (0..101).map(|at| mint::jwk(Algorithm::Es256, &at.to_string())).collect();
    let spaces = " ".repeat(256 * 1024);
    let deep = format!(r#"{{"keys":{}{}}}"#, "[".repeat(16), "]".repeat(16));
    for (body, expected) in [
        (String::new(), "not a JSON object"),
        ("<html>".to_owned(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        (good.to_string(), "no array `keys`"),
        (json!({"keys": {"k": good}}).to_string(), "no array `keys`"),
        (json!({"Keys": [good]}).to_string(), "no array `keys`"),
        (json!({"keys": []}).to_string(), "no key that can be used"),
        (format!(r#"{{"keys":[{good}],"keys":[]}}"#), "twice"),
        (format!(r#"{{"keys":[{}]}}"#, good.to_string().replacen("\"kty\"", "\"kty\":\"RSA\",\"kty\"", 1)), "twice"),
        (json!({"keys": many}).to_string(), "101 keys"),
        (format!("{}{spaces}", json!({"keys": [good]})), "256 KiB"),
        (format!("{}x", json!({"keys": [good]})), "not a JSON object"),
        (deep, "deeply"),
    ] {
        let fault = KeySet::from_jwks(body.as_bytes(), Algorithm::ALL).map(|_| ()).unwrap_err();
        assert!(fault.contains(expected), "{fault}");
    }
    let (set, _) = read(&json!(many[..100])).unwrap();
    assert_eq!(set.ids().len(), 100);
}

#[test]
fn two_keys_of_one_name_need_different_algorithms() {
    let (one, other) = (mint::jwk(Algorithm::Es256, "k"), mint::jwk(Algorithm::EdDsa, "k"));
    let (set, faults) = read(&json!([one, other])).unwrap();
    assert_eq!((set.keys.len(), faults.len(), set.ids()), (2, 0, vec!["k".to_owned()]));
    let (set, faults) = read(&json!([one, other, one])).unwrap();
    assert_eq!((set.keys.len(), faults.len()), (2, 1));
    assert!(faults[0].contains("key 3") && faults[0].contains("same `kid`"), "{faults:?}");
}

#[test]
fn few_keys_are_tried_for_a_token_that_names_none() {
    let (message, algorithm) = (b"message", Algorithm::Es256);
    let signature = mint::sign(algorithm, message);
    let strangers = |count: usize| {
        (0..count).map(|at| {
            let pair = rcgen::KeyPair::generate().unwrap();
            let (x, y) = pair.public_key_raw()[1..].split_at(32);
            json!({"kty": "EC", "crv": "P-256", "x": mint::encode(x), "y": mint::encode(y), "kid": format!("s{at}")})
        })
    };
    let ours = std::iter::once(mint::jwk(algorithm, "ours"));
    let (four, _) = read(&strangers(3).chain(ours.clone()).collect()).unwrap();
    assert_eq!(four.verify(algorithm, None, message, &signature), Ok(()));
    let (five, _) = read(&strangers(4).chain(ours).collect()).unwrap();
    let fault = five.verify(algorithm, None, message, &signature).unwrap_err();
    assert_eq!(fault.reason, Reason::JwtKeyUnknown, "no work for a verdict of luck");
    assert_eq!(five.verify(algorithm, Some("ours"), message, &signature), Ok(()));
    let fault = five.verify(algorithm, Some("s1"), message, &signature).unwrap_err();
    assert_eq!(fault.reason, Reason::JwtSignature, "another key is not tried");
}

#[test]
fn a_key_without_id_fits_names_that_no_other_has() {
    let mut nameless = mint::jwk(Algorithm::Es256, "x");
    nameless.as_object_mut().unwrap().remove("kid");
    let (set, _) = read(&json!([nameless, mint::jwk(Algorithm::EdDsa, "named")])).unwrap();
    assert!(set.has(None) && set.has(Some("named")) && set.has(Some("anything")));
    let signature = mint::sign(Algorithm::Es256, b"m");
    assert_eq!(set.verify(Algorithm::Es256, Some("anything"), b"m", &signature), Ok(()));
    assert_eq!(set.verify(Algorithm::Es256, None, b"m", &signature), Ok(()));
    let fault = set.verify(Algorithm::Es256, Some("named"), b"m", &signature).unwrap_err();
    assert_eq!(fault.reason, Reason::JwtAlgorithm, "a `kid` selects");
    assert_eq!(set.ids(), ["(without kid)", "named"]);
}

#[test]
fn an_overlap_adds_what_is_not_there() {
    let (old, _) = read(&json!([mint::jwk(Algorithm::Es256, "a"), mint::jwk(Algorithm::EdDsa, "b")])).unwrap();
    let (new, _) = read(&json!([mint::jwk(Algorithm::EdDsa, "b"), mint::jwk(Algorithm::Es384, "c")])).unwrap();
    let both = new.with_overlap(&old);
    assert_eq!(both.ids(), ["b", "c", "a"]);
    assert_eq!(both.keys.len(), 3);
    assert_eq!(both.clone().with_overlap(&both).keys.len(), 3);

    // The issuer gave a name to another key: both are good while they overlap.
    let (x, y) = mint::stranger().public_key_raw()[1..].split_at(32);
    let mut other = mint::jwk(Algorithm::Es256, "a");
    (other["x"], other["y"]) = (mint::encode(x).into(), mint::encode(y).into());
    let renamed = read(&json!([other])).unwrap().0.with_overlap(&old);
    assert_eq!(renamed.verify(Algorithm::Es256, Some("a"), b"m", &mint::sign(Algorithm::Es256, b"m")), Ok(()));
    let stranger = mint::sign_with(mint::stranger(), Algorithm::Es256, b"m");
    assert_eq!(renamed.verify(Algorithm::Es256, Some("a"), b"m", &stranger), Ok(()));

    // However often it does so, the latest key is good.
    let later: Vec<_> = (0..6).map(|_| rcgen::KeyPair::generate().unwrap()).collect();
    let mut often = old;
    for pair in &later {
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        (other["x"], other["y"]) = (mint::encode(x).into(), mint::encode(y).into());
        often = read(&json!([other])).unwrap().0.with_overlap(&often);
        let latest = mint::sign_with(pair, Algorithm::Es256, b"m");
        assert_eq!(often.verify(Algorithm::Es256, Some("a"), b"m", &latest), Ok(()));
    }
    let earliest = mint::sign_with(&later[0], Algorithm::Es256, b"m");
    assert!(often.verify(Algorithm::Es256, Some("a"), b"m", &earliest).is_err());
}

#[test]
fn sets_are_the_same_in_any_order_of_names_but_not_of_the_keys_of_one() {
    let key = |seed: u8, id: &str| {
        let material = Material::shared(&[seed; 32]);
        Key { id: Some(id.into()), algorithm: Algorithm::Hs256, material }
    };
    let set = |keys: &[Key]| KeySet { keys: keys.to_vec() };
    let (a, b, other_a) = (key(1, "a"), key(2, "b"), key(3, "a"));
    let one = set(&[a.clone(), b.clone(), other_a.clone()]);
    assert!(one.is_same(&set(&[b.clone(), a.clone(), other_a.clone()])));
    for different in [
        set(&[other_a.clone(), b.clone(), a.clone()]),
        set(&[a.clone(), b.clone()]),
        set(&[a.clone(), b.clone(), key(4, "a")]),
        set(&[a.clone(), b.clone(), key(3, "c")]),
        set(&[a, b.clone(), other_a, b]),
        set(&[]),
    ] {
        assert!(!one.is_same(&different) && !different.is_same(&one), "{different:?}");
    }
}

#[test]
fn a_secret_verifies_hs256_only() {
    let set = KeySet::from_secret(&Secret::new(mint::SECRET));
    let tag = mint::sign(Algorithm::Hs256, b"m");
    assert_eq!(set.verify(Algorithm::Hs256, Some("any"), b"m", &tag), Ok(()));
    assert_eq!(set.verify(Algorithm::Rs256, None, b"m", &tag).unwrap_err().reason, Reason::JwtAlgorithm);
    let none = KeySet::from_secret(&Secret::new(&b""[..]));
    assert!(!none.has(None));
    assert_eq!(none.verify(Algorithm::Hs256, None, b"m", &tag).unwrap_err().reason, Reason::JwtKeyUnknown);
}

struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("sluice-keys-{test}-{}-{:x}", std::process::id(), fastrand::u64(..)));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn pem(file: &Path, algorithm: Algorithm) -> Result<KeySet, KeyFault> {
    KeySet::from_pem(&[PemKey { file: file.to_owned(), id: None, algorithm }])
}

fn certificate(algorithm: Algorithm) -> String {
    let parameters = rcgen::CertificateParams::new(vec!["id.example".to_owned()]).unwrap();
    parameters.self_signed(mint::pair(algorithm)).unwrap().pem()
}

#[test]
fn public_keys_and_certificates_are_read_for_their_algorithm_only() {
    let files = Files::new("pem");
    for algorithm in mint::PUBLIC {
        let public = mint::pair(*algorithm).public_key_pem();
        for (kind, text) in
            [("key", &public), ("certificate", &certificate(*algorithm)), ("both", &(public.clone() + &public))]
        {
            let file = files.write("k.pem", text);
            let set = pem(&file, *algorithm).unwrap_or_else(|fault| panic!("{kind}: {fault}"));
            let signature = mint::sign(*algorithm, b"m");
            assert_eq!(set.verify(*algorithm, Some("any"), b"m", &signature), Ok(()), "{kind} {algorithm:?}");
            let jwks = read(&json!([mint::jwk(*algorithm, "k")])).unwrap().0;
            let same = jwks.keys.iter().find(|key| key.algorithm == *algorithm).unwrap();
            assert_eq!(same.material.verifies(b"m", &signature), set.keys[0].material.verifies(b"m", &signature));
            for other in Algorithm::ALL {
                let fits = std::ptr::eq(
                    mint::pair(*algorithm),
                    if *other == Algorithm::Hs256 { mint::stranger() } else { mint::pair(*other) },
                );
                assert_eq!(pem(&file, *other).is_ok(), fits, "{kind} of {algorithm:?} for {other:?}");
            }
        }
    }
    let pkcs1 = mint::pair(Algorithm::Rs256).public_key_raw();
    let encoded = pem_text("RSA PUBLIC KEY", pkcs1);
    assert!(pem(&files.write("pkcs1.pem", encoded), Algorithm::Ps384).is_ok());
}

fn pem_text(label: &str, der: &[u8]) -> String {
    let mut text = mint::encode(der).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn other_files_are_no_keys() {
    let files = Files::new("no-pem");
    let private = mint::pair(Algorithm::Rs256).serialize_pem();
    let public = mint::pair(Algorithm::Rs256).public_key_pem();
    let raw = mint::pair(Algorithm::Rs256).public_key_raw();
    for (name, text, expected) in [
        ("empty", String::new(), "not PEM"),
        ("text", "ssh-rsa AAAA".to_owned(), "not PEM"),
        ("private", private.clone(), "private key"),
        ("with a private key", public.clone() + &private, "private key"),
        ("cut", public[..200].to_owned(), "PEM"),
        ("trailing bytes", pem_text("RSA PUBLIC KEY", &[raw, &[0]].concat()), "bytes follow"),
        ("of another form", pem_text("PUBLIC KEY", raw), "not a valid public key"),
        ("no certificate", pem_text("CERTIFICATE", raw), "not a valid certificate"),
        ("parameters", pem_text("EC PARAMETERS", raw), "neither"),
        ("short", pem_text("RSA PUBLIC KEY", &[0x30, 6, 2, 1, 35, 2, 1, 3]), "2048 bits"),
        ("long", "x".repeat(65 * 1024), "64 KiB"),
    ] {
        let fault = pem(&files.write("k.pem", text), Algorithm::Rs256).map(|_| ()).unwrap_err();
        assert!(fault.contains("k.pem") && fault.contains(expected), "{name}: {fault}");
    }
    assert!(pem(Path::new("/nowhere/k.pem"), Algorithm::Rs256).unwrap_err().contains("/nowhere/k.pem"));
}

#[test]
fn files_of_one_name_need_different_algorithms() {
    let files = Files::new("names");
    let rsa = files.write("rsa.pem", mint::pair(Algorithm::Rs256).public_key_pem());
    let key = |id: Option<&str>, algorithm| PemKey { file: rsa.clone(), id: id.map(Into::into), algorithm };
    let set = KeySet::from_pem(&[key(Some("a"), Algorithm::Rs256), key(Some("a"), Algorithm::Ps256)]).unwrap();
    assert_eq!(set.ids(), ["a"]);
    assert!(KeySet::from_pem(&[key(Some("a"), Algorithm::Rs256), key(Some("a"), Algorithm::Rs256)]).is_err());
    assert!(KeySet::from_pem(&[key(None, Algorithm::Rs256), key(None, Algorithm::Rs256)]).is_ok());
    assert!(!KeySet::from_pem(&[]).unwrap().has(None));
}

proptest! {
    #[test]
    fn any_set_is_read_or_refused(
        cut in 0_usize..2000,
        at in 0_usize..2000,
        byte in any::<u8>(),
    ) {
        let keys: Vec<Value> = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].map(|algorithm| mint::jwk(algorithm, "k")).into();
        let mut body = json!({"keys": keys}).to_string().into_bytes();
        let length = body.len();
        body[at % length] = byte;
        crate::auth::jwt::invariants::check(&body);
        body.truncate(cut);
        crate::auth::jwt::invariants::check(&body);
    }
}
