//! An identity provider on a real socket: it publishes keys, signs tokens, and misbehaves as a test tells it to.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::stream::Stream;
use super::wire::{Head, Wire};

/// Between two bytes of an answer that trickles.
const DRIP: Duration = Duration::from_millis(20);

/// A private key and what is published of it.
#[derive(Clone)]
pub struct SigningKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    pub fn es256(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self::new(id, Algorithm::ES256, EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap())
    }

    pub fn rs256(id: &str) -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        Self::new(id, Algorithm::RS256, EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap())
    }

    pub fn ed25519(id: &str) -> Self {
        // In the older form, without the public key: the only one of which `jsonwebtoken` makes a JWK.
        let pair = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        Self::new(id, Algorithm::EdDSA, EncodingKey::from_ed_der(pair.as_ref()))
    }

    fn new(id: &str, algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { id: Some(id.to_owned()), algorithm, key }
    }

    /// Its public half, with `kid`, `alg` and `use`.
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = self.id.clone();
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        serde_json::to_value(jwk).unwrap()
    }

    /// A token with these claims, and `typ: at+jwt`.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = self.id.clone();
        self.sign_as(&header, claims)
    }

    pub fn sign_as(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).unwrap()
    }
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
    let says = shared.says.lock().unwrap().get(&path).cloned().unwrap_or(Says::Keys(""));
    match says {
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
