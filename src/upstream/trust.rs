//! What an upstream's certificate is verified against.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::base::trust::Authorities;
use crate::config::checked::UpstreamTls;

/// The name that an upstream has to prove, and who may vouch for it.
#[derive(Clone, Debug)]
pub struct Trust {
    server_name: ServerName<'static>,
    authorities: Authorities,
}

impl Trust {
    /// Reads the bundle; the error names the file and says what is wrong with it.
    pub fn load(tls: &UpstreamTls) -> Result<Self, String> {
        let server_name = ServerName::try_from(tls.server_name.to_string())
            .map_err(|_| format!("`{}` is not a server name", tls.server_name))?;
        let authorities = match &tls.ca {
            Some(path) => Authorities::load(Some(path)).map_err(|error| format!("tls.ca: {error}"))?,
            None => Authorities::load(None)?,
        };
        Ok(Self { server_name, authorities })
    }

    /// Sent as SNI and verified.
    #[must_use]
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }

    /// The upstream's own bundle, when it has one.
    #[must_use]
    pub fn bundle(&self) -> Option<&[CertificateDer<'static>]> {
        self.authorities.bundle()
    }

    /// For connections that speak HTTP/1.1 only; sessions are resumed among them.
    #[must_use]
    pub fn http1(&self) -> Arc<ClientConfig> {
        self.authorities.http1()
    }

    /// Equal for equal bundles, so that a bundle changed on disk is noticed by the next reload.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.authorities.fingerprint()
    }
}
