//! What a client's certificate says of it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;

use super::certificates::parse;
use crate::config::checked::identity::CertificateName;

/// Alternative names in one certificate; the certificate itself TLS holds to 64 KiB.
const MAX_NAMES: usize = 64;

/// Characters of the subject.
const LONGEST_SUBJECT: usize = 256;

/// A certificate that the handshake has verified; made once for a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// What a partner may be told by: its fingerprint, then URIs, DNS names and e-mail addresses, each in the order of the certificate.
    pub names: Vec<CertificateName>,
    /// Since 1970 UTC.
    pub not_before: Duration,
    /// Since 1970 UTC. Connections and sessions that resume may outlive it.
    pub not_after: Duration,
    /// For people: never to decide by.
    pub subject: Box<str>,
}

impl ClientCertificate {
    /// Of a certificate in DER.
    ///
    /// # Errors
    ///
    /// What cannot be read, or has more names than anybody needs: no name is left out in silence.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let certificate = parse(der)?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, der).as_ref());
        let mut names = vec![CertificateName::Fingerprint(fingerprint)];
        names.extend(alternatives(&certificate)?);
        let validity = certificate.validity();
        Ok(Self {
            names,
            not_before: since_epoch(validity.not_before),
            not_after: since_epoch(validity.not_after),
            subject: printable(&certificate.subject().to_string()),
        })
    }
}

/// The subject alternative names (RFC 5280 §4.2.1.6) of the kinds that are known, in the form that is compared.
fn alternatives(certificate: &X509Certificate<'_>) -> Result<Vec<CertificateName>, String> {
    let extension = certificate.subject_alternative_name().map_err(|error| format!("subjectAltName: {error}"))?;
    let listed = extension.map_or(&[][..], |extension| &extension.value.general_names);
    if listed.len() > MAX_NAMES {
        return Err(format!("subjectAltName: more than {MAX_NAMES} names"));
    }
    let mut names: Vec<CertificateName> = listed.iter().filter_map(name).collect();
    // Stable, so names of a kind stay in their order.
    names.sort_by_key(|name| match name {
        CertificateName::Fingerprint(_) => 0,
        CertificateName::Uri(_) => 1,
        CertificateName::Dns(_) => 2,
        CertificateName::Email(_) => 3,
    });
    Ok(names)
}

/// `None` for names that nobody can be told by: of other kinds, wildcards, and text that is no such name.
fn name(alternative: &GeneralName<'_>) -> Option<CertificateName> {
    match alternative {
        GeneralName::DNSName(name) => CertificateName::dns(name),
        GeneralName::URI(uri) => CertificateName::uri(uri),
        GeneralName::RFC822Name(mailbox) => CertificateName::email(mailbox),
        _ => None,
    }
}

fn since_epoch(time: ASN1Time) -> Duration {
    Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

fn printable(text: &str) -> Box<str> {
    let shown = text.chars().take(LONGEST_SUBJECT);
    shown
        .map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character })
        .collect::<String>()
        .into()
}

/// What holds for whatever a client sends as its certificate; the property tests and the fuzz target call it.
#[cfg(any(test, fuzzing))]
pub fn check(der: &[u8]) {
    let Ok(client) = ClientCertificate::read(der) else { return };
    assert!(matches!(client.names.first(), Some(CertificateName::Fingerprint(_))));
    assert!(client.names.len() <= MAX_NAMES + 1);
    for name in client.names.iter().skip(1) {
        let again = match name {
            CertificateName::Dns(text) => CertificateName::dns(text),
            CertificateName::Uri(text) => CertificateName::uri(text),
            CertificateName::Email(text) => CertificateName::email(text),
            CertificateName::Fingerprint(_) => None,
        };
        assert_eq!(again.as_ref(), Some(name), "in its one form");
    }
    assert!(client.subject.chars().count() <= LONGEST_SUBJECT && !client.subject.contains(char::is_control));
}

#[cfg(test)]
mod tests;
