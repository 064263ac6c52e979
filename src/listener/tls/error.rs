//! What can be wrong with the certificates of a listener, and where it was written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::location::Location;
use crate::config::checked::CertificateFiles;

/// A certificate or key that cannot be served: the place, the setting, the file, and what is wrong with it.
#[derive(Debug)]
pub struct TlsError {
    /// Where the pair of files was written; `None` when the fault lies with the listener as a whole.
    pub at: Option<Location>,
    /// Such as `listeners[https].tls.certificates[0].key`.
    pub setting: String,
    pub file: Option<PathBuf>,
    pub problem: Box<TlsProblem>,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    #[error("no certificate is given; list at least one pair of `certificate` and `key`")]
    Empty,
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("is larger than 1 MiB, which no PEM file of a certificate or key is")]
    TooLarge,
    #[error("is not valid PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    #[error("holds no `BEGIN CERTIFICATE`; give the chain in PEM, the certificate of the server first")]
    NoCertificate,
    #[error("certificate {position} in it is not valid X.509: {detail}")]
    Certificate {
        /// 1-based; of a chain, 1 is the certificate of the server.
        position: usize,
        detail: String,
    },
    #[error(
        "its certificate has no DNS name (subjectAltName), so no client can ask for it; only the first one listed may do without"
    )]
    Nameless,
    #[error(
        "holds no private key; give it in PEM and unencrypted (`openssl pkey -in OLD -out NEW` takes the pass phrase off an encrypted one)"
    )]
    NoKey,
    #[error(
        "holds a key that cannot be used: {0}; ECDSA P-256, P-384 or P-521, Ed25519, or RSA from 2048 bits are known"
    )]
    Key(rustls::Error),
    #[error("does not belong to the certificate in {}; were both files replaced together?", .certificate.display())]
    KeyMismatch { certificate: PathBuf },
    #[error("holds no `BEGIN CERTIFICATE`; give the certificates of the authorities in PEM")]
    NoAuthorities,
    #[error(
        "certificate {position} in it is no authority (basicConstraints CA:TRUE); list who signs certificates of clients, not the certificates"
    )]
    NoAuthority {
        /// 1-based.
        position: usize,
    },
    #[error("clients cannot be verified against it: {0}")]
    Authorities(rustls::server::VerifierBuilderError),
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

impl TlsError {
    pub(super) fn of_listener(listener: &str, problem: TlsProblem) -> Self {
        Self { at: None, setting: format!("listeners[{listener}].tls"), file: None, problem: Box::new(problem) }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        write!(f, "{}: ", self.setting)?;
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for TlsError {}

/// One pair of files in the configuration, for naming it in errors.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub listener: &'a str,
    pub index: usize,
    pub files: &'a CertificateFiles,
}

impl Pair<'_> {
    pub fn certificate(&self, problem: TlsProblem) -> TlsError {
        self.error("certificate", &self.files.certificate, problem)
    }

    pub fn key(&self, problem: TlsProblem) -> TlsError {
        self.error("key", &self.files.key, problem)
    }

    fn error(&self, member: &str, file: &Path, problem: TlsProblem) -> TlsError {
        TlsError {
            at: Some(self.files.at.clone()),
            setting: format!("listeners[{}].tls.certificates[{}].{member}", self.listener, self.index),
            file: Some(file.to_owned()),
            problem: Box::new(problem),
        }
    }
}
