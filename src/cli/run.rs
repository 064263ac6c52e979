//! `sluice run`: the gateway, from its first socket to its last log line.

mod tries;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::token::development_set;
use super::{CANNOT_START, Common, FAILED, Failure, Format, named_address, print, quoted, read_routes, tell};
use crate::app::{self, Running, StartError};
use crate::config::checked::{Bootstrap, CertificateFiles, Listener, Sandbox};
use crate::config::{DEFAULT_ROUTES_FILE, checked};
use crate::listener::development;
use crate::snapshot::{FirstError, Snapshot};
use crate::telemetry::log;

/// The file name that marks the certificate which the gateway makes itself.
const DEVELOPMENT_CERTIFICATE: &str = "dev.pem";

/// How long blocking work of the control tasks may take to end behind the gateway.
const LAST_WORK: Duration = Duration::from_millis(100);

#[derive(Args, Clone)]
pub(super) struct Run {
    /// Move a listener, by its name; may be repeated
    #[arg(long, env = "SLUICE_LISTEN", value_name = "NAME=ADDRESS", value_delimiter = ',', value_parser = named_address)]
    listen: Vec<(String, SocketAddr)>,
    /// Move the admin API
    #[arg(long, env = "SLUICE_ADMIN", value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Move the sandbox, or start one
    #[arg(long, env = "SLUICE_SANDBOX", value_name = "ADDRESS")]
    sandbox: Option<SocketAddr>,
    /// Worker threads
    #[arg(long, env = "SLUICE_THREADS", value_name = "NUMBER")]
    threads: Option<std::num::NonZeroUsize>,
}

impl Run {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let mut bootstrap = common.bootstrap(CANNOT_START)?;
        self.apply(&mut bootstrap)?;
        log::init(&bootstrap.log).map_err(Failure::start)?;
        make_development_certificates(&bootstrap)?;
        make_development_keys(&bootstrap)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(Failure::start)?;
        let served = runtime.block_on(serve(bootstrap, common));
        // A file or a resolver that hangs must not hold up the end.
        runtime.shutdown_timeout(LAST_WORK);
        served
    }

    fn apply(&self, bootstrap: &mut Bootstrap) -> Result<(), Failure> {
        for (name, address) in &self.listen {
            let names = || bootstrap.listeners.iter().map(|listener| &*listener.name).collect::<Vec<_>>().join(", ");
            let unknown =
                Failure::start(format!("--listen {name}={address}: no listener `{name}`; there are: {}", names()));
            let listener = bootstrap.listeners.iter_mut().find(|listener| *listener.name == **name).ok_or(unknown)?;
            listener.address = *address;
        }
        if let Some(address) = self.admin {
            bootstrap.admin = Some(address);
        }
        if let Some(address) = self.sandbox {
            let openapi = bootstrap.sandbox.as_ref().and_then(|sandbox| sandbox.openapi.clone());
            bootstrap.sandbox = Some(Sandbox { address, openapi });
        }
        if let Some(threads) = self.threads {
            bootstrap.threads = threads.get();
        }
        Ok(())
    }
}

/// Makes what is configured under the name of the development certificate and is not there.
fn make_development_certificates(bootstrap: &Bootstrap) -> Result<(), Failure> {
    for files in certificates(&bootstrap.listeners).filter(|files| is_development(files)) {
        let folder = files.certificate.parent().unwrap_or(Path::new("."));
        let outcome = development::ensure(folder, &files.certificate, &files.key).map_err(Failure::start)?;
        let certificate = files.certificate.display();
        match outcome {
            development::Outcome::Found => {}
            development::Outcome::Made => tracing::info!(%certificate, "development certificate made"),
            development::Outcome::Renewed => tracing::info!(%certificate, "development certificate renewed"),
        }
    }
    Ok(())
}

/// Makes the keys of issuers that name the development key set, where they are not there.
fn make_development_keys(bootstrap: &Bootstrap) -> Result<(), Failure> {
    // What is wrong with the routes is said when they are read to be served.
    let Ok(reading) = read_routes(bootstrap) else { return Ok(()) };
    let issuers = reading.routes.iter().flat_map(|routes| routes.issuers.values());
    for set in issuers.filter_map(|issuer| development_set(issuer)) {
        let (_, outcome) = development::ensure_token_key(set).map_err(Failure::start)?;
        if outcome != development::Outcome::Found {
            tracing::info!(keys = %set.display(), "development key made, for `sluice token`");
        }
    }
    Ok(())
}

fn certificates(listeners: &[Listener]) -> impl Iterator<Item = &CertificateFiles> {
    listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificates)
}

fn is_development(files: &CertificateFiles) -> bool {
    files.certificate.file_name().is_some_and(|name| name == DEVELOPMENT_CERTIFICATE)
}

/// Whether `run` would make this certificate.
pub(super) fn is_to_be_made(files: &CertificateFiles) -> bool {
    is_development(files) && !files.certificate.exists() && !files.key.exists()
}

async fn serve(bootstrap: Bootstrap, common: &Common) -> Result<(), Failure> {
    // Before anything is served, so that no signal is missed.
    let mut signals = Signals::new().map_err(Failure::start)?;
    let (file, listeners) = (bootstrap.file.to_string(), bootstrap.listeners.clone());
    let running = app::start(bootstrap).await.map_err(|error| match error {
        StartError::Routes(FirstError::Refused(report)) => {
            Failure::Config { report: Box::new(report), code: CANNOT_START }
        }
        error => Failure::start(error),
    })?;
    let announced = Announced {
        running: &running,
        snapshot: &running.snapshot(),
        file,
        built_in: common.bootstrap_file().is_none(),
        called: quoted(&program()) + &common.flags(),
        listeners,
    };
    match common.format {
        Format::Human => tell(&announced.to_text()),
        Format::Json => print(&format!("{}\n", announced.to_json()))?,
    }
    loop {
        tokio::select! {
            () = running.stopped() => {
                tracing::info!("stopped");
                let message = "a worker failed; the log says how".to_owned();
                return if running.failed() { Err(Failure::Message { message, code: FAILED }) } else { Ok(()) };
            }
            Some(()) = signals.terminate.recv() => running.terminate(),
            Some(()) = signals.interrupt.recv() => running.interrupt(),
            Some(()) = signals.hangup.recv() => {
                running.reopen_logs();
                running.start_reload();
            }
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Resolves at the first SIGTERM or SIGINT.
pub(super) async fn asked_to_end() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "signals cannot be caught"),
    }
}

/// What a gateway that has started says about itself.
struct Announced<'a> {
    running: &'a Running,
    snapshot: &'a Snapshot,
    /// The bootstrap file.
    file: String,
    /// It is not there, and the one that this program carries holds.
    built_in: bool,
    /// How this program was called, for a shell.
    called: String,
    listeners: Vec<checked::Listener>,
}

impl Announced<'_> {
    fn to_json(&self) -> serde_json::Value {
        let listeners: serde_json::Map<String, serde_json::Value> = self
            .running
            .listeners()
            .iter()
            .map(|(name, address)| (name.to_string(), address.to_string().into()))
            .collect();
        serde_json::json!({
            "config": { "file": self.file, "built_in": self.built_in },
            "routes": {
                "file": &*self.snapshot.file,
                "built_in": self.has_built_in_routes(),
                "version": self.snapshot.version,
                "count": self.snapshot.routes.len(),
            },
            "listeners": listeners,
            "admin": self.running.admin().map(|address| address.to_string()),
            "sandbox": self.running.sandbox().map(|address| address.to_string()),
            "ca": self.authority(),
        })
    }

    /// Where it listens, and lines to try; for stderr, because stdout is for the access log.
    fn to_text(&self) -> String {
        let built_in = |is: bool| if is { " (built in; there is no such file here)" } else { "" };
        let routes = match self.has_built_in_routes() {
            true => "routes.yaml",
            false => &*self.snapshot.file,
        };
        let mut text = format!("sluice {}\n", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:8} {value}\n"));
        line("config", &format!("{}{}", self.file, built_in(self.built_in)));
        let count = self.snapshot.routes.len();
        line("routes", &format!("{routes}, {count} routes{}", built_in(self.has_built_in_routes())));
        let path = tries::public(self.snapshot);
        let mut tries = Vec::new();
        let mut opened = None;
        for ((name, address), listener) in self.running.listeners().iter().zip(&self.listeners) {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            line(name, &format!("{scheme}://{address}"));
            let trust = self.authority().filter(|_| listener.tls.as_ref().is_some_and(serves_development));
            let trust = trust.map(|ca| format!("--cacert {} ", quoted(&ca))).unwrap_or_default();
            // Only a load balancer gets past the PROXY protocol.
            if listener.proxy_protocol.is_none() {
                let curl = format!("curl -i {trust}{scheme}://{}", reachable(*address));
                tries.push(format!("{curl}{path}"));
                opened = Some(curl);
            }
        }
        tries.extend(opened.zip(tries::with_token(self.snapshot, &self.called)).map(|(curl, rest)| curl + &rest));
        if let Some(address) = self.running.admin() {
            line("admin", &format!("http://{address}"));
            tries.push(format!("curl -s http://{}/status", reachable(address)));
        }
        if let Some(address) = self.running.sandbox() {
            line("sandbox", &format!("http://{address}"));
        }
        text.push_str("try\n");
        tries.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        text
    }

    fn has_built_in_routes(&self) -> bool {
        *self.snapshot.file == *DEFAULT_ROUTES_FILE
    }

    /// What clients have to trust to try a listener with the development certificate.
    fn authority(&self) -> Option<String> {
        let made = certificates(&self.listeners).find(|files| is_development(files))?;
        Some(made.certificate.with_file_name(development::AUTHORITY).display().to_string())
    }
}

/// Whether clients that name no host get the development certificate.
fn serves_development(tls: &checked::ListenerTls) -> bool {
    tls.certificates.first().is_some_and(is_development)
}

/// As it was called.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "sluice".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The address for a client on this machine.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
