//! One fetch of a key set over HTTP/1.1: believes nothing that the other side announces, and is limited in bytes, redirects
//! and time. Verified TLS, or plaintext to the loopback; never by a proxy.

mod freshness;
#[cfg(any(test, fuzzing))]
pub mod invariants;
mod io;
mod redirect;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use self::io::HyperIo;
use crate::base::trust::Authorities;
use crate::config::checked::identity::JwksUrl;

/// Of a key set; some 500 RSA keys.
const MAX_BYTES: usize = 256 * 1024;

/// Of an answer's head.
const MAX_HEAD: usize = 64 * 1024;

const MAX_REDIRECTS: usize = 3;

/// An issuer with more addresses is not tried at all of them.
const MAX_ADDRESSES: usize = 4;

/// What was fetched, as it came.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub body: Bytes,
    /// How long it may be used without asking again, when the answer says so.
    pub fresh_for: Option<Duration>,
    /// For operators whose URL leads to something else.
    pub media_type: Option<String>,
}

/// Where the keys of one issuer are fetched.
#[derive(Debug)]
pub(super) struct Fetcher {
    url: Uri,
    host: String,
    trust: Trust,
    limit: Duration,
}

#[derive(Debug)]
enum Trust {
    /// Plaintext, to the loopback.
    None,
    System(Authorities),
    /// Read again for every fetch, so that a bundle that was replaced counts.
    Bundle(PathBuf),
}

enum Answer {
    KeySet(Fetched),
    MovedTo(Uri),
}

impl Fetcher {
    /// # Errors
    ///
    /// Trust anchors that cannot be read, or a URL without a host.
    pub fn new(spec: &JwksUrl) -> Result<Self, String> {
        let host = spec.url.host().ok_or_else(|| format!("`{}` names no host", spec.url))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let trust = match (spec.url.scheme_str(), &spec.ca) {
            (Some("http"), _) => Trust::None,
            (_, None) => Trust::System(Authorities::load(None)?),
            (_, Some(path)) => {
                Authorities::load(Some(path)).map_err(|error| format!("ca: {error}"))?;
                Trust::Bundle(path.clone())
            }
        };
        Ok(Self { url: spec.url.clone(), host, trust, limit: spec.timeout })
    }

    /// Follows redirects. Connecting has a time limit; that of the whole is the business of whoever asks.
    ///
    /// # Errors
    ///
    /// Why there is no key set, for operators.
    pub async fn fetch(&self) -> Result<Fetched, String> {
        let mut url = self.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&url).await? {
                Answer::KeySet(fetched) => return Ok(fetched),
                Answer::MovedTo(other) => url = other,
            }
        }
        Err(format!("more than {MAX_REDIRECTS} redirects"))
    }

    async fn ask(&self, url: &Uri) -> Result<Answer, String> {
        let socket = self.connect().await?;
        let authorities = match &self.trust {
            Trust::None => return exchange(HyperIo(socket), url).await,
            Trust::System(authorities) => authorities.clone(),
            Trust::Bundle(path) => load(path.clone()).await?,
        };
        let name = ServerName::try_from(self.host.clone()).map_err(|_| format!("`{}` is no server name", self.host))?;
        let connector = TlsConnector::from(authorities.http1());
        let stream = connector.connect(name, socket).await.map_err(|error| format!("TLS: {error}"))?;
        exchange(HyperIo(stream), url).await
    }

    /// To the first address that answers; each has its share of the time.
    async fn connect(&self) -> Result<TcpStream, String> {
        let port = redirect::port(&self.url);
        let found = tokio::net::lookup_host((self.host.as_str(), port)).await;
        let found = found.map_err(|error| format!("`{}` does not resolve: {error}", self.host))?;
        // In the clear a name must not lead to where somebody else can answer.
        let is_safe = |address: &SocketAddr| !matches!(self.trust, Trust::None) || is_loopback(address);
        let addresses: Vec<SocketAddr> = found.filter(is_safe).take(MAX_ADDRESSES).collect();
        let share = self.limit / u32::try_from(addresses.len() + 1).unwrap_or(1);
        let of_what_kind = if matches!(self.trust, Trust::None) { "loopback " } else { "" };
        let mut failure = format!("`{}` has no {of_what_kind}address", self.host);
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => {
                    socket.set_nodelay(true).map_err(|error| format!("{address}: {error}"))?;
                    return Ok(socket);
                }
                Ok(Err(error)) => failure = format!("cannot connect to {address}: {error}"),
                Err(_) => failure = format!("cannot connect to {address} within {share:?}"),
            }
        }
        Err(failure)
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Reads a bundle where a slow disk holds up nobody.
async fn load(bundle: PathBuf) -> Result<Authorities, String> {
    let loading = tokio::task::spawn_blocking(move || load_now(&bundle));
    loading.await.map_err(|error| error.to_string())?
}

fn load_now(bundle: &Path) -> Result<Authorities, String> {
    Authorities::load(Some(bundle)).map_err(|error| format!("ca: {error}"))
}

/// One request on one connection, which closes afterwards.
async fn exchange<T: Read + Write + Unpin>(io: T, url: &Uri) -> Result<Answer, String> {
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(io).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let asking = async {
        let answer = sender.send_request(request(url)?).await.map_err(|error| said(&error))?;
        read(answer, url).await
    };
    let (mut asking, mut connection) = (std::pin::pin!(asking), std::pin::pin!(connection));
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        // It says nothing that the answer does not say as well, and what it has read is still to be taken.
        _ = &mut connection => asking.await,
    }
}

fn request(url: &Uri) -> Result<Request<Empty<Bytes>>, String> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let host = url.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    let host = host.and_then(Result::ok).ok_or_else(|| format!("`{url}` names no host"))?;
    Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::USER_AGENT, concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())
}

async fn read(answer: Response<Incoming>, url: &Uri) -> Result<Answer, String> {
    let (head, body) = answer.into_parts();
    let field = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    match head.status {
        StatusCode::OK => {}
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            let location = field(header::LOCATION).ok_or("a redirect to nowhere")?;
            return redirect::follow(url, location).map(Answer::MovedTo);
        }
        other => return Err(format!("the answer has status {}", other.as_u16())),
    }
    if field(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err("the answer is compressed, which was not asked for".to_owned());
    }
    let too_long = || format!("the answer has more than {} KiB", MAX_BYTES / 1024);
    if body.size_hint().lower() > MAX_BYTES as u64 {
        return Err(too_long());
    }
    let collected = Limited::new(body, MAX_BYTES).collect().await;
    let collected =
        collected.map_err(|error| if error.is::<LengthLimitError>() { too_long() } else { said(&*error) })?;
    let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Ok(Answer::KeySet(Fetched {
        body: collected.to_bytes(),
        fresh_for: freshness::of(&head.headers),
        media_type: media_type.map(|text| text.chars().take(100).collect()),
    }))
}

/// An error with what caused it, which hyper keeps to itself.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
