use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, SanType, date_time_ymd};

use super::*;

fn ia5(text: &str) -> Ia5String {
    text.try_into().unwrap()
}

fn made(names: Vec<SanType>, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Acme batch");
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn names_come_by_kind_and_in_the_form_that_is_compared() {
    let der = made(
        vec![
            SanType::Rfc822Name(ia5("Ops@Acme.test")),
            SanType::DnsName(ia5("Batch.Acme.test")),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::URI(ia5("spiffe://acme.test/Batch")),
            SanType::DnsName(ia5("a.test")),
            SanType::URI(ia5("urn:acme:1")),
        ],
        |_| {},
    );
    let client = ClientCertificate::read(&der).unwrap();
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, &der).as_ref());
    let expected = [
        CertificateName::Fingerprint(fingerprint),
        CertificateName::Uri("spiffe://acme.test/Batch".into()),
        CertificateName::Uri("urn:acme:1".into()),
        CertificateName::Dns("batch.acme.test".into()),
        CertificateName::Dns("a.test".into()),
        CertificateName::Email("Ops@acme.test".into()),
    ];
    assert_eq!(client.names, expected);
    assert_eq!(&*client.subject, "CN=Acme batch");
    assert_eq!(client.not_before, Duration::from_secs(1_577_836_800));
    assert_eq!(client.not_after, Duration::from_secs(3_786_912_000));
    check(&der);
}

#[test]
fn names_that_could_be_read_as_others_tell_nobody() {
    let names = ["*.acme.test", "acme.test\0.evil.test", "acme.test ", ".acme.test", ""];
    let names = names.iter().flat_map(|name| {
        [SanType::DnsName(ia5(name)), SanType::URI(ia5(name)), SanType::Rfc822Name(ia5(&format!("ops@{name}")))]
    });
    let der = made(names.collect(), |_| {});
    assert_eq!(ClientCertificate::read(&der).unwrap().names.len(), 1, "the fingerprint alone");
    check(&der);
}

#[test]
fn without_names_there_is_the_fingerprint() {
    let client = ClientCertificate::read(&made(Vec::new(), |_| {})).unwrap();
    assert!(matches!(client.names.as_slice(), [CertificateName::Fingerprint(_)]));
}

#[test]
fn a_subject_is_cut_and_cannot_write_lines_of_its_own() {
    let long = format!("a\nb\u{1b}[31m{}", "x".repeat(1000));
    let client = ClientCertificate::read(&made(Vec::new(), |params| {
        params.distinguished_name.push(DnType::CommonName, long.as_str());
    }));
    let subject = client.unwrap().subject;
    assert!(
        subject.starts_with("CN=a\u{fffd}b\u{fffd}[31mx") && subject.chars().count() == LONGEST_SUBJECT,
        "{subject}"
    );
}

#[test]
fn what_cannot_be_read_whole_is_an_error() {
    let many = (0..=MAX_NAMES).map(|number| SanType::DnsName(ia5(&format!("n{number}.test")))).collect();
    let error = ClientCertificate::read(&made(many, |_| {})).unwrap_err();
    assert_eq!(error, "subjectAltName: more than 64 names");
    let broken = made(Vec::new(), |params| {
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x05, 0x82, 0x7f]);
        params.custom_extensions.push(extension);
    });
    assert!(ClientCertificate::read(&broken).unwrap_err().starts_with("subjectAltName: "));
    let twice = made(vec![SanType::DnsName(ia5("a.test"))], |params| {
        let content = vec![0x30, 0x08, 0x82, 0x06, b'b', b'.', b't', b'e', b's', b't'];
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], content));
    });
    assert!(ClientCertificate::read(&twice).unwrap_err().starts_with("subjectAltName: "));
    let whole = made(Vec::new(), |_| {});
    assert!(ClientCertificate::read(&whole[..whole.len() - 1]).is_err());
    assert_eq!(ClientCertificate::read(&[&whole[..], b"x"].concat()).unwrap_err(), "1 bytes follow its end");
    assert!(ClientCertificate::read(b"").is_err());
}

proptest! {
    #[test]
    fn whatever_is_sent_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    /// Nothing but the form is checked here: signatures were, before.
    #[test]
    fn a_certificate_that_was_tampered_with_too(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        thread_local!(static WHOLE: Vec<u8> = made(
            vec![SanType::URI(ia5("spiffe://a/b")), SanType::DnsName(ia5("a.test")), SanType::Rfc822Name(ia5("a@a.test"))],
            |_| {},
        ));
        let mut der = WHOLE.with(Vec::clone);
        for (at, byte) in changes {
            let at = at.index(der.len());
            der[at] = byte;
        }
        check(&der);
    }
}
