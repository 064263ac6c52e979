//! The published examples of RFC 7515 appendix A, RFC 7519 and RFC 8037 appendix A.

use super::*;
use crate::base::secret::Secret;
use crate::config::checked::identity::TokenTypes;

/// The claims of RFC 7519 §3.1, as most of the examples have them.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

const BEFORE: Duration = Duration::from_secs(1_300_819_379);

fn joe() -> Issuer {
    Issuer {
        issuer: Some("joe".into()),
        audiences: Vec::new(),
        types: TokenTypes { named: vec!["jwt".into()], untyped: true },
        leeway: Duration::ZERO,
        ..mint::issuer()
    }
}

fn set(key: &str) -> KeySet {
    let set = format!(r#"{{"keys":[{key}]}}"#);
    KeySet::from_jwks(set.as_bytes(), Algorithm::ALL).unwrap().0
}

#[track_caller]
fn good(text: &str, keys: &KeySet) {
    let kept = [mint::path(&["http://example.com/is_root"])];
    let token = parse(text).unwrap().verify(&joe(), keys, &kept, BEFORE).unwrap();
    assert_eq!((token.expires, token.claims.len()), (Some(1_300_819_380), 1));
    let late = parse(text).unwrap().verify(&joe(), keys, &kept, BEFORE + Duration::from_secs(1));
    assert_eq!(reason(late), Some(Reason::JwtExpired));
}

#[test]
fn rfc_7515_a_1_hs256() {
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let keys = KeySet::from_secret(&Secret::new(base64url::decoded(secret).unwrap()));
    good(
        &format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        &keys,
    );
}

#[test]
fn rfc_7515_a_2_rs256() {
    let keys = set(concat!(
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4"#,
        "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB",
        "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et",
        r#"hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
    ));
    let signature = concat!(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU",
        "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d",
        "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig",
        "cN_IoypGlUPQGe77Rw",
    );
    good(&format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}.{signature}"), &keys);
}

#[test]
fn rfc_7515_a_3_es256() {
    let keys = set(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    );
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    good(&format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}.{signature}"), &keys);
}

/// Its payload is no claims, so the signature alone is looked at.
#[test]
fn rfc_7515_a_4_es512() {
    let keys = set(concat!(
        r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUx"#,
        r#"cWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#,
    ));
    let signature = concat!(
        "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2Y",
        "BJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
    );
    let message = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA";
    let signature_bytes = base64url::decoded(signature).unwrap();
    assert_eq!(keys.verify(Algorithm::Es512, None, message.as_bytes(), &signature_bytes), Ok(()));
    let fault = parse(&format!("{message}.{signature}")).map(|_| ()).unwrap_err();
    assert_eq!(fault.reason, Reason::JwtMalformed);
}

/// RFC 7519 §6.1 has the same.
#[test]
fn rfc_7515_a_5_unsecured() {
    let empty = parse(&format!("eyJhbGciOiJub25lIn0.{CLAIMS}.")).unwrap_err();
    assert_eq!(empty.reason, Reason::JwtMalformed);
    let filled = parse(&format!("eyJhbGciOiJub25lIn0.{CLAIMS}.AA")).unwrap_err();
    assert_eq!(filled.reason, Reason::JwtAlgorithm);
}

/// RFC 7519 appendix A.1 is encrypted, and has five parts.
#[test]
fn encrypted_tokens_are_none_of_ours() {
    let header = "eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0";
    assert_eq!(parse(&format!("{header}.AA.AA.AA.AA")).unwrap_err().reason, Reason::JwtMalformed);
    assert_eq!(parse(&format!("{header}.{CLAIMS}.AA")).unwrap_err().reason, Reason::JwtAlgorithm);
}

#[test]
fn rfc_8037_a_4_ed25519() {
    let keys = set(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#);
    let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signature = base64url::decoded(signature).unwrap();
    assert_eq!(keys.verify(Algorithm::EdDsa, None, message.as_bytes(), &signature), Ok(()));
    assert!(keys.verify(Algorithm::EdDsa, None, &message.as_bytes()[1..], &signature).is_err());
}
