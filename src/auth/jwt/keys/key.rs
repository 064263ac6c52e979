//! One key, for one algorithm, read once and then ready to verify with.

use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, EcdsaVerificationAlgorithm,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents,
};

use crate::config::checked::identity::Algorithm;

/// What signatures of one algorithm are verified with.
#[derive(Clone)]
pub(super) enum Material {
    /// Parsed: to read an RSA key again for every token, forged ones among them, costs a tenth of its verification.
    Public(ParsedPublicKey),
    Shared {
        key: Box<hmac::Key>,
        /// SHA-256 of the secret, to tell two of them apart.
        digest: [u8; 32],
    },
}

/// What a key has to be of to be good for an algorithm.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Rsa(&'static RsaParameters),
    Ec(&'static EcdsaVerificationAlgorithm, Curve),
    Ed25519,
    Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// Bytes of a coordinate.
    const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl Kind {
    /// The rules of RFC 7518 §3.3 to §3.5 and RFC 8037 §3.1: each algorithm has one form of key, hash, padding and signature.
    pub(super) const fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::Secret,
            Algorithm::Rs256 => Self::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Self::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Self::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => Self::Rsa(&RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Self::Rsa(&RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Self::Rsa(&RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 => Self::Ec(&ECDSA_P256_SHA256_FIXED, Curve::P256),
            Algorithm::Es384 => Self::Ec(&ECDSA_P384_SHA384_FIXED, Curve::P384),
            Algorithm::Es512 => Self::Ec(&ECDSA_P521_SHA512_FIXED, Curve::P521),
            Algorithm::EdDsa => Self::Ed25519,
        }
    }
}

/// Why bytes are no key.
pub(super) type Unfit = &'static str;

impl Material {
    /// From modulus and exponent without leading zeroes.
    pub(super) fn rsa(parameters: &'static RsaParameters, n: &[u8], e: &[u8]) -> Result<Self, Unfit> {
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        if n.first() == Some(&0) || e.first() == Some(&0) {
            return Err("its modulus or exponent begins with a zero");
        }
        if bits < 2048 {
            return Err("an RSA key needs 2048 bits or more");
        }
        if bits > 8192 {
            return Err("an RSA key may have 8192 bits at most");
        }
        if n.last().is_none_or(|last| last % 2 == 0) {
            return Err("its modulus is even");
        }
        // The library takes no exponents of more than 33 bits, and nobody uses one.
        if e.len() > 4 || e.last().is_none_or(|last| last % 2 == 0) || e == [1] {
            return Err("its exponent is not an odd number from 3 to 2^32");
        }
        let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
        key.map(Self::Public).map_err(|_| "it is no RSA key")
    }

    /// From the coordinates of a point.
    pub(super) fn ec(
        algorithm: &'static EcdsaVerificationAlgorithm,
        curve: Curve,
        x: &[u8],
        y: &[u8],
    ) -> Result<Self, Unfit> {
        if x.len() != curve.size() || y.len() != curve.size() {
            return Err("its coordinates are not as long as its curve asks for");
        }
        let point = [&[4], x, y].concat();
        // The library looks whether the point lies on the curve.
        let key = ParsedPublicKey::new(algorithm, point);
        key.map(Self::Public).map_err(|_| "it is no point on its curve")
    }

    pub(super) fn ed25519(x: &[u8]) -> Result<Self, Unfit> {
        let x: &[u8; 32] = x.try_into().map_err(|_| "an Ed25519 key has 32 bytes")?;
        let key = ParsedPublicKey::new(&ED25519, x);
        key.map(Self::Public).map_err(|_| "it is no Ed25519 key")
    }

    /// From a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of a curve.
    pub(super) fn from_der(kind: Kind, der: &[u8]) -> Result<Self, Unfit> {
        let key = match kind {
            Kind::Ec(algorithm, _) => ParsedPublicKey::new(algorithm, der),
            Kind::Ed25519 => ParsedPublicKey::new(&ED25519, der),
            Kind::Rsa(_) | Kind::Secret => return Err("it is of another kind than its algorithm"),
        };
        key.map(Self::Public).map_err(|_| "it is of another kind than its algorithm")
    }

    pub(super) fn shared(secret: &[u8]) -> Self {
        let mut print = [0; 32];
        print.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
        Self::Shared { key: Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)), digest: print }
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
            Self::Shared { key, .. } => hmac::verify(key, message, signature).is_ok(),
        }
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Public(one), Self::Public(other)) => one.as_ref() == other.as_ref(),
            (Self::Shared { digest: one, .. }, Self::Shared { digest: other, .. }) => one == other,
            _ => false,
        }
    }
}
