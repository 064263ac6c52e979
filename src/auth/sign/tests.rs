use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use proptest::prelude::*;

use super::*;

/// Of OpenSSL; our own library makes none so short.
const RSA_1024: &str = concat!(
    "MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAO6Uh0jdvvnWTCGjrz+7q1TR0oYwANF83+8C4z/Vyb1z2/klwKa4\n",
    "o8zIvEpq3Kst4j9gfJ4Bs1Nb/HdzSBT5DiAjw7lZtEK7ui3AZuAlldNAwiT/wZRkgZ3fxafT+gWLEKOf8cb2jS/eShQb1mE9xcWs\n",
    "WrndYejq6lDxi2NeyXfDAgMBAAECgYAHZqIft4lCFMy9ymcYUgkJk4y1Tu3nkbkcn/lOtKISd3KecvZb9aRXKO72XARGZyD6mFKl\n",
    "UCYw8syNJA1bYTJ3627Nu5yWyVDSVDCT1a270IlzqQDtRW5r18APapwAWreprswzzGRtKhJOBEsq9hBFMYRvklu45OGK3PncMJQe\n",
    "OQJBAPikEUJ80jmEEI2bOK2CzB+U4sTd27l2NED6qWnM7Y725VkYZ/+Zu5R49i160DtAcH239HhmvBnG8CXzsc2YELcCQQD1pDte\n",
    "Ef2NuDyNODI0ATXwSRAOPTetuki7pDBSUwA4ioTsk8lrhtbSoqP2hPZ5XMDfWfoOT0JmTRcw/q1bQm1VAkEA8P0UPXz9xQFbieSI\n",
    "aqP7dCC6KlVeQcNvogtRaFpXZdmnMVOWeQZn6N/Uuv/uE3/BiBhjus7YQaOv3xjznHFmwQJAdv0BDQZl7jpqinXIS8yyVhzuPBeH\n",
    "Ww47oTldduNh3gGrdfX4wa9lbE8AYa/yvMMjYo3xRPE71tZM/5y+WNCKqQJAG5uixtTcMRiHdw7/4pLKdGBpWj32z9NeyWhB8SIQ\n",
    "I/pAOzB0y7V2V97wlvUom4igq+K61vjQVc3AbVcYO20S8g==\n",
);

pub(super) fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    base64url(der, &mut text);
    let text = text.replace('-', "+").replace('_', "/");
    let padded = format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    let lines: Vec<&str> = padded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

fn elliptic(curve: &'static EcdsaSigningAlgorithm) -> Vec<u8> {
    EcdsaKeyPair::generate(curve).unwrap().to_pkcs8v1().unwrap().as_ref().to_vec()
}

pub(super) fn p256() -> Vec<u8> {
    pem("PRIVATE KEY", &elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING))
}

fn ed25519() -> Vec<u8> {
    pem("PRIVATE KEY", Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref())
}

fn rsa() -> Vec<u8> {
    AsDer::<Pkcs8V1Der<'_>>::as_der(&RsaKeyPair::generate(KeySize::Rsa2048).unwrap()).unwrap().as_ref().to_vec()
}

fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.as_str().parse().unwrap()
}

/// The claims, by a library of somebody else.
pub(super) fn verified(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Value {
    let mut validation = Validation::new(theirs(algorithm));
    (validation.validate_exp, validation.validate_aud) = (false, false);
    validation.required_spec_claims.clear();
    decode(token, key, &validation).unwrap().claims
}

pub(super) fn public(signer: &Signer) -> DecodingKey {
    let key: Jwk = serde_json::from_value(signer.public_key().unwrap()).unwrap();
    assert_eq!(key.thumbprint(ThumbprintHash::SHA256).unwrap(), signer.thumbprint().unwrap());
    assert_eq!(key.common.key_id, signer.thumbprint());
    DecodingKey::from_jwk(&key).unwrap()
}

#[test]
fn every_kind_of_key_signs_what_its_public_key_verifies() {
    let rsa = rsa();
    let sec1 = |curve| {
        let key = EcdsaKeyPair::generate(curve).unwrap();
        AsDer::<EcPrivateKeyRfc5915Der<'_>>::as_der(&key.private_key()).unwrap().as_ref().to_vec()
    };
    // The key within PKCS#8, behind version, algorithm and lengths.
    let pkcs1 = pem("RSA PRIVATE KEY", &rsa[26..]);
    let rsa = pem("PRIVATE KEY", &rsa);
    let p384 = pem("PRIVATE KEY", &elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING));
    let claims = json!({ "iss": "us", "n": [1, "zwölf"] });
    for (pem, algorithm, usual) in [
        (&rsa, Algorithm::Rs256, true),
        (&rsa, Algorithm::Rs384, false),
        (&rsa, Algorithm::Rs512, false),
        (&rsa, Algorithm::Ps256, false),
        (&rsa, Algorithm::Ps384, false),
        (&rsa, Algorithm::Ps512, false),
        (&pkcs1, Algorithm::Rs256, true),
        (&p256(), Algorithm::Es256, true),
        (&pem("EC PRIVATE KEY", &sec1(&ECDSA_P256_SHA256_FIXED_SIGNING)), Algorithm::Es256, true),
        (&p384, Algorithm::Es384, true),
        (&pem("EC PRIVATE KEY", &sec1(&ECDSA_P384_SHA384_FIXED_SIGNING)), Algorithm::Es384, true),
        (&ed25519(), Algorithm::EdDsa, true),
    ] {
        let signer = Signer::from_pem(pem, (!usual).then_some(algorithm)).unwrap();
        assert_eq!(signer.algorithm(), algorithm);
        assert_eq!(signer.public_key().unwrap()["alg"], algorithm.as_str());
        let token = signer.sign(&claims, Some("at+jwt"), Some("k1")).unwrap();
        assert_eq!(verified(&token, &public(&signer), algorithm), claims, "{algorithm:?}");
        let header = decode_header(&token).unwrap();
        assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("at+jwt"), Some("k1")));
        assert_eq!(header.alg, theirs(algorithm));
    }
}

#[test]
fn a_shared_secret_signs_and_is_never_shown() {
    let secret = b"0123456789abcdef0123456789abcdef";
    let signer = Signer::from_secret(&Secret::new(&secret[..]));
    let token = signer.sign(&json!({ "sub": "7" }), None, None).unwrap();
    assert_eq!(verified(&token, &DecodingKey::from_secret(secret), Algorithm::Hs256), json!({ "sub": "7" }));
    let header = decode_header(&token).unwrap();
    assert_eq!((header.typ, header.kid), (None, None));
    assert_eq!((signer.public_key(), signer.thumbprint()), (None, None));
    assert_eq!(format!("{signer:?}"), "Signer(HS256)");
}

#[test]
fn the_example_of_rfc_8037_has_its_thumbprint() {
    // RFC 8037, appendices A.1 and A.3, as PKCS#8.
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let der = format!("302e020100300506032b657004220420{seed}");
    let der: Vec<u8> = (0..der.len()).step_by(2).map(|at| u8::from_str_radix(&der[at..at + 2], 16).unwrap()).collect();
    let signer = Signer::from_pem(&pem("PRIVATE KEY", &der), None).unwrap();
    assert_eq!(signer.public_key().unwrap()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(signer.thumbprint().unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn what_cannot_sign_is_told_apart() {
    let read = |pem: &[u8], algorithm| Signer::from_pem(pem, algorithm).map(drop).unwrap_err();
    assert_eq!(read(b"", None), KeyError::NotPem);
    assert_eq!(read(b"secret", None), KeyError::NotPem);
    assert_eq!(read(&pem("ENCRYPTED PRIVATE KEY", &[0x30, 0]), None), KeyError::NotPem);
    assert_eq!(read(&pem("PUBLIC KEY", &[0x30, 0]), None), KeyError::NotPem);
    for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
        assert_eq!(read(&pem(label, &[0x30, 0]), None), KeyError::Unusable);
    }
    let short = format!("-----BEGIN PRIVATE KEY-----\n{RSA_1024}\n-----END PRIVATE KEY-----\n");
    assert_eq!(read(short.as_bytes(), None), KeyError::Unusable);
    let p521 = elliptic(&aws_lc_rs::signature::ECDSA_P521_SHA512_FIXED_SIGNING);
    assert_eq!(read(&pem("PRIVATE KEY", &p521), None), KeyError::Unusable);
    let p256 = p256();
    for asked in Algorithm::ALL.iter().copied().filter(|algorithm| *algorithm != Algorithm::Es256) {
        assert_eq!(read(&p256, Some(asked)), KeyError::Algorithm { fits: Algorithm::Es256, asked });
    }
}

#[test]
fn ids_are_never_the_same() {
    assert_ne!(random_id().unwrap(), random_id().unwrap());
}

proptest! {
    #[test]
    fn base64url_is_what_others_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut text = String::new();
        base64url(&bytes, &mut text);
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        let bits: String = text.bytes().map(|letter| {
            let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            format!("{:06b}", letters.find(char::from(letter)).unwrap())
        }).collect();
        let expected: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        prop_assert!(bits.starts_with(&expected) && bits[expected.len()..].bytes().all(|bit| bit == b'0'));
        prop_assert!(bits.len() - expected.len() < 6);
    }
}
