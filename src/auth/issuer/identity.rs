//! Whether an issuer that runs is the one that is written: then it goes on, with its keys.

use aws_lc_rs::constant_time;

use crate::base::secret::Secret;
use crate::config::checked::identity::{Issuer, JwksUrl, KeySource};

/// Whether two specifications say the same; where they are written does not matter.
pub(super) fn same(one: &Issuer, other: &Issuer) -> bool {
    // Taken apart in full, so that a setting to come is not forgotten here.
    let Issuer {
        name,
        issuer,
        audiences,
        keys,
        algorithms,
        types,
        claims,
        leeway,
        requires_expiry,
        max_lifetime,
        partners,
        at: _,
    } = one;
    *name == other.name
        && *issuer == other.issuer
        && *audiences == other.audiences
        && same_source(keys, &other.keys)
        && *algorithms == other.algorithms
        && *types == other.types
        && *claims == other.claims
        && *leeway == other.leeway
        && *requires_expiry == other.requires_expiry
        && *max_lifetime == other.max_lifetime
        && *partners == other.partners
}

/// Whether both accept the same keys of one URL.
pub(super) fn same_keys(one: &Issuer, other: &Issuer) -> bool {
    let source = |issuer: &Issuer| match &issuer.keys {
        KeySource::Url(JwksUrl { url, ca, .. }) => Some((url.clone(), ca.clone())),
        KeySource::File(_) | KeySource::Pem(_) | KeySource::Secret(_) => None,
    };
    source(one).is_some() && source(one) == source(other) && one.algorithms == other.algorithms
}

fn same_source(one: &KeySource, other: &KeySource) -> bool {
    match (one, other) {
        (KeySource::Url(one), KeySource::Url(other)) => same_url(one, other),
        (KeySource::File(one), KeySource::File(other)) => one == other,
        (KeySource::Pem(one), KeySource::Pem(other)) => one == other,
        (KeySource::Secret(one), KeySource::Secret(other)) => same_secret(one, other),
        (KeySource::Url(_) | KeySource::File(_) | KeySource::Pem(_) | KeySource::Secret(_), _) => false,
    }
}

fn same_url(one: &JwksUrl, other: &JwksUrl) -> bool {
    let JwksUrl { url, ca, refresh, overlap, timeout, cool_down } = one;
    *url == other.url
        && *ca == other.ca
        && *refresh == other.refresh
        && *overlap == other.overlap
        && *timeout == other.timeout
        && *cool_down == other.cool_down
}

fn same_secret(one: &Secret, other: &Secret) -> bool {
    constant_time::verify_slices_are_equal(one.reveal(), other.reveal()).is_ok()
}
