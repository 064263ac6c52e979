//! `sluice run`: the gateway, from its first socket to its last log line.

use std::net::SocketAddr;
use std::path::Path;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CANNOT_START, Common, Failure, Format, named_address, print_json};
use crate::app::{self, Running};
use crate::config::checked::{Bootstrap, Sandbox};
use crate::listener::development;
use crate::telemetry::log;

/// The file name that marks the certificate which the gateway makes itself.
const DEVELOPMENT_CERTIFICATE: &str = "dev.pem";

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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(Failure::start)?;
        runtime.block_on(serve(bootstrap, common.format))
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
    let tls = bootstrap.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    for files in tls.flat_map(|tls| &tls.certificates) {
        if files.certificate.file_name().is_some_and(|name| name == DEVELOPMENT_CERTIFICATE) {
            let folder = files.certificate.parent().unwrap_or(Path::new("."));
            development::ensure(folder, &files.certificate, &files.key).map_err(Failure::start)?;
        }
    }
    Ok(())
}

async fn serve(bootstrap: Bootstrap, format: Format) -> Result<(), Failure> {
    // Before anything is served, so that no signal is missed.
    let mut signals = Signals::new().map_err(Failure::start)?;
    let ca = development_ca(&bootstrap);
    let tls: Vec<bool> = bootstrap.listeners.iter().map(|listener| listener.tls.is_some()).collect();
    let running = app::start(bootstrap).await.map_err(Failure::start)?;
    announce(&running, &tls, ca.as_deref(), format);
    loop {
        tokio::select! {
            () = running.stopped() => return Ok(()),
            Some(()) = signals.terminate.recv() => running.terminate(),
            Some(()) = signals.interrupt.recv() => running.interrupt(),
            Some(()) = signals.hangup.recv() => {
                running.reopen_logs();
                running.reload().await;
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

fn development_ca(bootstrap: &Bootstrap) -> Option<String> {
    let tls = bootstrap.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let mut certificate = tls.flat_map(|tls| &tls.certificates).map(|files| &files.certificate);
    let made = certificate.find(|path| path.file_name().is_some_and(|name| name == DEVELOPMENT_CERTIFICATE))?;
    Some(made.with_file_name(development::AUTHORITY).display().to_string())
}

/// Where it listens, and lines to try; on stderr, because stdout is for the access log.
fn announce(running: &Running, tls: &[bool], ca: Option<&str>, format: Format) {
    if format == Format::Json {
        let listeners: serde_json::Map<String, serde_json::Value> =
            running.listeners().iter().map(|(name, address)| (name.to_string(), address.to_string().into())).collect();
        return print_json(&serde_json::json!({
            "listeners": listeners,
            "admin": running.admin().map(|address| address.to_string()),
            "sandbox": running.sandbox().map(|address| address.to_string()),
        }));
    }
    let mut lines = vec!["sluice listens".to_owned()];
    let mut tries = Vec::new();
    for ((name, address), tls) in running.listeners().iter().zip(tls) {
        let scheme = if *tls { "https" } else { "http" };
        lines.push(format!("  {name:8} {scheme}://{address}"));
        let trust = match ca {
            Some(ca) if *tls => format!("--cacert {ca} "),
            _ => String::new(),
        };
        tries.push(format!("  curl -i {trust}{scheme}://{address}/api/orders"));
    }
    if let Some(address) = running.admin() {
        lines.push(format!("  {:8} http://{address}", "admin"));
        tries.push(format!("  curl -s http://{address}/status"));
    }
    if let Some(address) = running.sandbox() {
        lines.push(format!("  {:8} http://{address}", "sandbox"));
    }
    lines.push("try".to_owned());
    lines.append(&mut tries);
    eprintln!("{}", lines.join("\n"));
}
