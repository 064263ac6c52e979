//! Partners by whatever tells them: claim, key, certificate.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::checked::identity as checked;
use crate::config::checked::identity::CertificateName;

/// Everybody who is known; immutable, part of a snapshot. `P` is what the snapshot keeps for each partner.
#[derive(Debug)]
pub struct Registry<P> {
    by_name: BTreeMap<Arc<str>, Arc<P>>,
}

/// A key that is known.
#[derive(Debug)]
pub struct KnownKey<P> {
    pub partner: Arc<P>,
    pub key: checked::ApiKey,
    /// Sorted.
    pub scopes: Option<Arc<[Arc<str>]>>,
}

impl<P> Registry<P> {
    /// Of what each partner is told by, and what is kept for it.
    #[must_use]
    pub fn new(partners: &checked::Partners, keep: impl FnMut(&checked::Partner) -> Arc<P>) -> Self {
        let by_name = partners.keys().cloned().zip(partners.values().map(keep)).collect();
        Self { by_name }
    }

    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<P>> {
        self.by_name.get(name)
    }

    /// By the value of the partner claim.
    #[must_use]
    pub fn by_client(&self, client: &str) -> Option<&Arc<P>> {
        self.by_name.get(client)
    }

    #[must_use]
    pub fn by_key(&self, id: &str) -> Option<&KnownKey<P>> {
        let _ = id;
        None
    }

    /// By the first of these that is somebody's.
    #[must_use]
    pub fn by_certificate<'n>(&self, names: impl IntoIterator<Item = &'n CertificateName>) -> Option<&Arc<P>> {
        let _ = names.into_iter().next();
        None
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<P>)> {
        self.by_name.iter()
    }
}
