//! An identity provider on a real socket: it publishes keys, signs tokens, and misbehaves as a test tells it to.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData, RsaKeySize,
};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use super::Gate;
use super::stream::Stream;
use super::wire::{Head, Wire};

/// Between two bytes of an answer that trickles.
const DRIP: Duration = Duration::from_millis(20);

/// A key that signs with one algorithm, and what is published of it.
#[derive(Clone)]
pub struct SigningKey {
    id: Option<String>,
    algorithm: &'static str,
    key: Arc<Key>,
}

enum Key {
    Pair(KeyPair),
    Secret(Box<hmac::Key>),
}

impl SigningKey {
    pub fn es256(id: &str) -> Self {
        Self::new("ES256", id)
    }

    pub fn rs256(id: &str) -> Self {
        Self::new("RS256", id)
    }

    pub fn ed25519(id: &str) -> Self {
        Self::new("EdDSA", id)
    }

    /// Of any algorithm that has a public key.
    pub fn new(algorithm: &'static str, id: &str) -> Self {
        let pair = match algorithm {
            "ES256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            "ES384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            "ES512" => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
            "EdDSA" => KeyPair::generate_for(&PKCS_ED25519),
            _ => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        Self { id: Some(id.to_owned()), algorithm, key: Arc::new(Key::Pair(pair.unwrap())) }
    }

    /// HS256 with a shared secret, without `kid`.
    pub fn hs256(secret: &[u8]) -> Self {
        let key = Key::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        Self { id: None, algorithm: "HS256", key: Arc::new(key) }
    }

    /// The same key under another name, for another algorithm of its kind.
    pub fn also(&self, algorithm: &'static str, id: &str) -> Self {
        Self { id: Some(id.to_owned()), algorithm, key: Arc::clone(&self.key) }
    }

    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// Its public half, with `kid`, `alg` and `use`.
    pub fn jwk(&self) -> Value {
        let Key::Pair(pair) = &*self.key else { panic!("nothing is published of a secret") };
        let raw = pair.der_bytes();
        let mut jwk = match self.algorithm {
            "EdDSA" => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(raw) }),
            "ES256" | "ES384" | "ES512" => {
                let curve = match self.algorithm {
                    "ES256" => "P-256",
                    "ES384" => "P-384",
                    _ => "P-521",
                };
                // An uncompressed point: 4, and both coordinates.
                let (x, y) = raw[1..].split_at(raw.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
            }
            _ => {
                let key = RSAPublicKey::from_der(raw).unwrap().1;
                let modulus = key.modulus.strip_prefix(&[0]).unwrap_or(key.modulus);
                json!({ "kty": "RSA", "n": base64url(modulus), "e": base64url(key.exponent) })
            }
        };
        jwk["kid"] = self.id.as_deref().into();
        jwk["alg"] = self.algorithm.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// What its tokens begin with: `alg`, `typ: at+jwt` and, when it has a name, `kid`.
    pub fn header(&self) -> Value {
        let mut header = json!({ "alg": self.algorithm, "typ": "at+jwt" });
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        header
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        self.sign_texts(&header.to_string(), &claims.to_string())
    }

    /// A token of any texts.
    pub fn sign_texts(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let signature = base64url(&self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let pair = match &*self.key {
            Key::Secret(secret) => return hmac::sign(secret, message).as_ref().to_vec(),
            Key::Pair(pair) => pair.serialize_der(),
        };
        let random = SystemRandom::new();
        let rsa = |encoding: &'static dyn RsaEncoding| {
            let key = RsaKeyPair::from_pkcs8(&pair).unwrap();
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, message, &mut signature).unwrap();
            signature
        };
        let ec = |curve: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_pkcs8(curve, &pair).unwrap().sign(&random, message).unwrap().as_ref().to_vec()
        };
        match self.algorithm {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "RS384" => rsa(&RSA_PKCS1_SHA384),
            "RS512" => rsa(&RSA_PKCS1_SHA512),
            "PS256" => rsa(&RSA_PSS_SHA256),
            "PS384" => rsa(&RSA_PSS_SHA384),
            "PS512" => rsa(&RSA_PSS_SHA512),
            "ES256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "ES512" => ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
            "EdDSA" => Ed25519KeyPair::from_pkcs8(&pair).unwrap().sign(message).as_ref().to_vec(),
            other => panic!("no algorithm: {other}"),
        }
    }
}

/// Without padding (RFC 4648 §5).
pub fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

/// A key set as it is published.
pub fn key_set(keys: &[&SigningKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// What a path answers.
#[derive(Clone)]
pub enum Says {
    /// The keys, with these further field lines, each ending in CRLF.
    Keys(&'static str),
    /// The keys as they are when this opens; once for each answer.
    KeysAfter(Gate),
    /// A redirect to wherever this leads.
    Redirect(String),
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// The beginning of an answer that goes on for ever, a byte at a time.
    Trickle,
    /// As much of an answer as anybody takes.
    Flood,
    /// Nothing, on a connection that stays open.
    Nothing,
    /// The connection is reset.
    Reset,
}

struct Shared {
    tls: Option<Arc<ServerConfig>>,
    keys: Mutex<Vec<SigningKey>>,
    says: Mutex<HashMap<String, Says>>,
    requests: Mutex<Vec<Head>>,
}

/// Dropping it closes it.
pub struct IdentityProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl IdentityProvider {
    /// Publishes these keys on every path, in the clear.
    pub fn start(keys: &[&SigningKey]) -> Self {
        Self::start_on(None, keys)
    }

    pub fn start_tls(config: Arc<ServerConfig>, keys: &[&SigningKey]) -> Self {
        Self::start_on(Some(config), keys)
    }

    fn start_on(tls: Option<Arc<ServerConfig>>, keys: &[&SigningKey]) -> Self {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let keys = Mutex::new(keys.iter().copied().cloned().collect());
        let shared = Arc::new(Shared { tls, keys, says: Mutex::default(), requests: Mutex::default() });
        let provider = Self { address, shared, accepting: Mutex::default() };
        provider.listen(listener);
        provider
    }

    fn listen(&self, listener: StdListener) {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let task = sluice::base::tasks::spawn("identity provider", accept(listener, Arc::clone(&self.shared)));
        *self.accepting.lock().unwrap() = Some(task);
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its keys are, by address.
    pub fn url(&self) -> String {
        self.url_of("127.0.0.1")
    }

    /// Where its keys are, by a name.
    pub fn url_of(&self, host: &str) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{host}:{}/keys", self.address.port())
    }

    /// Publishes these keys instead.
    pub fn publish(&self, keys: &[&SigningKey]) {
        *self.shared.keys.lock().unwrap() = keys.iter().copied().cloned().collect();
    }

    /// What `/keys` says from now on.
    pub fn say(&self, says: Says) {
        self.say_on("/keys", says);
    }

    pub fn say_on(&self, path: &str, says: Says) {
        self.shared.says.lock().unwrap().insert(path.to_owned(), says);
    }

    /// How often anything was asked for.
    pub fn fetches(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    pub fn requests(&self) -> Vec<Head> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Closes its socket and every connection; further ones are refused.
    pub async fn die(&self) {
        let accepting = self.accepting.lock().unwrap().take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // Being cancelled is what was asked for.
            let _cancelled = accepting.await;
        }
    }

    /// Comes back at the same address.
    pub fn revive(&self) {
        self.listen(StdListener::bind(self.address).unwrap());
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.get_mut().unwrap().take() {
            accepting.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.expect("an identity provider accepts");
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            tcp.set_nodelay(true).unwrap();
            let stream = match &shared.tls {
                None => Stream::Plain(tcp),
                Some(config) => match TlsAcceptor::from(Arc::clone(config)).accept(tcp).await {
                    Ok(tls) => Stream::Tls(Box::new(tls.into())),
                    Err(_) => return,
                },
            };
            // Whoever has had enough of an answer closes the connection.
            let _closed = serve(Wire::new(stream, None), &shared).await;
        });
    }
}

/// One request on each connection.
async fn serve(mut wire: Wire, shared: &Shared) -> io::Result<()> {
    let Some(head) = wire.head().await? else { return Ok(()) };
    let target = head.start.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    shared.requests.lock().unwrap().push(head);
    let mut says = shared.says.lock().unwrap().get(&path).cloned().unwrap_or(Says::Keys(""));
    if let Says::KeysAfter(gate) = &says {
        gate.pass().await;
        says = Says::Keys("");
    }
    match says {
        Says::KeysAfter(_) => unreachable!("they come now"),
        Says::Keys(fields) => {
            let body = key_set(&shared.keys.lock().unwrap().iter().collect::<Vec<_>>());
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/jwk-set+json\r\nContent-Length: {length}\r\n{fields}\r\n"
            );
            wire.send((head + &body).as_bytes()).await
        }
        Says::Redirect(location) => {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            wire.send(head.as_bytes()).await
        }
        Says::Bytes(bytes) => wire.send(&bytes).await,
        Says::Trickle => {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await?;
            let mut drip = tokio::time::interval(DRIP);
            loop {
                drip.tick().await;
                wire.send(b" ").await?;
            }
        }
        Says::Flood => {
            wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
            loop {
                wire.send(chunk.as_bytes()).await?;
            }
        }
        Says::Nothing => wire.rest().await.map(drop),
        Says::Reset => {
            wire.stream.reset();
            Ok(())
        }
    }
}
