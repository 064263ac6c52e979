//! Who may have signed the certificates of clients.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::certificates::{parse, read};
use super::error::{TlsError, TlsProblem};
use crate::base::crypto;
use crate::config::checked::ClientCertificates;

/// Names of authorities are sent to every client, so that it can choose a certificate; more than this of them would be a burden on
/// each handshake (and 64 KiB do not fit one), and clients choose without.
const LONGEST_HINTS: usize = 8 << 10;

/// The bundle of a listener that asks for client certificates, parsed.
#[derive(Debug)]
pub(super) struct Authorities {
    /// Sorted, without repetition.
    trusted: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// Reads and checks the bundle; any fault in it is an error.
    pub fn load(settings: &ClientCertificates, listener: &str) -> Result<Self, TlsError> {
        let fault = |problem| TlsError {
            at: Some(settings.at.clone()),
            setting: format!("listeners[{listener}].tls.client_certificates.ca"),
            file: Some(settings.ca.clone()),
            problem: Box::new(problem),
        };
        let text = read(&settings.ca).map_err(fault)?;
        let mut trusted: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| fault(TlsProblem::Pem(error)))?;
        let mut roots = RootCertStore::empty();
        for (der, position) in trusted.iter().zip(1..) {
            let invalid = |detail| fault(TlsProblem::Certificate { position, detail });
            // As an anchor any certificate would do: a partner's own, listed here by mistake, could sign in the name of all others.
            if !parse(der).map_err(invalid)?.is_ca() {
                return Err(fault(TlsProblem::NoAuthority { position }));
            }
            roots.add(der.clone()).map_err(|error| invalid(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(fault(TlsProblem::NoAuthorities));
        }
        trusted.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        trusted.dedup();
        let hints: usize = roots.subjects().iter().map(|name| name.as_ref().len()).sum();
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto::provider());
        if hints > LONGEST_HINTS {
            verifier = verifier.clear_root_hint_subjects();
        }
        if !settings.required {
            verifier = verifier.allow_unauthenticated();
        }
        let verifier = verifier.build().map_err(|error| fault(TlsProblem::Authorities(error)))?;
        Ok(Self { trusted, verifier })
    }

    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Whether both let the same clients in.
    pub fn trust_the_same_as(&self, other: &Self) -> bool {
        self.trusted == other.trusted
    }
}
