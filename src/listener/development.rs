//! What there is to try the gateway with, made on this machine and good for nothing beyond it: a certificate, from an
//! authority of its own, and a key that signs tokens.
//!
//! Files that exist are never overwritten, with one exception: a certificate that this module made is renewed when it
//! runs out. The authority may only vouch for `localhost`, `example.com` and loopback addresses (RFC 5280 section
//! 4.2.1.10), so that trusting it by hand opens no other name even if its key leaks.

mod token_key;

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};

pub use token_key::{KEY_SET, ensure_token_key, is_key_set, token_key_of};

use crate::auth::sign::KeyError;
use crate::base::clock;

/// The authority's certificate, for `curl --cacert`, and its key, in the folder given to [`ensure`].
pub const AUTHORITY: &str = "dev-ca.pem";
const AUTHORITY_KEY: &str = "dev-ca-key.pem";

/// Not `*.localhost`: a wildcard directly under a top-level name is refused by OpenSSL, and rustls then refuses the whole
/// certificate.
const NAMES: [&str; 5] = ["localhost", "api.localhost", "portal.localhost", "api.example.com", "*.example.com"];
const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

const DAY: Duration = Duration::from_secs(86_400);
const CERTIFICATE_LIFE: Duration = Duration::from_secs(365 * 86_400);
const AUTHORITY_LIFE: Duration = Duration::from_secs(3_650 * 86_400);
/// A certificate is renewed this long before its end, so that a started gateway is of use for a while.
const RENEW_BEFORE: Duration = Duration::from_secs(7 * 86_400);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All was there; nothing was touched.
    Found,
    /// What was missing was made; with a certificate the authority, too, if there was none.
    Made,
    /// Our own certificate had run out: there is a new one for the same key.
    Renewed,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is there but {} is not: restore it, or remove both to have them made anew", .present.display(), .missing.display())]
    Half { present: PathBuf, missing: PathBuf },
    #[error("{} and {} do not belong together ({source}): remove both to have them made anew", .certificate.display(), .key.display())]
    Authority { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("{}: not a usable private key: {source}", .path.display())]
    Key { path: PathBuf, source: rcgen::Error },
    #[error("{}: {source}", .path.display())]
    TokenKey { path: PathBuf, source: KeyError },
    #[error("{} has another key than {}: remove both to have them made anew", .set.display(), .key.display())]
    KeySet { set: PathBuf, key: PathBuf },
    #[error("the development certificate or key could not be made: {0}")]
    Sign(#[from] rcgen::Error),
}

/// Sees to it that there is a certificate and a key (PEM), made by the authority in `dir` if they are missing.
///
/// To be called only for files that are meant to be development files: a missing certificate of production is an error of
/// its own. Key files have mode 0600. Existing files that cannot be read as PEM count as found; whoever loads them reports
/// that. Blocks on the file system.
pub fn ensure(dir: &Path, certificate: &Path, key: &Path) -> Result<Outcome, Error> {
    ensure_at(clock::since_epoch(), dir, certificate, key)
}

fn ensure_at(now: Duration, dir: &Path, certificate: &Path, key: &Path) -> Result<Outcome, Error> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    let _lock = lock(dir)?;
    if both_exist(certificate, key)? {
        if !is_ours_and_ends(now, dir, certificate) {
            return Ok(Outcome::Found);
        }
        let issued = issue(now, dir, &load_key(key)?)?;
        write(certificate, &issued, Mode::Replace)?;
        return Ok(Outcome::Renewed);
    }
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let issued = issue(now, dir, &pair)?;
    write(key, &pair.serialize_pem(), Mode::Secret)?;
    write(certificate, &issued, Mode::Public)?;
    Ok(Outcome::Made)
}

/// Held until it is dropped. Two gateways may start at once; where there are no locks, the second fails with "file exists",
/// but overwrites nothing.
fn lock(dir: &Path) -> Result<fs::File, Error> {
    let lock = fs::File::open(dir).map_err(at(dir))?;
    if let Err(error) = lock.lock() {
        tracing::debug!(%error, dir = %dir.display(), "not locked");
    }
    Ok(lock)
}

/// A new certificate for a key, as PEM.
fn issue(now: Duration, dir: &Path, key: &KeyPair) -> Result<String, Error> {
    let (path, key_path) = (dir.join(AUTHORITY), dir.join(AUTHORITY_KEY));
    let params = authority_params(now)?;
    let authority_key = if both_exist(&path, &key_path)? {
        load_key(&key_path)?
    } else {
        let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&made)?.pem();
        write(&key_path, &made.serialize_pem(), Mode::Secret)?;
        write(&path, &certificate, Mode::Public)?;
        made
    };
    let issued = certificate_params(now)?.signed_by(key, &Issuer::from_params(&params, &authority_key))?;
    // Only the key was read; name and purpose come from here. So the authority's certificate is asked whether it agrees.
    if let Err(source) = verify(&path, issued.der(), now) {
        return Err(Error::Authority { certificate: path, key: key_path, source });
    }
    if ends_before(&path, now + CERTIFICATE_LIFE) {
        write(&path, &params.self_signed(&authority_key)?.pem(), Mode::Replace)?;
    }
    Ok(issued.pem())
}

fn authority_params(now: Duration) -> Result<CertificateParams, Error> {
    let mut params = common_params("Sluice development CA", now, AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let names = ["localhost", "example.com"].map(|name| GeneralSubtree::DnsName(name.to_owned()));
    let loopback = [CidrSubnet::from_addr_prefix(ADDRESSES[0], 8), CidrSubnet::from_addr_prefix(ADDRESSES[1], 128)];
    let permitted_subtrees = names.into_iter().chain(loopback.map(GeneralSubtree::IpAddress)).collect();
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    Ok(params)
}

fn certificate_params(now: Duration) -> Result<CertificateParams, Error> {
    let mut params = common_params("Sluice development", now, CERTIFICATE_LIFE)?;
    for name in NAMES {
        params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
    }
    params.subject_alt_names.extend(ADDRESSES.map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common_params(name: &str, now: Duration, life: Duration) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // A day back, for clocks that are behind.
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + now + life;
    // Not derived from the key as rcgen would: a renewed certificate must not repeat a serial number.
    params.serial_number = Some(SerialNumber::from_slice(&now.as_nanos().to_be_bytes()));
    Ok(params)
}

/// Whether the authority in `dir` made this certificate, and it is at its end.
fn is_ours_and_ends(now: Duration, dir: &Path, certificate: &Path) -> bool {
    let Ok(der) = CertificateDer::from_pem_file(certificate) else { return false };
    let authority = dir.join(AUTHORITY);
    match verify(&authority, &der, now + RENEW_BEFORE) {
        // The signature is judged after the dates, so it is asked again for a moment when they were right.
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            verify(&authority, &der, Duration::from_secs(not_after.as_secs())).is_ok()
        }
        _ => false,
    }
}

/// Whether a certificate is no longer valid at a time.
fn ends_before(certificate: &Path, time: Duration) -> bool {
    let Ok(der) = CertificateDer::from_pem_file(certificate) else { return false };
    // Against itself: an authority is no server certificate, but its dates are judged first.
    let judged = verify(certificate, &der, time);
    matches!(judged, Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. })))
}

fn verify(authority: &Path, certificate: &CertificateDer<'_>, time: Duration) -> Result<(), rustls::Error> {
    let unreadable = |error: rustls::pki_types::pem::Error| rustls::Error::General(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).map_err(unreadable)?)?;
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate)?,
        &roots,
        &[],
        UnixTime::since_unix_epoch(time),
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all,
    )
}

fn both_exist(certificate: &Path, key: &Path) -> Result<bool, Error> {
    let exists = |path: &Path| path.try_exists().map_err(at(path));
    match (exists(certificate)?, exists(key)?) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        (true, false) => Err(Error::Half { present: certificate.to_owned(), missing: key.to_owned() }),
        (false, true) => Err(Error::Half { present: key.to_owned(), missing: certificate.to_owned() }),
    }
}

fn load_key(path: &Path) -> Result<KeyPair, Error> {
    let text = fs::read_to_string(path).map_err(at(path))?;
    KeyPair::from_pem(&text).map_err(|source| Error::Key { path: path.to_owned(), source })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Must not exist; for the owner only.
    Secret,
    /// Must not exist; for everybody to read.
    Public,
    /// Takes the place of what is there.
    Replace,
}

/// Writes a whole file or nothing: nobody ever reads a part of it.
fn write(path: &Path, text: &str, mode: Mode) -> Result<(), Error> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let unfinished = path.with_file_name(name);
    // What a run left behind that was killed here.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&unfinished)(error)),
        _ => {}
    }
    let bits = if mode == Mode::Secret { 0o600 } else { 0o644 };
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(bits).open(&unfinished).map_err(at(&unfinished))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at(&unfinished))?;
    if mode == Mode::Replace {
        return fs::rename(&unfinished, path).map_err(at(path));
    }
    // A rename would overwrite; a link refuses to.
    let linked = fs::hard_link(&unfinished, path).map_err(at(path));
    fs::remove_file(&unfinished).map_err(at(&unfinished))?;
    linked
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}

#[cfg(test)]
mod tests;
