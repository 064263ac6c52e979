//! From the name that a client asks for (SNI, RFC 6066 §3) to a certificate.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::base::host_pattern::normalise;

/// Certificates by the names in them.
#[derive(Debug, Default)]
pub(super) struct ByName {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    default: Option<Arc<CertifiedKey>>,
}

impl ByName {
    /// Enters a certificate under one of its DNS names, after those already there; `false` when that is not a host name.
    pub fn add(&mut self, name: &str, certificate: &Arc<CertifiedKey>) -> bool {
        let (names, name) = match name.strip_prefix("*.") {
            Some(suffix) => (&mut self.wildcard, suffix),
            None => (&mut self.exact, name),
        };
        let Some(name) = normalise(name) else { return false };
        names.entry(name.into_boxed_str()).or_default().push(Arc::clone(certificate));
        true
    }

    pub fn set_default(&mut self, certificate: &Arc<CertifiedKey>) {
        self.default = Some(Arc::clone(certificate));
    }

    /// The certificates for a name in lower case.
    fn of(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let found = self.exact.get(name).or_else(|| {
            let (label, suffix) = name.split_once('.')?;
            if label.is_empty() { None } else { self.wildcard.get(suffix) }
        });
        found.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = match hello.server_name().and_then(|name| self.of(name)) {
            None => self.default.as_ref(),
            Some([only]) => Some(only),
            Some(several) => several
                .iter()
                .find(|certificate| certificate.key.choose_scheme(hello.signature_schemes()).is_some())
                .or(several.first()),
        };
        chosen.cloned()
    }
}
