//! Who callers are and what they may: issuers, partners, and what a route asks of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use regex::bytes::Regex;

use crate::base::host_pattern::is_name;
use crate::base::location::Location;
use crate::base::secret::Secret;

/// Who signs tokens, and which of them are good.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub name: Arc<str>,
    /// What `iss` has to be, byte for byte; `None`: this issuer's tokens have none.
    pub issuer: Option<Arc<str>>,
    /// `aud` has to have one of these; not looked at when empty.
    pub audiences: Vec<Arc<str>>,
    pub keys: KeySource,
    /// Never empty; a token with any other is refused before a key is looked for.
    pub algorithms: Vec<Algorithm>,
    pub types: TokenTypes,
    pub claims: ClaimNames,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Refuse tokens without `exp`.
    pub requires_expiry: bool,
    /// Refuse tokens with more than this between `iat` and `exp`, and tokens without one of them.
    pub max_lifetime: Option<Duration>,
    /// The partners that its tokens may speak for; all of them when `None`.
    pub partners: Option<BTreeSet<Arc<str>>>,
    pub at: Location,
}

impl Issuer {
    /// Whether what it says about a partner, by name, counts.
    #[must_use]
    pub fn speaks_for(&self, partner: &str) -> bool {
        self.partners.as_ref().is_none_or(|partners| partners.contains(partner))
    }
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A JSON Web Key Set (RFC 7517) that is fetched and kept fresh.
    Url(JwksUrl),
    /// A JSON Web Key Set on disk, watched.
    File(PathBuf),
    /// Public keys or certificates as PEM files, watched.
    Pem(Vec<PemKey>),
    /// HMAC: the secret that issuer and gateway share.
    Secret(Secret),
}

#[derive(Clone, Debug)]
pub struct JwksUrl {
    /// `https`, or `http` to a loopback address.
    pub url: http::Uri,
    /// PEM bundle to verify the server against instead of the system's.
    pub ca: Option<PathBuf>,
    /// How often it is fetched when the answer does not say for how long it is fresh.
    pub refresh: Duration,
    /// How long a key that has left the set is still good.
    pub overlap: Duration,
    /// For one fetch, and for the request that waits for one.
    pub timeout: Duration,
    /// Between two fetches that unknown keys cause.
    pub cool_down: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PemKey {
    pub file: PathBuf,
    /// `kid` of tokens signed with it; `None` fits any token.
    pub id: Option<Arc<str>>,
    pub algorithm: Algorithm,
}

/// Signature algorithms of RFC 7518 §3.1 and RFC 8037 that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Hs256,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    /// As in the registry; no library of ours verifies P-521 tokens unless it says so.
    Es512,
    EdDsa,
}

impl Algorithm {
    pub const ALL: &'static [Self] = &[
        Self::Hs256,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// As `alg` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Which `typ` a token may have (RFC 8725 §3.11).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenTypes {
    /// In lower case, without `application/`.
    pub named: Vec<Box<str>>,
    /// Tokens without a `typ` are good, too.
    pub untyped: bool,
}

/// Which claims mean what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimNames {
    pub partner: ClaimPath,
    pub subject: ClaimPath,
    /// A text with spaces (RFC 8693 §4.2) or an array of texts.
    pub scopes: ClaimPath,
    pub token_id: ClaimPath,
}

/// The way to a claim: one name, or several for a claim within a claim. Written as a name, or as a JSON pointer
/// (RFC 6901) when it begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimPath(pub Arc<[Box<str>]>);

/// How a route knows the caller.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Nobody is asked; said out loud in the file.
    None,
    Required(Box<Access>),
}

/// What a route asks of its callers.
#[derive(Clone, Debug)]
pub struct Access {
    /// Any of these, never empty; tried in this order.
    pub methods: Vec<Method>,
    /// Refuse callers that are no known partner.
    pub requires_partner: bool,
    pub scopes: Scopes,
    /// All have to hold. A caller without a token has no claims.
    pub claims: Vec<ClaimRule>,
    pub partners: Lists<Arc<str>>,
    /// Count and log what would be refused for missing rights or a bad credential, and let it pass.
    pub observe: bool,
    /// Forward the credential, too; otherwise it stays here.
    pub keep_credential: bool,
}

/// One way to be known.
#[derive(Clone, Debug)]
pub enum Method {
    /// By a token of one of these issuers.
    Token {
        issuers: Vec<Arc<str>>,
        from: TokenPlaces,
    },
    ApiKey(ApiKeyPlaces),
    /// By the client certificate of the connection.
    Certificate,
}

/// Where a token may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlaces {
    /// `Authorization: Bearer` (RFC 6750 §2.1).
    pub authorization: bool,
    /// A query parameter (RFC 6750 §2.3), which is taken off before the request is forwarded.
    pub query: Option<Box<str>>,
    pub cookie: Option<Box<str>>,
    /// `Sec-WebSocket-Protocol: bearer, <token>`: the pair is taken off, and `bearer` is not what is agreed on.
    pub websocket_protocol: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyPlaces {
    pub header: Option<HeaderName>,
    pub query: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// All of these.
    pub all_of: Vec<Arc<str>>,
    /// At least one of these, when not empty.
    pub any_of: Vec<Arc<str>>,
}

#[derive(Clone, Debug)]
pub struct ClaimRule {
    pub claim: ClaimPath,
    pub condition: ClaimCondition,
}

/// Holds for an array when it holds for one of its members.
#[derive(Clone, Debug)]
pub enum ClaimCondition {
    Equals(serde_json::Value),
    In(Vec<serde_json::Value>),
    /// The whole text, as if between `^` and `$`.
    Matches(Regex),
}

/// Who may and who may not; denial wins.
#[derive(Clone, Debug)]
pub struct Lists<T> {
    /// Nobody else, when not empty.
    pub allow: Vec<T>,
    pub deny: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { allow: Vec::new(), deny: Vec::new() }
    }
}

/// Addresses of clients that may call a route; v4 addresses in v6 are v4.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub lists: Lists<IpNet>,
    pub observe: bool,
}

/// Somebody whose requests belong together.
#[derive(Clone, Debug)]
pub struct Partner {
    pub name: Arc<str>,
    pub plan: Option<Arc<str>>,
    /// Refused when not.
    pub enabled: bool,
    /// Values of the partner claim that mean this partner, its name among them unless others are written.
    pub clients: Vec<Arc<str>>,
    /// What it may with an API key or a certificate.
    pub scopes: Vec<Arc<str>>,
    pub api_keys: Vec<ApiKey>,
    pub certificates: Vec<CertificateName>,
    pub at: Location,
}

/// A key at rest: what is needed to know it when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The part that is no secret; unique over all partners.
    pub id: Arc<str>,
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// Since 1970 UTC.
    pub expires: Option<Duration>,
    /// Instead of those of the partner.
    pub scopes: Option<Vec<Arc<str>>>,
}

/// What tells a client certificate; unique over all partners. Names are subject alternative names in the one form that is compared, which
/// [`dns`](Self::dns), [`uri`](Self::uri) and [`email`](Self::email) make.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateName {
    Dns(Box<str>),
    /// Byte for byte.
    Uri(Box<str>),
    /// In lower case.
    Email(Box<str>),
    /// SHA-256 of the certificate.
    Fingerprint([u8; 32]),
}

impl CertificateName {
    /// A host name without wildcard, in lower case; `None` for anything else.
    #[must_use]
    pub fn dns(name: &str) -> Option<Self> {
        is_name(name).then(|| Self::Dns(name.to_ascii_lowercase().into()))
    }

    /// A URI, byte for byte, as a SPIFFE id is compared.
    #[must_use]
    pub fn uri(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(of_scheme);
        let is_uri = is_scheme && !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
        is_uri.then(|| Self::Uri(uri.into()))
    }

    /// A mailbox, its host in lower case; what is before the `@` counts as it is written (RFC 5280 §7.5).
    #[must_use]
    pub fn email(mailbox: &str) -> Option<Self> {
        let (local, host) = mailbox.rsplit_once('@')?;
        let is_mailbox = !local.is_empty() && local.bytes().all(|byte| byte.is_ascii_graphic()) && is_name(host);
        is_mailbox.then(|| Self::Email(format!("{local}@{}", host.to_ascii_lowercase()).into()))
    }
}

/// How upstreams learn who calls. Clients cannot send these fields: they are taken off every request.
#[derive(Clone, Debug)]
pub struct Identity {
    pub partner: Option<HeaderName>,
    pub subject: Option<HeaderName>,
    pub scopes: Option<HeaderName>,
    pub token: Option<IdentityToken>,
}

/// A signed statement of ours about the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityToken {
    pub header: HeaderName,
    /// PEM of the private key (RSA, P-256, P-384 or Ed25519).
    pub key: PathBuf,
    pub algorithm: Algorithm,
    pub key_id: Option<Arc<str>>,
    pub issuer: Arc<str>,
    /// `None`: the name of the upstream that gets it.
    pub audience: Option<Arc<str>>,
    pub lifetime: Duration,
}

/// Everybody who is known, by name.
pub type Partners = BTreeMap<Arc<str>, Partner>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_certificate_has_one_form() {
        let dns = |name: &str| CertificateName::dns(name).map(|name| format!("{name:?}"));
        let (uri, email) = (CertificateName::uri, CertificateName::email);
        assert_eq!(dns("Api.Acme.TEST").as_deref(), Some(r#"Dns("api.acme.test")"#));
        for name in ["", "*.acme.test", "a..b", "a b", ".a", "a.", "\u{fc}.test", "a\0.test"] {
            assert_eq!(dns(name), None, "{name}");
        }
        assert_eq!(uri("spiffe://acme.test/Ns"), Some(CertificateName::Uri("spiffe://acme.test/Ns".into())));
        assert_eq!(uri("urn:uuid:A"), Some(CertificateName::Uri("urn:uuid:A".into())));
        for text in ["", "acme", ":a", "a:", "1a:b", "a b:c", "a:b c", "a:\u{fc}", "a:b\n"] {
            assert_eq!(uri(text), None, "{text}");
        }
        assert_eq!(email("Ops@Acme.TEST"), Some(CertificateName::Email("Ops@acme.test".into())));
        for text in ["", "@acme.test", "ops@", "ops", "o ps@acme.test", "ops@*.test"] {
            assert_eq!(email(text), None, "{text}");
        }
    }
}
