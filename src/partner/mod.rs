//! Partners by whatever tells them: claim, key, certificate.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::config::checked::identity as checked;
use crate::config::checked::identity::CertificateName;

/// Everybody who is known; immutable, part of a snapshot. `P` is what the snapshot keeps for each partner.
///
/// Whatever tells a partner tells one only: checked configuration has it so, and should it be otherwise, the first by name has it. Each
/// look-up is one hash. A partner with one client name, one key and one certificate takes some 500 bytes here, the texts shared with the
/// configuration and `P` not counted.
#[derive(Debug)]
pub struct Registry<P> {
    /// By name.
    sorted: Box<[(Arc<str>, Arc<P>)]>,
    // Only the operator puts in what is hashed here, so nobody can make keys that collide.
    by_name: HashMap<Arc<str>, Arc<P>, FixedState>,
    by_client: HashMap<Arc<str>, Arc<P>, FixedState>,
    by_key: HashMap<Arc<str>, KnownKey<P>, FixedState>,
    by_certificate: HashMap<CertificateName, Arc<P>, FixedState>,
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
    pub fn new(partners: &checked::Partners, mut keep: impl FnMut(&checked::Partner) -> Arc<P>) -> Self {
        let kept: Vec<(&checked::Partner, Arc<P>)> =
            partners.values().map(|partner| (partner, keep(partner))).collect();
        let of_each = |(partner, kept): &(&checked::Partner, Arc<P>)| (Arc::clone(&partner.name), Arc::clone(kept));
        Self {
            sorted: kept.iter().map(of_each).collect(),
            by_name: table(kept.len(), kept.iter().map(of_each)),
            by_client: index(&kept, |partner| &partner.clients, |client, partner| (Arc::clone(client), partner)),
            by_key: index(
                &kept,
                |partner| &partner.api_keys,
                |key, partner| {
                    let scopes = key.scopes.clone().map(|mut scopes| {
                        scopes.sort();
                        scopes.into()
                    });
                    (Arc::clone(&key.id), KnownKey { partner, key: key.clone(), scopes })
                },
            ),
            by_certificate: index(&kept, |partner| &partner.certificates, |name, partner| (name.clone(), partner)),
        }
    }

    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<P>> {
        self.by_name.get(name)
    }

    /// By the value of the partner claim.
    #[must_use]
    pub fn by_client(&self, client: &str) -> Option<&Arc<P>> {
        self.by_client.get(client)
    }

    #[must_use]
    pub fn by_key(&self, id: &str) -> Option<&KnownKey<P>> {
        self.by_key.get(id)
    }

    /// By the first of these that is somebody's.
    #[must_use]
    pub fn by_certificate<'n>(&self, names: impl IntoIterator<Item = &'n CertificateName>) -> Option<&Arc<P>> {
        names.into_iter().find_map(|name| self.by_certificate.get(name))
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<P>)> {
        self.sorted.iter().map(|(name, kept)| (name, kept))
    }
}

/// One entry for each thing that tells a partner.
fn index<'c, P, T: 'c, K: Hash + Eq, V>(
    kept: &[(&'c checked::Partner, Arc<P>)],
    things: impl Fn(&'c checked::Partner) -> &'c Vec<T>,
    entry: impl Fn(&T, Arc<P>) -> (K, V),
) -> HashMap<K, V, FixedState> {
    let number = kept.iter().map(|(partner, _)| things(partner).len()).sum();
    let of_one = |(partner, kept): &(&'c checked::Partner, Arc<P>)| {
        things(partner).iter().map(|thing| entry(thing, Arc::clone(kept))).collect::<Vec<_>>()
    };
    table(number, kept.iter().flat_map(of_one))
}

fn table<K: Hash + Eq, V>(number: usize, entries: impl Iterator<Item = (K, V)>) -> HashMap<K, V, FixedState> {
    let mut table = HashMap::with_capacity_and_hasher(number, FixedState::default());
    for (key, value) in entries {
        table.entry(key).or_insert(value);
    }
    table
}

#[cfg(test)]
mod tests;
