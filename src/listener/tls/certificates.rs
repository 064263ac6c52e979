//! Certificate chains and keys from disk, checked before anything is served with them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::InconsistentKeys;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::error::{Pair, TlsError, TlsProblem};
use super::names::ByName;
use crate::base::{clock, crypto};
use crate::config::checked::ListenerTls;

const LARGEST_FILE: u64 = 1 << 20;

/// The certificates of a listener: every chain parsed, every key known to fit.
#[derive(Debug)]
pub struct Certificates {
    listed: Vec<Listed>,
    by_name: Arc<ByName>,
}

#[derive(Debug)]
struct Listed {
    served: Arc<CertifiedKey>,
    expiry: Expiry,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Its first DNS name, or its subject when it has none.
    pub name: Arc<str>,
    /// `notAfter`, since 1970-01-01 UTC.
    pub not_after: Duration,
}

impl Certificates {
    /// Reads and checks all pairs of files; the first fault is the error. It blocks on files.
    ///
    /// An expired certificate is loaded with a warning: clients see what is wrong then, and the other names stay served.
    pub fn load(settings: &ListenerTls, listener: &str) -> Result<Self, TlsError> {
        let mut listed = Vec::with_capacity(settings.certificates.len());
        let mut names = ByName::default();
        for (index, files) in settings.certificates.iter().enumerate() {
            let pair = Pair { listener, index, files };
            let chain = read_chain(&pair)?;
            let leaf = describe(&chain).map_err(|problem| pair.certificate(problem))?;
            let served = Arc::new(with_key(&pair, chain)?);
            let usable = leaf.names.iter().filter(|name| names.add(name, &served)).count();
            if usable == 0 && index > 0 {
                return Err(pair.certificate(TlsProblem::Nameless));
            }
            if leaf.expiry.not_after <= clock::since_epoch() {
                let file = files.certificate.display();
                tracing::warn!(listener, certificate = &*leaf.expiry.name, %file, "certificate has expired");
            }
            listed.push(Listed { served, expiry: leaf.expiry });
        }
        let first = listed.first().ok_or_else(|| TlsError::of_listener(listener, TlsProblem::Empty))?;
        names.set_default(&first.served);
        Ok(Self { listed, by_name: Arc::new(names) })
    }

    /// Chooses by SNI: an exact name, then a wildcard of one label (RFC 9525 §6.3), then the first certificate listed, which
    /// also serves clients that send no name. Among several certificates for one name (ECDSA beside RSA) the first one listed
    /// whose key the client can verify is taken.
    #[must_use]
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.by_name) as Arc<dyn ResolvesServerCert>
    }

    /// When each of them ends, in the order of the file.
    #[must_use]
    pub fn expiry(&self) -> Vec<Expiry> {
        self.listed.iter().map(|listed| listed.expiry.clone()).collect()
    }

    /// Whether both hold the same chains; the same certificate cannot fit two keys.
    pub(super) fn serves_the_same_as(&self, other: &Self) -> bool {
        self.listed.len() == other.listed.len()
            && self.listed.iter().zip(&other.listed).all(|(ours, theirs)| ours.served.cert == theirs.served.cert)
    }
}

fn read_chain(pair: &Pair<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(&pair.files.certificate).map_err(|problem| pair.certificate(problem))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pair.certificate(TlsProblem::Pem(error)))?;
    if chain.is_empty() { Err(pair.certificate(TlsProblem::NoCertificate)) } else { Ok(chain) }
}

fn with_key(pair: &Pair<'_>, chain: Vec<CertificateDer<'static>>) -> Result<CertifiedKey, TlsError> {
    let text = read(&pair.files.key).map_err(|problem| pair.key(problem))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        pair.key(match error {
            pem::Error::NoItemsFound => TlsProblem::NoKey,
            error => TlsProblem::Pem(error),
        })
    })?;
    let key =
        crypto::provider().key_provider.load_private_key(key).map_err(|error| pair.key(TlsProblem::Key(error)))?;
    let served = CertifiedKey::new(chain, key);
    match served.keys_match() {
        Ok(()) => Ok(served),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(pair.key(TlsProblem::KeyMismatch { certificate: pair.files.certificate.clone() }))
        }
        Err(rustls::Error::InvalidCertificate(error)) => {
            Err(pair.certificate(TlsProblem::Certificate { position: 1, detail: error.to_string() }))
        }
        Err(error) => Err(pair.key(TlsProblem::Key(error))),
    }
}

/// At most 1 MiB.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, TlsProblem> {
    let mut content = Vec::new();
    File::open(file)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut content))
        .map_err(TlsProblem::Read)?;
    if content.len() as u64 > LARGEST_FILE { Err(TlsProblem::TooLarge) } else { Ok(content) }
}

struct Leaf {
    names: Vec<String>,
    expiry: Expiry,
}

/// Parses every certificate of a chain and describes the first.
fn describe(chain: &[CertificateDer<'_>]) -> Result<Leaf, TlsProblem> {
    let mut leaf = None;
    for (der, position) in chain.iter().zip(1..) {
        let fault = |detail: String| TlsProblem::Certificate { position, detail };
        let certificate = parse(der).map_err(fault)?;
        if leaf.is_none() {
            leaf = Some(describe_leaf(&certificate).map_err(fault)?);
        }
    }
    leaf.ok_or(TlsProblem::NoCertificate)
}

/// Reads one certificate and nothing after it.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).map_err(|error| error.to_string())?;
    if rest.is_empty() { Ok(certificate) } else { Err(format!("{} bytes follow its end", rest.len())) }
}

fn describe_leaf(certificate: &X509Certificate<'_>) -> Result<Leaf, String> {
    let alternatives = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names: Vec<String> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    let name = names.first().cloned().unwrap_or_else(|| certificate.subject().to_string());
    let not_after = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    Ok(Leaf { names, expiry: Expiry { name: name.into(), not_after: Duration::from_secs(not_after) } })
}
