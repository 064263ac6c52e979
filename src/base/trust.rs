//! Which authorities the certificate of a server is verified against, whenever we are the client.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::crypto;

/// The trust anchors of one kind of connection: a bundle of its own, or the system's.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// `None`: the system's.
    bundle: Option<Vec<CertificateDer<'static>>>,
    http1: Arc<ClientConfig>,
}

impl Authorities {
    /// Reads the bundle, or without one the system's certificates.
    ///
    /// # Errors
    ///
    /// Names the file and says what is wrong with it.
    pub fn load(bundle: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let bundle = match bundle {
            Some(path) => {
                let shown = path.display();
                let parsed: Result<Vec<_>, _> =
                    CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
                let bundle = parsed.map_err(|error| format!("cannot read {shown}: {error}"))?;
                if bundle.is_empty() {
                    return Err(format!("{shown} holds no certificate"));
                }
                for certificate in &bundle {
                    roots.add(certificate.clone()).map_err(|error| format!("{shown}: {error}"))?;
                }
                Some(bundle)
            }
            None => {
                // Single unreadable system certificates are common and no reason to trust none.
                let system = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(system.map_err(|error| format!("the system's certificates: {error}"))?);
                None
            }
        };
        let mut http1 = ClientConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { bundle, http1: Arc::new(http1) })
    }

    /// The bundle that was read, when there is one.
    #[must_use]
    pub fn bundle(&self) -> Option<&[CertificateDer<'static>]> {
        self.bundle.as_deref()
    }

    /// For connections that speak HTTP/1.1 only; sessions are resumed among them.
    #[must_use]
    pub fn http1(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.http1)
    }

    /// Equal for equal bundles, so that a bundle changed on disk is noticed by the next reload.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.bundle.hash(&mut hasher);
        hasher.finish()
    }
}
