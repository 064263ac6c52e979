//! TLS of a listener: one configuration that all cores share, swapped whole when its certificates change.

mod authorities;
mod certificates;
pub mod client;
mod error;
mod names;
mod stream;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};

use crate::base::crypto;
use crate::config::checked::ListenerTls;
use authorities::Authorities;

pub use certificates::{Certificates, Expiry};
pub use client::ClientCertificate;
pub use error::{TlsError, TlsProblem};
pub use stream::{NotAccepted, TlsStream};

/// Tickets after a handshake of TLS 1.3. Each costs both sides a derivation and some 200 bytes; with one, a client that resumes has as many
/// as it used up, and one that opens several connections at once gets one with each.
const TICKETS: usize = 1;

/// The TLS configuration of one listener, and how to make it anew from the same files.
///
/// TLS 1.2 (unless `tls13_only`) and 1.3; ALPN `h2` (when wanted) before `http/1.1`; client certificates when they are asked for; no early
/// data, which anybody could replay, and no answer before the client is known. Sessions resume by tickets only, so no core waits for another
/// one's session cache; the ticket keys are made here, for this listener alone, and change every six hours, the last one before being good
/// for as long again.
///
/// A resumed session has the client certificate that its full handshake has verified, and nobody verifies it again. So tickets outlive a
/// change of our own certificates, which decide nothing about clients, but not one of the authorities that clients' are verified against:
/// that makes new keys, and who comes with an older ticket has to show a good certificate.
pub struct TlsStore {
    listener: Arc<str>,
    settings: ListenerTls,
    active: ArcSwap<Active>,
    /// Held while files are read, so that an older reading never replaces a newer one.
    reloading: Mutex<()>,
}

struct Active {
    config: Arc<ServerConfig>,
    certificates: Certificates,
    /// `None`: clients are not asked for certificates.
    authorities: Option<Authorities>,
}

/// What a reload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// New handshakes get the new certificates.
    Swapped,
    /// The files hold what is already served.
    Unchanged,
}

impl TlsStore {
    /// Reads the files of a listener; it blocks, and any error means that the listener cannot be served.
    pub fn open(settings: &ListenerTls, listener: &str) -> Result<Self, TlsError> {
        let (certificates, authorities) = load(settings, listener)?;
        let active = Active::new(settings, listener, certificates, authorities, new_tickets(listener)?)?;
        Ok(Self {
            listener: listener.into(),
            settings: settings.clone(),
            active: ArcSwap::from_pointee(active),
            reloading: Mutex::new(()),
        })
    }

    /// What a new connection uses; connections that are open keep what they began with.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.active.load().config)
    }

    /// Reads the files again and swaps everything at once, or none: with any error the old ones stay, and the error is
    /// logged and returned. A certificate and a key that are replaced one after the other therefore take effect with the second.
    /// It blocks on files: call it off the worker threads.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_and_swap().inspect_err(|error| {
            tracing::error!(listener = &*self.listener, %error, "new certificates refused, the old ones stay in use");
        })
    }

    fn read_and_swap(&self) -> Result<Reloaded, TlsError> {
        let (certificates, authorities) = load(&self.settings, &self.listener)?;
        let active = self.active.load();
        let same_trust = match (&authorities, &active.authorities) {
            (Some(new), Some(old)) => new.trust_the_same_as(old),
            (new, old) => new.is_none() && old.is_none(),
        };
        if same_trust && certificates.serves_the_same_as(&active.certificates) {
            return Ok(Reloaded::Unchanged);
        }
        let tickets = if same_trust { Arc::clone(&active.config.ticketer) } else { new_tickets(&self.listener)? };
        let next = Active::new(&self.settings, &self.listener, certificates, authorities, tickets)?;
        self.active.store(Arc::new(next));
        tracing::info!(listener = &*self.listener, clients_verified_anew = !same_trust, "certificates replaced");
        Ok(Reloaded::Swapped)
    }

    /// The files to watch: every certificate, every key, and the authorities of clients.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let pairs = self.settings.certificates.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        pairs.chain(self.settings.client_certificates.iter().map(|clients| &clients.ca)).cloned().collect()
    }

    /// When each certificate in use ends, in the order of the file.
    #[must_use]
    pub fn expiry(&self) -> Vec<Expiry> {
        self.active.load().certificates.expiry()
    }
}

fn load(settings: &ListenerTls, listener: &str) -> Result<(Certificates, Option<Authorities>), TlsError> {
    let certificates = Certificates::load(settings, listener)?;
    let clients = settings.client_certificates.as_ref();
    Ok((certificates, clients.map(|clients| Authorities::load(clients, listener)).transpose()?))
}

fn new_tickets(listener: &str) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    Ticketer::new().map_err(|error| TlsError::of_listener(listener, TlsProblem::Tls(error)))
}

impl Active {
    fn new(
        settings: &ListenerTls,
        listener: &str,
        certificates: Certificates,
        authorities: Option<Authorities>,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsError> {
        let versions = if settings.tls13_only { &[&TLS13][..] } else { &[&TLS13, &TLS12] };
        let builder = ServerConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(versions)
            .map_err(|error| TlsError::of_listener(listener, TlsProblem::Tls(error)))?;
        let builder = match &authorities {
            Some(authorities) => builder.with_client_cert_verifier(authorities.verifier()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificates.resolver());
        config.alpn_protocols =
            if settings.http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        config.send_tls13_tickets = TICKETS;
        config.ticketer = tickets;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), certificates, authorities })
    }
}

#[cfg(test)]
mod tests;
