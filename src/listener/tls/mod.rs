//! TLS of a listener: one configuration that all cores share, swapped whole when its certificates change.

mod certificates;
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

pub use certificates::{Certificates, Expiry};
pub use error::{TlsError, TlsProblem};
pub use stream::TlsStream;

/// Tickets after a handshake of TLS 1.3. Each costs both sides a derivation and some 200 bytes; with one, a client that resumes has as many
/// as it used up, and one that opens several connections at once gets one with each.
const TICKETS: usize = 1;

/// The TLS configuration of one listener, and how to make it anew from the same files.
///
/// TLS 1.2 (unless `tls13_only`) and 1.3; ALPN `h2` (when wanted) before `http/1.1`; no client certificates; no early data,
/// which anybody could replay. Sessions resume by tickets only, so no core waits for another one's session cache; the ticket
/// keys are made here, for this listener alone, and change every six hours, the last one before being good for as long again.
///
/// They outlive a reload, so that it costs no client a full handshake. That is right as long as a reload changes certificates only: a
/// resumed session then passed every check that a full handshake makes. A setting that decides who may connect needs new keys with it.
pub struct TlsStore {
    listener: Arc<str>,
    settings: ListenerTls,
    tickets: Arc<dyn ProducesTickets>,
    active: ArcSwap<Active>,
    /// Held while files are read, so that an older reading never replaces a newer one.
    reloading: Mutex<()>,
}

struct Active {
    config: Arc<ServerConfig>,
    certificates: Certificates,
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
        let tickets = Ticketer::new().map_err(|error| TlsError::of_listener(listener, TlsProblem::Tls(error)))?;
        let certificates = Certificates::load(settings, listener)?;
        let active = activate(settings, listener, &tickets, certificates)?;
        Ok(Self {
            listener: listener.into(),
            settings: settings.clone(),
            tickets,
            active: ArcSwap::from_pointee(active),
            reloading: Mutex::new(()),
        })
    }

    /// What a new connection uses; connections that are open keep what they began with.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.active.load().config)
    }

    /// Reads the files again and swaps all certificates at once, or none: with any error the old ones stay, and the error is
    /// logged and returned. A certificate and a key that are replaced one after the other therefore take effect with the second.
    /// It blocks on files: call it off the worker threads.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_and_swap().inspect_err(|error| {
            tracing::error!(listener = &*self.listener, %error, "new certificates refused, the old ones stay in use");
        })
    }

    fn read_and_swap(&self) -> Result<Reloaded, TlsError> {
        let certificates = Certificates::load(&self.settings, &self.listener)?;
        if certificates.serves_the_same_as(&self.active.load().certificates) {
            return Ok(Reloaded::Unchanged);
        }
        let active = activate(&self.settings, &self.listener, &self.tickets, certificates)?;
        self.active.store(Arc::new(active));
        tracing::info!(listener = &*self.listener, "certificates replaced");
        Ok(Reloaded::Swapped)
    }

    /// The files to watch: every certificate and every key.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.settings.certificates.iter().flat_map(|pair| [pair.certificate.clone(), pair.key.clone()]).collect()
    }

    /// When each certificate in use ends, in the order of the file.
    #[must_use]
    pub fn expiry(&self) -> Vec<Expiry> {
        self.active.load().certificates.expiry()
    }
}

fn activate(
    settings: &ListenerTls,
    listener: &str,
    tickets: &Arc<dyn ProducesTickets>,
    certificates: Certificates,
) -> Result<Active, TlsError> {
    let versions = if settings.tls13_only { &[&TLS13][..] } else { &[&TLS13, &TLS12] };
    let mut config = ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(versions)
        .map_err(|error| TlsError::of_listener(listener, TlsProblem::Tls(error)))?
        .with_no_client_auth()
        .with_cert_resolver(certificates.resolver());
    config.alpn_protocols =
        if settings.http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    config.send_tls13_tickets = TICKETS;
    config.ticketer = Arc::clone(tickets);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Active { config: Arc::new(config), certificates })
}

#[cfg(test)]
mod tests;
