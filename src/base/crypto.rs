//! The cryptography behind every TLS configuration of ours: aws-lc, with a key schedule of TLS 1.3 that keeps its HMAC states.
//!
//! rustls's own binding computes HKDF anew, key and all, for every secret that it derives: some 150 blocks of SHA-384 in a handshake,
//! which no processor without the SHA-512 instructions does quickly. Here a key is set up once, and every secret derived from it costs two blocks.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac::{Algorithm, Context, HMAC_SHA256, HMAC_SHA384, Key, Tag, sign};
use rustls::crypto::hash::HashAlgorithm;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock, OutputLengthError};
use rustls::crypto::{CryptoProvider, aws_lc_rs as stock, hmac};
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls13CipherSuite};

/// The provider of all of them: suites, groups and their order are rustls's defaults.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let tls13 = SUITES.iter().map(SupportedCipherSuite::Tls13);
        let mut provider = stock::default_provider();
        let older = provider.cipher_suites.into_iter().filter(|suite| suite.tls13().is_none());
        provider.cipher_suites = tls13.chain(older).collect();
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

static SUITES: LazyLock<Vec<Tls13CipherSuite>> = LazyLock::new(|| {
    let defaults = stock::default_provider().cipher_suites;
    defaults.iter().filter_map(SupportedCipherSuite::tls13).map(with_kept_states).collect()
});

static SHA256: KeySchedule = KeySchedule { hmac: HMAC_SHA256, unkeyed: LazyLock::new(|| unkeyed(HMAC_SHA256)) };
static SHA384: KeySchedule = KeySchedule { hmac: HMAC_SHA384, unkeyed: LazyLock::new(|| unkeyed(HMAC_SHA384)) };

fn with_kept_states(suite: &Tls13CipherSuite) -> Tls13CipherSuite {
    let hash_provider = suite.common.hash_provider;
    Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider,
            confidentiality_limit: suite.common.confidentiality_limit,
        },
        hkdf_provider: match hash_provider.algorithm() {
            HashAlgorithm::SHA256 => &SHA256,
            HashAlgorithm::SHA384 => &SHA384,
            _ => suite.hkdf_provider,
        },
        aead_alg: suite.aead_alg,
        quic: suite.quic,
    }
}

/// HKDF (RFC 5869) over one hash.
struct KeySchedule {
    hmac: Algorithm,
    /// Where every handshake without a ticket begins (RFC 8446 §7.1, the early secret without PSK): always the same.
    unkeyed: LazyLock<Key>,
}

const ZEROES: [u8; OkmBlock::MAX_LEN] = [0; OkmBlock::MAX_LEN];

fn extract(hmac: Algorithm, salt: Option<&[u8]>, secret: &[u8]) -> Key {
    // HMAC fills its key up with zeroes, so none is the same as that many.
    let salt = Key::new(hmac, salt.unwrap_or_default());
    Key::new(hmac, sign(&salt, secret).as_ref())
}

fn unkeyed(hmac: Algorithm) -> Key {
    extract(hmac, None, &ZEROES[..hmac.tag_len()])
}

impl Hkdf for KeySchedule {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        Box::new(Expander(match salt {
            Some(_) => extract(self.hmac, salt, &ZEROES[..self.hmac.tag_len()]),
            None => self.unkeyed.clone(),
        }))
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        Box::new(Expander(extract(self.hmac, salt, secret)))
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        Box::new(Expander(Key::new(self.hmac, okm.as_ref())))
    }

    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> hmac::Tag {
        hmac::Tag::new(sign(&Key::new(self.hmac, key.as_ref()), message).as_ref())
    }
}

/// A pseudorandom key, ready to be expanded any number of times.
struct Expander(Key);

impl Expander {
    /// The block that follows `previous` (RFC 5869 §2.3), which is empty before the first.
    fn block(&self, previous: &[u8], info: &[&[u8]], number: u8) -> Tag {
        let mut context = Context::with_key(&self.0);
        context.update(previous);
        for part in info {
            context.update(part);
        }
        context.update(&[number]);
        context.sign()
    }
}

impl HkdfExpander for Expander {
    fn expand_slice(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), OutputLengthError> {
        if output.len() > usize::from(u8::MAX) * self.hash_len() {
            return Err(OutputLengthError);
        }
        let mut last = None::<Tag>;
        for (piece, number) in output.chunks_mut(self.hash_len()).zip(1..=u8::MAX) {
            let block = self.block(last.as_ref().map_or(&[], Tag::as_ref), info, number);
            for (byte, derived) in piece.iter_mut().zip(block.as_ref()) {
                *byte = *derived;
            }
            last = Some(block);
        }
        Ok(())
    }

    fn expand_block(&self, info: &[&[u8]]) -> OkmBlock {
        OkmBlock::new(self.block(&[], info, 1).as_ref())
    }

    fn hash_len(&self) -> usize {
        self.0.algorithm().tag_len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Ours and rustls's for each suite of TLS 1.3.
    fn pairs() -> Vec<(&'static dyn Hkdf, &'static dyn Hkdf, usize)> {
        let theirs = stock::default_provider().cipher_suites;
        let pairs: Vec<_> = provider()
            .cipher_suites
            .iter()
            .zip(&theirs)
            .filter_map(|(ours, theirs)| {
                let (ours, theirs) = (ours.tls13()?, theirs.tls13()?);
                Some((ours.hkdf_provider, theirs.hkdf_provider, theirs.common.hash_provider.output_len()))
            })
            .collect();
        assert_eq!(pairs.len(), 3);
        pairs
    }

    fn assert_same(ours: &dyn HkdfExpander, theirs: &dyn HkdfExpander, info: &[&[u8]], length: usize) {
        assert_eq!(ours.hash_len(), theirs.hash_len());
        assert_eq!(ours.expand_block(info).as_ref(), theirs.expand_block(info).as_ref());
        let (mut out, mut expected) = (vec![0; length], vec![0; length]);
        assert_eq!(ours.expand_slice(info, &mut out).is_ok(), theirs.expand_slice(info, &mut expected).is_ok());
        assert_eq!(out, expected);
    }

    #[test]
    fn the_suites_and_groups_are_the_defaults_in_their_order() {
        let (ours, theirs) = (provider(), stock::default_provider());
        let names = |provider: &CryptoProvider| {
            let suites: Vec<_> = provider.cipher_suites.iter().map(SupportedCipherSuite::suite).collect();
            let groups: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
            (suites, groups)
        };
        assert_eq!(names(&ours), names(&theirs));
    }

    #[test]
    fn the_first_test_case_of_rfc_5869() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut output = [0; 42];
        SHA256.extract_from_secret(Some(&salt), &[0x0b; 22]).expand_slice(&[&info], &mut output).unwrap();
        let shown: String = output.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    }

    #[test]
    fn more_than_255_blocks_are_refused() {
        for (ours, theirs, length) in pairs() {
            let (ours, theirs) = (ours.extract_from_zero_ikm(None), theirs.extract_from_zero_ikm(None));
            assert_same(&*ours, &*theirs, &[], 255 * length);
            assert!(ours.expand_slice(&[], &mut vec![0; 255 * length + 1]).is_err());
        }
    }

    proptest! {
        #[test]
        fn secrets_are_those_of_rustls(
            salt in prop::option::of(vec(any::<u8>(), 1..150)),
            secret in vec(any::<u8>(), 1..150),
            info in vec(vec(any::<u8>(), 0..100), 0..4),
            length in 0_usize..300,
        ) {
            let info: Vec<&[u8]> = info.iter().map(Vec::as_slice).collect();
            let okm = OkmBlock::new(&secret[..secret.len().min(OkmBlock::MAX_LEN)]);
            for (ours, theirs, _) in pairs() {
                let salt = salt.as_deref();
                assert_same(&*ours.extract_from_secret(salt, &secret), &*theirs.extract_from_secret(salt, &secret), &info, length);
                assert_same(&*ours.extract_from_zero_ikm(salt), &*theirs.extract_from_zero_ikm(salt), &info, length);
                assert_same(&*ours.expander_for_okm(&okm), &*theirs.expander_for_okm(&okm), &info, length);
                let (tag, expected) = (ours.hmac_sign(&okm, &secret), theirs.hmac_sign(&okm, &secret));
                prop_assert_eq!(tag.as_ref(), expected.as_ref());
            }
        }
    }
}
