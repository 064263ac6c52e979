use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup,
    ProtocolVersion, ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use super::*;
use crate::base::location::Location;
use crate::config::checked::identity::CertificateName;
use crate::config::checked::{CertificateFiles, ClientCertificates};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sluice-tls-{test}-{}-{:x}", std::process::id(), fastrand::u64(..)));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn pair(&self, stem: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.0.join(format!("{stem}.pem")),
            key: self.0.join(format!("{stem}-key.pem")),
            at: Location::new("config/gateway.yaml", 12, 9),
        }
    }

    fn issue(&self, stem: &str, names: &[&str]) -> CertificateFiles {
        let (certificate, key) = certificate(names);
        let files = self.pair(stem);
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn certificate(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (with_key(names, &key), key.serialize_pem())
}

fn with_key(names: &[&str], key: &KeyPair) -> String {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_after = date_time_ymd(2090, 1, 1);
    params.self_signed(key).unwrap().pem()
}

fn settings(certificates: Vec<CertificateFiles>) -> ListenerTls {
    ListenerTls { certificates, tls13_only: false, http2: true, client_certificates: None }
}

/// Believes every certificate: these tests ask which one is served.
#[derive(Debug)]
struct Credulous(Vec<SignatureScheme>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

fn client_with(
    versions: &[&'static SupportedProtocolVersion],
    schemes: &[SignatureScheme],
    alpn: &[&str],
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(schemes.to_vec())))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];

fn client() -> ClientConfig {
    client_with(&[&TLS13, &TLS12], ECDSA, &["h2", "http/1.1"])
}

struct Connected {
    client: ClientConnection,
    server: ServerConnection,
}

impl Connected {
    fn new(store: &TlsStore, client: &ClientConfig, name: Option<&'static str>) -> Result<Self, rustls::Error> {
        let mut client = client.clone();
        client.enable_sni = name.is_some();
        let name = ServerName::try_from(name.unwrap_or("nobody.test")).unwrap();
        let mut connected = Self {
            client: ClientConnection::new(Arc::new(client), name)?,
            server: ServerConnection::new(store.current())?,
        };
        while connected.client.is_handshaking() || connected.server.is_handshaking() {
            connected.exchange()?;
        }
        connected.exchange()?;
        Ok(connected)
    }

    fn exchange(&mut self) -> Result<(), rustls::Error> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        let mut unread = &wire[..];
        while !unread.is_empty() {
            self.server.read_tls(&mut unread).unwrap();
            self.server.process_new_packets()?;
        }
        wire.clear();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).unwrap();
        }
        let mut unread = &wire[..];
        while !unread.is_empty() {
            self.client.read_tls(&mut unread).unwrap();
            self.client.process_new_packets()?;
        }
        Ok(())
    }

    /// A question and its answer over the connection.
    fn works(&mut self) -> bool {
        self.client.writer().write_all(b"ping").unwrap();
        self.exchange().unwrap();
        let mut asked = [0; 4];
        self.server.reader().read_exact(&mut asked).unwrap();
        self.server.writer().write_all(b"pong").unwrap();
        self.exchange().unwrap();
        let mut answered = [0; 4];
        self.client.reader().read_exact(&mut answered).unwrap();
        (&asked, &answered) == (b"ping", b"pong")
    }

    fn certificate(&self) -> &CertificateDer<'_> {
        &self.client.peer_certificates().unwrap()[0]
    }
}

fn file_certificate(file: &Path) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(file).unwrap()
}

fn serves(store: &TlsStore, name: Option<&'static str>, files: &CertificateFiles) -> bool {
    *Connected::new(store, &client(), name).unwrap().certificate() == file_certificate(&files.certificate)
}

#[test]
fn the_name_chooses_the_certificate() {
    let folder = Folder::new("sni");
    let first = folder.issue("first", &["first.test"]);
    let wild = folder.issue("wild", &["*.Partners.test", "partners.test"]);
    let exact = folder.issue("exact", &["acme.partners.test", "api.test"]);
    let store = TlsStore::open(&settings(vec![first.clone(), wild.clone(), exact.clone()]), "https").unwrap();

    assert!(serves(&store, Some("first.test"), &first));
    assert!(serves(&store, Some("api.test"), &exact));
    assert!(serves(&store, Some("acme.partners.test"), &exact), "an exact name goes before a wildcard");
    assert!(serves(&store, Some("other.partners.test"), &wild));
    assert!(serves(&store, Some("OTHER.Partners.TEST"), &wild));
    assert!(serves(&store, Some("partners.test"), &wild));
    assert!(serves(&store, Some("a.b.partners.test"), &first), "a wildcard stands for one label");
    assert!(serves(&store, Some("unknown.test"), &first));
    assert!(serves(&store, None, &first));
}

#[test]
fn among_certificates_of_one_name_the_key_that_the_client_knows() {
    let folder = Folder::new("dual");
    let ecdsa = folder.issue("ecdsa", &["api.test"]);
    let rsa = folder.pair("rsa");
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    fs::write(&rsa.certificate, with_key(&["api.test"], &key)).unwrap();
    fs::write(&rsa.key, key.serialize_pem()).unwrap();
    let store = TlsStore::open(&settings(vec![ecdsa.clone(), rsa.clone()]), "https").unwrap();

    assert!(serves(&store, Some("api.test"), &ecdsa));
    let old = Connected::new(&store, &client_with(&[&TLS13, &TLS12], RSA, &[]), Some("api.test")).unwrap();
    assert_eq!(*old.certificate(), file_certificate(&rsa.certificate));
}

#[test]
fn alpn_prefers_http2_when_it_is_offered() {
    let folder = Folder::new("alpn");
    let files = folder.issue("api", &["api.test"]);
    let chosen = |http2: bool, offered: &[&str]| {
        let store = TlsStore::open(&ListenerTls { http2, ..settings(vec![files.clone()]) }, "https").unwrap();
        Connected::new(&store, &client_with(&[&TLS13], ECDSA, offered), Some("api.test"))
            .map(|connected| connected.server.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()))
    };
    assert_eq!(chosen(true, &["http/1.1", "h2"]).unwrap().as_deref(), Some("h2"));
    assert_eq!(chosen(true, &["http/1.1"]).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(chosen(false, &["h2", "http/1.1"]).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(chosen(true, &[]).unwrap(), None);
    assert!(matches!(chosen(false, &["h2"]), Err(rustls::Error::NoApplicationProtocol)));
}

#[test]
fn tls_1_2_is_served_unless_refused() {
    let folder = Folder::new("versions");
    let files = folder.issue("api", &["api.test"]);
    let old = client_with(&[&TLS12], ECDSA, &[]);

    let both = TlsStore::open(&settings(vec![files.clone()]), "https").unwrap();
    let connected = Connected::new(&both, &old, Some("api.test")).unwrap();
    assert_eq!(connected.server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let connected = Connected::new(&both, &client(), Some("api.test")).unwrap();
    assert_eq!(connected.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(both.current().max_early_data_size, 0, "early data can be replayed");

    let new_only = TlsStore::open(&ListenerTls { tls13_only: true, ..settings(vec![files]) }, "https").unwrap();
    assert!(Connected::new(&new_only, &old, Some("api.test")).is_err());
    assert!(Connected::new(&new_only, &client(), Some("api.test")).is_ok());
}

#[test]
fn the_post_quantum_group_is_for_those_who_offer_it() {
    let folder = Folder::new("groups");
    let store = TlsStore::open(&settings(vec![folder.issue("api", &["api.test"])]), "https").unwrap();
    let agreed = |offered: Option<NamedGroup>| {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.kx_groups.retain(|group| offered.is_none_or(|name| group.name() == name));
        let client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(ECDSA.to_vec())))
            .with_no_client_auth();
        let server = Connected::new(&store, &client, Some("api.test")).unwrap().server;
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full), "without a second hello");
        server.negotiated_key_exchange_group().unwrap().name()
    };
    assert_eq!(agreed(None), NamedGroup::X25519MLKEM768);
    assert_eq!(agreed(Some(NamedGroup::X25519)), NamedGroup::X25519);
    assert_eq!(agreed(Some(NamedGroup::secp256r1)), NamedGroup::secp256r1);
}

#[test]
fn sessions_resume_by_ticket_even_across_a_swap() {
    let folder = Folder::new("tickets");
    let files = folder.issue("api", &["api.test"]);
    let store = TlsStore::open(&settings(vec![files]), "https").unwrap();
    for version in [&TLS13, &TLS12] {
        let mut client = client_with(&[version], ECDSA, &[]);
        client.resumption = Resumption::in_memory_sessions(4);
        let first = Connected::new(&store, &client, Some("api.test")).unwrap();
        assert_eq!(first.server.handshake_kind(), Some(HandshakeKind::Full));
        folder.issue("api", &["api.test"]);
        assert_eq!(store.reload().unwrap(), Reloaded::Swapped);
        let second = Connected::new(&store, &client, Some("api.test")).unwrap();
        assert_eq!(second.server.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[test]
fn a_swap_serves_new_handshakes_while_an_old_connection_lives() {
    let folder = Folder::new("swap");
    let files = folder.issue("api", &["api.test"]);
    let store = TlsStore::open(&settings(vec![files.clone()]), "https").unwrap();
    let mut old = Connected::new(&store, &client(), Some("api.test")).unwrap();
    let before = file_certificate(&files.certificate);
    assert_eq!(store.reload().unwrap(), Reloaded::Unchanged);

    folder.issue("api", &["api.test", "new.test"]);
    assert_eq!(store.reload().unwrap(), Reloaded::Swapped);

    assert_ne!(before, file_certificate(&files.certificate));
    assert!(serves(&store, Some("api.test"), &files) && serves(&store, Some("new.test"), &files));
    assert!(old.works());
    assert_eq!(*old.certificate(), before);
}

#[test]
fn a_half_replaced_pair_keeps_the_old_one_until_both_fit() {
    let folder = Folder::new("half");
    let files = folder.issue("api", &["api.test"]);
    let store = TlsStore::open(&settings(vec![files.clone()]), "https").unwrap();
    let (old, expiry) = (file_certificate(&files.certificate), store.expiry());

    let (certificate, key) = certificate(&["api.test", "second.test"]);
    fs::write(&files.certificate, certificate).unwrap();
    let error = store.reload().unwrap_err();
    assert!(matches!(*error.problem, TlsProblem::KeyMismatch { .. }), "{error}");
    assert_eq!(*Connected::new(&store, &client(), Some("api.test")).unwrap().certificate(), old);
    assert_eq!(store.expiry(), expiry);

    fs::write(&files.key, key).unwrap();
    assert_eq!(store.reload().unwrap(), Reloaded::Swapped);
    assert!(serves(&store, Some("second.test"), &files));
}

#[test]
fn one_broken_pair_keeps_all_the_old_ones() {
    let folder = Folder::new("broken");
    let (good, bad) = (folder.issue("good", &["good.test"]), folder.issue("bad", &["bad.test"]));
    let store = TlsStore::open(&settings(vec![good.clone(), bad.clone()]), "https").unwrap();
    let old = file_certificate(&good.certificate);

    folder.issue("good", &["good.test"]);
    let whole = fs::read(&bad.certificate).unwrap();
    fs::write(&bad.certificate, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(*store.reload().unwrap_err().problem, TlsProblem::Pem(_)));
    assert_eq!(*Connected::new(&store, &client(), Some("good.test")).unwrap().certificate(), old);

    fs::remove_file(&bad.certificate).unwrap();
    assert!(matches!(*store.reload().unwrap_err().problem, TlsProblem::Read(_)));

    fs::write(&bad.certificate, &whole).unwrap();
    assert_eq!(store.reload().unwrap(), Reloaded::Swapped);
    assert!(serves(&store, Some("good.test"), &good) && serves(&store, Some("bad.test"), &bad));
}

#[test]
fn faults_name_the_setting_the_file_and_the_place() {
    let folder = Folder::new("faults");
    let first = folder.issue("first", &["first.test"]);
    let (other, encrypted) = (
        folder.issue("other", &["other.test"]),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let not_base64 = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let chain = fs::read_to_string(&other.certificate).unwrap();
    let large = "#".repeat(1 << 21);
    let key_garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let (stranger, _) = certificate(&["other.test"]);

    let load = |certificate: &str, key: &str| {
        let files = folder.pair("second");
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        Certificates::load(&settings(vec![first.clone(), files]), "https").map(|_| ()).unwrap_err()
    };
    let key = fs::read_to_string(&other.key).unwrap();
    for (certificate, key, member, part) in [
        ("", &*key, "certificate", "holds no `BEGIN CERTIFICATE`"),
        (&key, &key, "certificate", "holds no `BEGIN CERTIFICATE`"),
        (garbage, &key, "certificate", "certificate 1 in it is not valid X.509"),
        (&format!("{chain}{garbage}"), &key, "certificate", "certificate 2 in it is not valid X.509"),
        (not_base64, &key, "certificate", "is not valid PEM"),
        (&large, &key, "certificate", "larger than 1 MiB"),
        (&chain, "", "key", "holds no private key"),
        (&chain, &chain, "key", "holds no private key"),
        (&chain, encrypted, "key", "holds no private key"),
        (&chain, key_garbage, "key", "holds a key that cannot be used"),
        (&stranger, &key, "key", "does not belong to the certificate"),
    ] {
        let error = load(certificate, key);
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("config/gateway.yaml:12:9: listeners[https].tls.certificates[1].{member}: ")),
            "{text}"
        );
        assert!(text.contains(part), "{text}");
        assert!(text.contains("second"), "{text}");
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    }

    let missing = Certificates::load(&settings(vec![folder.pair("nowhere")]), "https").unwrap_err();
    assert!(matches!(*missing.problem, TlsProblem::Read(_)), "{missing}");
    let empty = Certificates::load(&settings(vec![]), "https").unwrap_err();
    assert_eq!(empty.setting, "listeners[https].tls");
    assert!(matches!(*empty.problem, TlsProblem::Empty));
}

#[test]
fn only_the_first_certificate_may_have_no_name() {
    let folder = Folder::new("nameless");
    let (nameless, named) = (folder.issue("nameless", &["192.0.2.1"]), folder.issue("named", &["named.test"]));
    let store = TlsStore::open(&settings(vec![nameless.clone(), named.clone()]), "https").unwrap();
    assert!(serves(&store, None, &nameless) && serves(&store, Some("named.test"), &named));
    let error = Certificates::load(&settings(vec![named, nameless]), "https").unwrap_err();
    assert!(matches!(*error.problem, TlsProblem::Nameless), "{error}");
}

#[test]
fn what_to_watch_and_when_it_ends() {
    let folder = Folder::new("expiry");
    let (first, second) =
        (folder.issue("first", &["first.test", "more.test"]), folder.issue("second", &["second.test"]));
    let store = TlsStore::open(&settings(vec![first.clone(), second.clone()]), "https").unwrap();
    assert_eq!(store.files(), [first.certificate, first.key, second.certificate, second.key]);
    let not_after = Duration::from_secs(3_786_912_000);
    assert_eq!(
        store.expiry(),
        [Expiry { name: "first.test".into(), not_after }, Expiry { name: "second.test".into(), not_after }]
    );
}

/// An authority that signs certificates of clients.
struct Signer(CertifiedIssuer<'static, KeyPair>);

impl Signer {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A client of these versions with a certificate for this name.
    fn client(&self, versions: &[&'static SupportedProtocolVersion], name: &str) -> ClientConfig {
        self.client_until(versions, name, 2090)
    }

    fn client_until(&self, versions: &[&'static SupportedProtocolVersion], name: &str, year: i32) -> ClientConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        with_certificate(versions, vec![certificate.der().clone()], &key)
    }
}

fn with_certificate(
    versions: &[&'static SupportedProtocolVersion],
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
) -> ClientConfig {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(ECDSA.to_vec())))
        .with_client_auth_cert(chain, key)
        .unwrap()
}

fn asking(folder: &Folder, required: bool, trusted: &[&Signer]) -> ListenerTls {
    let ca = folder.trust(trusted);
    let at = Location::new("config/gateway.yaml", 20, 7);
    let client_certificates = Some(ClientCertificates { required, ca, at });
    ListenerTls { client_certificates, ..settings(vec![folder.issue("api", &["api.test"])]) }
}

impl Folder {
    fn trust(&self, trusted: &[&Signer]) -> PathBuf {
        let ca = self.0.join("clients.pem");
        fs::write(&ca, trusted.iter().map(|signer| signer.0.pem()).collect::<String>()).unwrap();
        ca
    }
}

/// The DNS name in the certificate that the server knows the client by.
fn known(connected: &Connected) -> Option<String> {
    let client = ClientCertificate::read(connected.server.peer_certificates()?.first()?).unwrap();
    client.names.iter().find_map(|name| match name {
        CertificateName::Dns(name) => Some(name.to_string()),
        _ => None,
    })
}

fn connect(store: &TlsStore, client: &ClientConfig) -> Result<Connected, rustls::Error> {
    Connected::new(store, client, Some("api.test"))
}

#[test]
fn clients_show_a_certificate_when_they_are_asked() {
    let folder = Folder::new("clients");
    let (ours, second, stranger) = (Signer::new("ours"), Signer::new("second"), Signer::new("stranger"));
    let store = |required| TlsStore::open(&asking(&folder, required, &[&ours, &second]), "https").unwrap();
    for version in [&TLS12, &TLS13] {
        let one = &[version];
        let nobody = client_with(one, ECDSA, &[]);
        let (required, optional) = (store(true), store(false));
        for store in [&required, &optional] {
            for signer in [&ours, &second] {
                let mut connected = connect(store, &signer.client(one, "acme.test")).unwrap();
                assert_eq!(known(&connected).as_deref(), Some("acme.test"));
                assert!(connected.works());
            }
            // A client that chooses by the names of the authorities has none for these: it shows its certificate anyway.
            let wrong = connect(store, &stranger.client(one, "acme.test")).err();
            let unknown = CertificateError::UnknownIssuer;
            assert_eq!(wrong, Some(rustls::Error::InvalidCertificate(unknown)), "{version:?}");
            let late = connect(store, &ours.client_until(one, "acme.test", 2001)).err();
            let expired =
                |error| matches!(error, rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. }));
            assert!(late.clone().is_some_and(expired), "{late:?}");
        }
        assert!(matches!(connect(&required, &nobody), Err(rustls::Error::NoCertificatesPresented)), "{version:?}");
        let mut anonymous = connect(&optional, &nobody).unwrap();
        assert_eq!(known(&anonymous), None);
        assert!(anonymous.works());
        assert_eq!(required.current().max_early_data_size, 0);
        assert!(!required.current().send_half_rtt_data);
    }
}

#[test]
fn a_certificate_for_servers_alone_makes_no_client() {
    let folder = Folder::new("purpose");
    let ours = Signer::new("ours");
    let store = TlsStore::open(&asking(&folder, true, &[&ours]), "https").unwrap();
    for (purpose, good) in [(ExtendedKeyUsagePurpose::ServerAuth, false), (ExtendedKeyUsagePurpose::ClientAuth, true)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["acme.test".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &ours.0).unwrap();
        let client = with_certificate(&[&TLS13], vec![certificate.der().clone()], &key);
        assert_eq!(connect(&store, &client).is_ok(), good);
    }
}

#[test]
fn a_resumed_session_has_the_certificate_it_began_with() {
    let folder = Folder::new("resumed");
    let ours = Signer::new("ours");
    let store = TlsStore::open(&asking(&folder, false, &[&ours]), "https").unwrap();
    for version in [&TLS12, &TLS13] {
        for name in ["acme.test", "globex.test"] {
            let client = ours.client(&[version], name);
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
                let mut connected = connect(&store, &client).unwrap();
                assert_eq!(connected.server.handshake_kind(), Some(kind));
                assert_eq!(known(&connected).as_deref(), Some(name), "{version:?} {kind:?}");
                assert!(connected.works());
            }
        }
        let nobody = client_with(&[version], ECDSA, &[]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut connected = connect(&store, &nobody).unwrap();
            assert_eq!((connected.server.handshake_kind(), known(&connected)), (Some(kind), None));
            assert!(connected.works());
        }
    }
}

#[test]
fn a_session_is_for_one_server_name() {
    let folder = Folder::new("resumed-name");
    let ours = Signer::new("ours");
    let store = TlsStore::open(&asking(&folder, true, &[&ours]), "https").unwrap();
    let sessions = Resumption::in_memory_sessions(4);
    let mut client = ours.client(&[&TLS13], "acme.test");
    client.resumption = sessions;
    assert!(Connected::new(&store, &client, Some("api.test")).unwrap().works());
    let other = Connected::new(&store, &client, Some("other.test")).unwrap();
    assert_eq!(other.server.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn authorities_that_change_end_the_sessions_and_a_certificate_of_ours_does_not() {
    let folder = Folder::new("authorities");
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let store = TlsStore::open(&asking(&folder, true, &[&old]), "https").unwrap();
    let clients = [&TLS12, &TLS13].map(|version| old.client(&[version], "acme.test"));
    let mut open = connect(&store, &clients[0]).unwrap();
    for client in &clients {
        connect(&store, client).unwrap().works();
        assert_eq!(connect(&store, client).unwrap().server.handshake_kind(), Some(HandshakeKind::Resumed));
    }

    folder.issue("api", &["api.test"]);
    assert_eq!(store.reload().unwrap(), Reloaded::Swapped);
    for client in &clients {
        let mut resumed = connect(&store, client).unwrap();
        assert_eq!(resumed.server.handshake_kind(), Some(HandshakeKind::Resumed), "nothing about clients has changed");
        assert!(resumed.works());
    }

    folder.trust(&[&new, &old, &old]);
    assert_eq!(store.reload().unwrap(), Reloaded::Swapped);
    for client in &clients {
        let mut anew = connect(&store, client).unwrap();
        assert_eq!(anew.server.handshake_kind(), Some(HandshakeKind::Full), "an older ticket is no good");
        assert!(anew.works());
    }
    folder.trust(&[&old, &new]);
    assert_eq!(store.reload().unwrap(), Reloaded::Unchanged, "the order of the bundle means nothing");

    folder.trust(&[&new]);
    assert_eq!(store.reload().unwrap(), Reloaded::Swapped);
    for client in &clients {
        let refused = connect(&store, client).err();
        assert_eq!(refused, Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)));
    }
    assert!(connect(&store, &new.client(&[&TLS13], "acme.test")).is_ok());
    assert!(open.works(), "a connection keeps what it was opened with");
}

#[test]
fn a_broken_bundle_keeps_the_old_one_and_names_its_place() {
    let folder = Folder::new("broken-bundle");
    let ours = Signer::new("ours");
    let settings = asking(&folder, true, &[&ours]);
    let store = TlsStore::open(&settings, "https").unwrap();
    let client = ours.client(&[&TLS13], "acme.test");
    assert!(connect(&store, &client).unwrap().works());
    let ca = folder.0.join("clients.pem");
    let whole = fs::read_to_string(&ca).unwrap();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (leaf, _) = certificate(&["acme.test"]);
    for (content, told) in [
        ("", "holds no `BEGIN CERTIFICATE`; give the certificates of the authorities"),
        (&whole[..whole.len() / 2], "is not valid PEM"),
        (&format!("{whole}{garbage}"), "certificate 2 in it is not valid X.509"),
        (&format!("{whole}{leaf}"), "certificate 2 in it is no authority"),
        (&"#".repeat(1 << 21), "larger than 1 MiB"),
    ] {
        fs::write(&ca, content).unwrap();
        let error = store.reload().unwrap_err().to_string();
        assert!(
            error.starts_with("config/gateway.yaml:20:7: listeners[https].tls.client_certificates.ca: "),
            "{error}"
        );
        assert!(error.contains(told) && error.contains("clients.pem"), "{error}");
        assert!(TlsStore::open(&settings, "https").is_err());
    }
    fs::remove_file(&ca).unwrap();
    assert!(matches!(*store.reload().unwrap_err().problem, TlsProblem::Read(_)));
    assert_eq!(connect(&store, &client).unwrap().server.handshake_kind(), Some(HandshakeKind::Resumed));
    fs::write(&ca, &whole).unwrap();
    assert_eq!(store.reload().unwrap(), Reloaded::Unchanged);
    assert_eq!(store.files().last(), Some(&ca));
}

/// The names of so many authorities fit no handshake.
#[test]
fn a_large_bundle_is_trusted_without_being_told() {
    let folder = Folder::new("large-bundle");
    let signers: Vec<Signer> = (0..120).map(|number| Signer::new(&format!("{number}{}", "x".repeat(60)))).collect();
    let trusted: Vec<&Signer> = signers.iter().collect();
    for (count, hinted) in [(2, true), (120, false)] {
        let store = TlsStore::open(&asking(&folder, true, &trusted[..count]), "https").unwrap();
        assert_eq!(
            !store.active.load().authorities.as_ref().unwrap().verifier().root_hint_subjects().is_empty(),
            hinted
        );
        assert!(connect(&store, &signers[count - 1].client(&[&TLS13], "acme.test")).unwrap().works());
    }
}
