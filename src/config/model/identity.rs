//! Who callers are: issuers, partners, and what upstreams are told about them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::secret::SecretSource;
use super::{Bool, Date, Digest, Duration, List, OrOff, Text, choices, model};
use crate::config::checked::identity::Algorithm;
use crate::config::defaults::{self, time};
use crate::config::report::{Code, Diagnostic};
use crate::config::yaml::{NodeId, Read, Reader, did_you_mean, list_of};

model! {
    /// Who signs tokens, and which of them are good. The keys come from exactly one of `jwks`, `public_keys` and `secret`.
    Issuer "an issuer" {
        /// What `iss` of its tokens has to be, byte for byte. Left out: its tokens have none.
        optional issuer: Text,
        /// `aud` of a token has to have one of these; `off` takes tokens that are meant for others, too.
        optional audiences: OrOff<List<Text>>,
        /// A JSON Web Key Set (RFC 7517).
        optional jwks: Jwks,
        /// Public keys or certificates as PEM files.
        optional public_keys: List<PublicKey>,
        /// HS256: what issuer and gateway share, 32 bytes at least. Written as `${env:NAME}` or `file:path`, never itself.
        optional secret: SecretSource,
        /// How the secret is written at its place.
        optional secret_encoding: SecretEncoding = "text",
        /// Which algorithms its tokens may be signed with. When not written: HS256 with `secret`, those of `public_keys`, or
        /// all that are not HS256 with `jwks`.
        optional algorithms: List<AlgorithmName>,
        /// Which `typ` its tokens may have, whatever the case, with or without `application/`; `none` means a token without one.
        optional types: List<Text> = vec!["at+jwt", "jwt", "none"],
        /// Which claims mean what.
        optional claims: ClaimNames,
        /// How far its clock and ours may be apart.
        optional leeway: Duration = time(defaults::LEEWAY),
        /// Whether its tokens have to have `exp`.
        optional expiry: Need = "required",
        /// The longest time from `iat` to `exp` of a token, which then has to have both; `off` for no limit.
        optional max_lifetime: OrOff<Duration> = "off",
        /// The only partners that its tokens may speak for; all of them when not written.
        optional partners: List<Text>,
    }

    /// A JSON Web Key Set: exactly one of `url` and `file`; all else belongs to `url`.
    Jwks "`jwks`" {
        /// Where it is fetched: `https`, or `http` from a loopback address.
        optional url: Text,
        /// A file, from the folder of this file. Read again when it changes.
        optional file: Text,
        /// A PEM file of authorities to trust instead of the system's, from the folder of this file.
        optional ca: Text,
        /// How often it is fetched when the answer does not say for how long it is fresh.
        optional refresh: Duration = time(defaults::JWKS_REFRESH),
        /// How long a key that has left the set is still good.
        optional overlap: Duration = time(defaults::JWKS_OVERLAP),
        /// For one fetch, and for a request that waits for one.
        optional timeout: Duration = time(defaults::JWKS_TIMEOUT),
        /// Between two fetches that unknown keys cause.
        optional cool_down: Duration = time(defaults::JWKS_COOL_DOWN),
    }

    /// A public key that tokens are verified with.
    PublicKey "a public key" {
        /// PEM of the key or of a certificate, from the folder of this file. Read again when it changes.
        required file: Text,
        /// The one algorithm that it is for.
        required algorithm: AlgorithmName,
        /// `kid` of the tokens that it is for; any token when not written.
        optional id: Text,
    }

    /// Which claims mean what: names, or JSON pointers (RFC 6901) that begin with a slash.
    ClaimNames "`claims` of an issuer" {
        /// Tells the partner.
        optional partner: Text = defaults::PARTNER_CLAIM,
        /// Tells who it is within the partner.
        optional subject: Text = defaults::SUBJECT_CLAIM,
        /// Text with spaces, or an array of texts.
        optional scopes: Text = defaults::SCOPES_CLAIM,
        /// Tells this token from all others, for revocation.
        optional token_id: Text = defaults::TOKEN_ID_CLAIM,
    }

    /// Somebody whose requests belong together.
    Partner "a partner" {
        /// What has been agreed on; without one, nothing of it limits this partner.
        optional plan: Text,
        /// Off refuses it everywhere.
        optional enabled: Bool = true,
        /// Values of the partner claim that mean this partner; its name when not written.
        optional clients: List<Text>,
        /// What it may with an API key or a certificate. Tokens bring their own scopes.
        optional scopes: List<Text>,
        /// Keys at rest, as `sluice key new` makes them.
        optional api_keys: List<ApiKey>,
        /// What tells its client certificates.
        optional certificates: List<CertificateName>,
    }

    /// An API key, without the key.
    ApiKey "an API key" {
        /// The part of the key that is no secret.
        required id: Text,
        /// SHA-256 of the whole key, as 64 hexadecimal digits.
        required sha256: Digest,
        /// When it ends: a date, or date and time (RFC 3339). Never when not written.
        optional expires: Date,
        /// Instead of those of the partner.
        optional scopes: List<Text>,
    }

    /// What tells a client certificate: exactly one of these.
    CertificateName "the name of a certificate" {
        /// A DNS name among its subject alternative names.
        optional dns: Text,
        /// A URI among them, such as a SPIFFE id, byte for byte.
        optional uri: Text,
        /// A mail address among them.
        optional email: Text,
        /// SHA-256 of the certificate, in hexadecimal digits, with or without colons.
        optional fingerprint: Digest,
    }

    /// How upstreams learn who calls. Clients cannot send these fields: they are taken off every request.
    Identity "`identity`" {
        /// What is said in plain text.
        optional headers: IdentityHeaders,
        /// Says it in a short-lived token of the gateway's own. Not sent when not written.
        optional token: Box<IdentityToken>,
    }

    /// Names of fields; `off` for one that is not sent.
    IdentityHeaders "`headers` of `identity`" {
        /// The partner's name.
        optional partner: OrOff<Text> = defaults::PARTNER_HEADER,
        /// The subject of the token.
        optional subject: OrOff<Text> = defaults::SUBJECT_HEADER,
        /// The scopes, with spaces between them.
        optional scopes: OrOff<Text> = defaults::SCOPES_HEADER,
    }

    /// A signed statement of the gateway's own about the caller.
    IdentityToken "`token` of `identity`" {
        /// The field that carries it.
        optional header: Text = defaults::TOKEN_HEADER,
        /// PEM of the private key (RSA, P-256, P-384 or Ed25519), from the folder of this file.
        required key: Text,
        /// What it is signed with; it has to fit the key.
        optional algorithm: AlgorithmName = "ES256",
        /// `kid` of the tokens; the thumbprint of the key (RFC 7638) when not written.
        optional key_id: Text,
        /// `iss` of the tokens.
        optional issuer: Text = defaults::TOKEN_ISSUER,
        /// `aud` of the tokens; the name of the upstream that gets it when not written, so that one cannot show it to another.
        optional audience: Text,
        /// From `iat` to `exp`.
        optional lifetime: Duration = time(defaults::TOKEN_LIFETIME),
    }
}

choices! {
    SecretEncoding "an encoding of secrets" {
        Text "text",
        Base64 "base64",
    }

    Need "an answer here" {
        Required "required",
        Optional "optional",
    }
}

/// A signature algorithm as the registry of RFC 7518 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlgorithmName(pub(crate) Algorithm);

impl Read for AlgorithmName {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let word = reader.text(node, "text for an algorithm such as `ES256`")?;
        if let Some(known) = Algorithm::ALL.iter().find(|known| known.as_str() == word) {
            return Some(Self(*known));
        }
        if word.eq_ignore_ascii_case("none") {
            let message = "`none` is a token that nobody signed, and no such token is ever good";
            reader.note(Diagnostic::new(Code::NoneAlgorithm, reader.span(node), message));
            return None;
        }
        let names = || Algorithm::ALL.iter().map(|known| known.as_str());
        let message = format!("`{word}` is not an algorithm that tokens are verified with");
        let mistake = Diagnostic::new(Code::UnknownAlgorithm, reader.span(node), message);
        let mistake = match did_you_mean(&word, names()) {
            Some(meant) => mistake.label(format!("did you mean `{meant}`?")),
            None => mistake.label("not known here"),
        };
        reader.note(mistake.note(format!("known here: {}", list_of(names()))));
        None
    }
}

impl JsonSchema for AlgorithmName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Algorithm::ALL.iter().map(|known| known.as_str()).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}
