use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::pki_types::ServerName;

use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sluice-certs-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn ensure(&self, now: Duration) -> Result<Outcome, Error> {
        ensure_at(now, &self.0, &self.at("dev.pem"), &self.at("dev-key.pem"))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn made_once_then_found() {
    let folder = Folder::new();
    assert_eq!(folder.ensure(NOW).unwrap(), Outcome::Made);
    let made = ["dev.pem", "dev-key.pem", AUTHORITY, AUTHORITY_KEY].map(|name| folder.read(name));
    assert_eq!(folder.ensure(NOW + DAY).unwrap(), Outcome::Found);
    assert_eq!(made, ["dev.pem", "dev-key.pem", AUTHORITY, AUTHORITY_KEY].map(|name| folder.read(name)));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 4, "nothing unfinished is left");
    for (name, mode) in [("dev-key.pem", 0o600), (AUTHORITY_KEY, 0o600)] {
        assert_eq!(fs::metadata(folder.at(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
}

#[test]
fn stands_for_local_names_and_loopback_under_its_authority() {
    let folder = Folder::new();
    folder.ensure(NOW).unwrap();
    let der = CertificateDer::from_pem_file(folder.at("dev.pem")).unwrap();
    verify(&folder.at(AUTHORITY), &der, NOW).unwrap();
    let parsed = ParsedCertificate::try_from(&der).unwrap();
    for name in ["localhost", "api.localhost", "api.example.com", "acme.example.com", "127.0.0.1", "::1"] {
        rustls::client::verify_server_name(&parsed, &ServerName::try_from(name).unwrap()).expect(name);
    }
    for name in ["example.com", "example.org", "192.0.2.1"] {
        assert!(rustls::client::verify_server_name(&parsed, &ServerName::try_from(name).unwrap()).is_err(), "{name}");
    }
}

#[test]
fn the_authority_can_vouch_for_no_other_name() {
    let folder = Folder::new();
    folder.ensure(NOW).unwrap();
    let authority = authority_params(NOW).unwrap();
    let authority_key = load_key(&folder.at(AUTHORITY_KEY)).unwrap();
    let issuer = Issuer::from_params(&authority, &authority_key);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = certificate_params(NOW).unwrap();
    params.subject_alt_names.push(SanType::DnsName("bank.example.org".try_into().unwrap()));
    let forged = params.signed_by(&key, &issuer).unwrap();
    assert!(verify(&folder.at(AUTHORITY), forged.der(), NOW).is_err());
}

#[test]
fn renewed_at_its_end_for_the_same_key_and_authority() {
    let folder = Folder::new();
    folder.ensure(NOW).unwrap();
    let kept = ["dev-key.pem", AUTHORITY, AUTHORITY_KEY].map(|name| folder.read(name));
    let before = folder.read("dev.pem");
    let end = NOW + CERTIFICATE_LIFE;
    assert_eq!(folder.ensure(end - RENEW_BEFORE - DAY).unwrap(), Outcome::Found);
    assert_eq!(folder.ensure(end + 30 * DAY).unwrap(), Outcome::Renewed);
    assert_ne!(folder.read("dev.pem"), before);
    assert_eq!(kept, ["dev-key.pem", AUTHORITY, AUTHORITY_KEY].map(|name| folder.read(name)));
    assert_eq!(folder.ensure(end + 30 * DAY).unwrap(), Outcome::Found);
    let der = CertificateDer::from_pem_file(folder.at("dev.pem")).unwrap();
    verify(&folder.at(AUTHORITY), &der, end + 60 * DAY).unwrap();
}

#[test]
fn an_authority_at_its_end_is_renewed_with_its_key() {
    let folder = Folder::new();
    folder.ensure(NOW).unwrap();
    let (authority, key) = (folder.read(AUTHORITY), folder.read(AUTHORITY_KEY));
    assert_eq!(folder.ensure(NOW + AUTHORITY_LIFE).unwrap(), Outcome::Renewed);
    assert_ne!(folder.read(AUTHORITY), authority);
    assert_eq!(folder.read(AUTHORITY_KEY), key);
    assert!(!ends_before(&folder.at(AUTHORITY), NOW + AUTHORITY_LIFE + CERTIFICATE_LIFE));
}

#[test]
fn a_certificate_of_somebody_else_is_left_alone_even_when_it_has_run_out() {
    let (folder, other) = (Folder::new(), Folder::new());
    folder.ensure(NOW).unwrap();
    other.ensure(NOW).unwrap();
    for name in ["dev.pem", "dev-key.pem"] {
        fs::copy(other.at(name), folder.at(name)).unwrap();
    }
    let before = folder.read("dev.pem");
    assert_eq!(folder.ensure(NOW + 2 * CERTIFICATE_LIFE).unwrap(), Outcome::Found);
    assert_eq!(folder.read("dev.pem"), before);
    fs::write(folder.at("dev.pem"), "not PEM").unwrap();
    assert_eq!(folder.ensure(NOW).unwrap(), Outcome::Found);
}

#[test]
fn half_a_pair_is_an_error_that_names_the_other_half() {
    let folder = Folder::new();
    folder.ensure(NOW).unwrap();
    fs::remove_file(folder.at("dev-key.pem")).unwrap();
    let Err(Error::Half { missing, .. }) = folder.ensure(NOW) else { panic!() };
    assert_eq!(missing, folder.at("dev-key.pem"));
    fs::remove_file(folder.at("dev.pem")).unwrap();
    fs::remove_file(folder.at(AUTHORITY)).unwrap();
    assert!(matches!(folder.ensure(NOW), Err(Error::Half { .. })));
    assert!(!folder.at("dev.pem").exists());
}

#[test]
fn an_authority_whose_key_is_another_makes_nothing() {
    let (folder, other) = (Folder::new(), Folder::new());
    folder.ensure(NOW).unwrap();
    other.ensure(NOW).unwrap();
    fs::copy(other.at(AUTHORITY_KEY), folder.at(AUTHORITY_KEY)).unwrap();
    for name in ["dev.pem", "dev-key.pem"] {
        fs::remove_file(folder.at(name)).unwrap();
    }
    assert!(matches!(folder.ensure(NOW), Err(Error::Authority { .. })));
    assert!(!folder.at("dev.pem").exists());
}

#[test]
fn a_token_key_is_made_once_with_its_public_set() {
    let folder = Folder::new();
    let set = folder.at(KEY_SET);
    assert!(is_key_set(&set) && !is_key_set(&folder.at("jwks.json")));
    let (made, outcome) = ensure_token_key(&set).unwrap();
    assert_eq!(outcome, Outcome::Made);
    let key = token_key_of(&set);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let keys: serde_json::Value = serde_json::from_str(&folder.read(KEY_SET)).unwrap();
    assert_eq!(keys, serde_json::json!({ "keys": [made.public_key()] }));
    assert_eq!(keys["keys"][0]["kid"], made.thumbprint().unwrap());
    assert!(keys["keys"][0].get("d").is_none());
    let written = (fs::read(&key).unwrap(), folder.read(KEY_SET));
    let (found, outcome) = ensure_token_key(&set).unwrap();
    assert_eq!((outcome, found.thumbprint()), (Outcome::Found, made.thumbprint()));
    assert_eq!(written, (fs::read(&key).unwrap(), folder.read(KEY_SET)));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "nothing unfinished is left");
}

#[test]
fn a_token_key_without_its_set_has_it_made_anew_and_nothing_else_is_mended() {
    let (folder, other) = (Folder::new(), Folder::new());
    let (set, key) = (folder.at(KEY_SET), token_key_of(&folder.at(KEY_SET)));
    ensure_token_key(&set).unwrap();
    let before = folder.read(KEY_SET);
    fs::remove_file(&set).unwrap();
    assert_eq!(ensure_token_key(&set).unwrap().1, Outcome::Made);
    assert_eq!(folder.read(KEY_SET), before);

    ensure_token_key(&other.at(KEY_SET)).unwrap();
    fs::copy(other.at(KEY_SET), &set).unwrap();
    assert!(matches!(ensure_token_key(&set), Err(Error::KeySet { .. })));
    fs::write(&key, "not PEM").unwrap();
    assert!(matches!(ensure_token_key(&set), Err(Error::TokenKey { .. })));
    fs::remove_file(&key).unwrap();
    let Err(Error::Half { missing, .. }) = ensure_token_key(&set) else { panic!() };
    assert_eq!(missing, key);
    assert_eq!(folder.read(KEY_SET), other.read(KEY_SET));
}
