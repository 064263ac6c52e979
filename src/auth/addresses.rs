//! Lists of networks.

use std::net::IpAddr;

use crate::config::checked::identity::Addresses;

/// Allowed and denied networks, found in logarithmic time.
#[derive(Debug, Default)]
pub struct AddressRules {}

impl AddressRules {
    #[must_use]
    pub fn compile(written: &Addresses) -> Self {
        let _ = written;
        Self {}
    }

    /// `address` may be v4 mapped into v6.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let _ = address;
        true
    }
}
