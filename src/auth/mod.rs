//! Who calls, and what they may: tokens, API keys, client certificates; scopes, claims, lists.

pub mod access;
pub mod addresses;
pub mod api_key;
pub mod challenge;
pub mod issuer;
pub mod jwt;
pub mod revocation;
pub mod sign;
pub mod tokens;
