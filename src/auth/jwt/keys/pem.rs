//! Public keys in PEM files (RFC 7468).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::key::{Kind, Material};
use crate::config::checked::identity::Algorithm;

/// Bytes of a file.
const MAX_BYTES: u64 = 64 * 1024;

pub(super) fn read(file: &Path, algorithm: Algorithm) -> Result<Material, String> {
    let fault = |text: &dyn std::fmt::Display| format!("{}: {text}", file.display());
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| fault(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fault(&"it is longer than 64 KiB"));
    }
    parse(&bytes, Kind::of(algorithm))
        .map_err(|unfit| fault(&format_args!("it has no key for {}: {unfit}", algorithm.as_str())))
}

pub(super) fn parse(bytes: &[u8], kind: Kind) -> Result<Material, &'static str> {
    let mut found = None;
    for block in Pem::iter_from_buffer(bytes) {
        let block = block.map_err(|_| "it is not valid PEM")?;
        if block.label.ends_with("PRIVATE KEY") {
            return Err("it is a private key, which nobody but the issuer should have");
        }
        found = found.or(Some(block));
    }
    let block = found.ok_or("it is not PEM")?;
    let der = block.contents.as_slice();
    match block.label.as_str() {
        "CERTIFICATE" => {
            let certificate = block.parse_x509().map_err(|_| "it is not a valid certificate")?;
            from_info(certificate.public_key(), kind)
        }
        "PUBLIC KEY" => {
            let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| "it is not a valid public key")?;
            if rest.is_empty() { from_info(&info, kind) } else { Err("bytes follow its key") }
        }
        "RSA PUBLIC KEY" => {
            let (rest, key) = RSAPublicKey::from_der(der).map_err(|_| "it is not a valid RSA key")?;
            if rest.is_empty() { rsa(&key, kind) } else { Err("bytes follow its key") }
        }
        _ => Err("it is neither a public key nor a certificate"),
    }
}

fn from_info(info: &SubjectPublicKeyInfo<'_>, kind: Kind) -> Result<Material, &'static str> {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => rsa(&key, kind),
        Ok(_) => Material::from_der(kind, info.raw),
        Err(_) => Err("its key is not valid"),
    }
}

fn rsa(key: &RSAPublicKey<'_>, kind: Kind) -> Result<Material, &'static str> {
    let Kind::Rsa(parameters) = kind else { return Err("it is of another kind than its algorithm") };
    // In DER, one zero keeps a number from being negative.
    let unsigned = |bytes| <[u8]>::strip_prefix(bytes, &[0]).unwrap_or(bytes);
    Material::rsa(parameters, unsigned(key.modulus), unsigned(key.exponent))
}
