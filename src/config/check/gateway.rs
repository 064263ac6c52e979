//! The bootstrap file, checked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::checked::{
    AccessLog, AccessLogTarget, Bootstrap, Cache, CertificateFiles, ClientAddress, ClientCertificates, Credentials,
    Deadlines, Drain, Http2, Limits, Listener, ListenerTls, Log, Pool, Reload, Sandbox,
};
use super::super::defaults;
use super::super::model::{self, At, List, Network, OrOff, Threads, gateway as written};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::{Reader, did_you_mean};
use super::{anomaly, cache, count, log_level, not_empty, positive, resolve, size, time, version};

/// More threads than any machine has cores.
const MAX_THREADS: u64 = 1_024;
/// The largest window of RFC 9113 §6.9.1, and the smallest that carries a full frame.
const WINDOWS: std::ops::RangeInclusive<u64> = 16 << 10..=(1 << 31) - 1;

/// Checks what was read. The result is only to be used when the reader is not faulty afterwards.
pub(in crate::config) fn check(
    file: &Arc<str>,
    folder: &Path,
    written: &written::Gateway,
    reader: &mut Reader<'_>,
) -> Option<Bootstrap> {
    version(written.version.as_ref(), reader)?;
    let mut listeners = Vec::new();
    if let Some(list) = &written.listeners {
        not_empty(list, "`listeners`", "without a listener no request can arrive", reader);
        listeners.extend(list.value.0.iter().filter_map(|one| listener(one, folder, reader)));
    }
    let admin = match &written.admin {
        Some(At { value: OrOff::Off, .. }) => None,
        Some(At { value: OrOff::On(written::Admin { address: Some(address), .. }), .. }) => Some(address.value.0),
        _ => Some(defaults::ADMIN),
    };
    let sandbox = written.sandbox.as_ref().and_then(|sandbox| self::sandbox(&sandbox.value, folder));
    unique_addresses(written, reader);
    unique_names(written, reader);
    let routes = written.routes.as_ref().map_or(defaults::ROUTES, |path| &path.value.0);
    Some(Bootstrap {
        store: store(written.store.as_ref(), folder),
        cache: Cache { memory: cache::memory(part(&written.cache).memory.as_ref(), reader) },
        anomaly: anomaly::folder_and_callers(&part(&written.anomaly), folder, reader),
        credentials: credentials(part(&written.credentials), folder, reader),
        file: Arc::clone(file),
        threads: threads(written.threads.as_ref(), reader),
        listeners,
        admin,
        routes: resolve(folder, routes),
        built_in_routes: false,
        reload: reload(written.reload.as_ref()),
        limits: limits(part(&written.limits), reader),
        deadlines: deadlines(part(&written.deadlines), reader),
        http2: http2(part(&written.http2), reader),
        client_address: client_address(part(&written.client_address)),
        pool: pool(part(&written.upstream_pool), reader),
        access_log: access_log(part(&written.access_log), folder, reader),
        log: log(part(&written.log), reader),
        drain: drain(part(&written.drain), reader),
        sandbox,
    })
}

/// A part as written, or one in which nothing is written.
fn part<T: Default + Clone>(written: &Option<At<T>>) -> T {
    written.as_ref().map(|part| part.value.clone()).unwrap_or_default()
}

fn threads(written: Option<&At<Threads>>, reader: &mut Reader<'_>) -> usize {
    match written {
        Some(At { value: Threads::Number(number), span, node }) => {
            let number = At { value: model::Count(*number), span: *span, node: *node };
            count(Some(&number), 1, 1..=MAX_THREADS, reader) as usize
        }
        _ => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

fn listener(written: &At<written::Listener>, folder: &Path, reader: &mut Reader<'_>) -> Option<Listener> {
    let listener = &written.value;
    let tls = listener.tls.as_ref().map(|tls| listener_tls(&tls.value, folder, reader));
    let h2c = listener.h2c.as_ref().is_some_and(|h2c| h2c.value.0);
    if let (true, Some(h2c), Some(tls)) = (h2c, listener.keys.place("h2c"), listener.keys.place("tls")) {
        let message = "`h2c` is HTTP/2 without TLS, but this listener has `tls`";
        let mistake = Diagnostic::new(Code::H2cWithTls, h2c, message).also(tls, "TLS is asked for here");
        reader.note(mistake.help("take `h2c` away; with TLS, clients choose HTTP/2 by ALPN (`tls.http2`)"));
    }
    let proxy_protocol = listener.proxy_protocol.as_ref().map(|proxy| networks(proxy.value.from.as_ref(), reader));
    Some(Listener {
        name: Arc::from(&*listener.name.as_ref()?.value.0),
        address: listener.address.as_ref()?.value.0,
        tls,
        h2c,
        proxy_protocol,
        at: reader.location(written.span),
    })
}

fn listener_tls(tls: &written::ListenerTls, folder: &Path, reader: &mut Reader<'_>) -> ListenerTls {
    let mut certificates = Vec::new();
    if let Some(list) = &tls.certificates {
        not_empty(list, "`certificates`", "TLS needs at least one certificate and its key", reader);
        for At { value, span, .. } in &list.value.0 {
            if let (Some(certificate), Some(key)) = (&value.certificate, &value.key) {
                certificates.push(CertificateFiles {
                    certificate: resolve(folder, &certificate.value.0),
                    key: resolve(folder, &key.value.0),
                    at: reader.location(*span),
                });
            }
        }
    }
    ListenerTls {
        client_certificates: tls
            .client_certificates
            .as_ref()
            .and_then(|asked| client_certificates(asked, folder, reader)),
        certificates,
        tls13_only: tls.min_version.as_ref().is_some_and(|version| version.value == written::TlsVersion::Tls13),
        http2: tls.http2.as_ref().is_none_or(|http2| http2.value.0),
    }
}

fn client_certificates(
    written: &At<written::ClientCertificates>,
    folder: &Path,
    reader: &mut Reader<'_>,
) -> Option<ClientCertificates> {
    let mode = written.value.mode.as_ref();
    Some(ClientCertificates {
        required: mode.is_none_or(|mode| mode.value == written::CertificateMode::Required),
        ca: resolve(folder, &written.value.ca.as_ref()?.value.0),
        at: reader.location(written.span),
    })
}

fn networks(written: Option<&At<List<Network>>>, reader: &mut Reader<'_>) -> Vec<ipnet::IpNet> {
    let Some(list) = written else { return Vec::new() };
    not_empty(list, "`from`", "list the networks of the load balancers", reader);
    list.value.0.iter().map(|network| network.value.0).collect()
}

/// Port 0 means "any free port" and never clashes.
fn unique_addresses(written: &written::Gateway, reader: &mut Reader<'_>) {
    let listeners = written.listeners.iter().flat_map(|list| &list.value.0);
    let mut all: Vec<&At<model::Address>> = listeners.filter_map(|listener| listener.value.address.as_ref()).collect();
    if let Some(At { value: OrOff::On(admin), .. }) = &written.admin {
        all.extend(&admin.address);
    }
    all.extend(written.sandbox.iter().filter_map(|sandbox| sandbox.value.address.as_ref()));
    let mut seen: HashMap<SocketAddr, Span> = HashMap::new();
    for At { value: model::Address(address), span, .. } in all {
        if address.port() == 0 {
            continue;
        }
        if let Some(first) = seen.insert(*address, *span) {
            let mistake = Diagnostic::new(Code::ListenerAddress, *span, format!("`{address}` is listened on twice"));
            reader.note(mistake.label("again here").also(first, "first here"));
        }
    }
    let default = defaults::ADMIN;
    let is_written = match &written.admin {
        Some(At { value: OrOff::On(admin), .. }) => admin.keys.has("address"),
        Some(_) => true,
        None => written.keys.has("admin"),
    };
    if let (false, Some(span)) = (is_written, seen.get(&default)) {
        let message = format!("`{default}` is where `admin` listens when nothing is written");
        let mistake = Diagnostic::new(Code::ListenerAddress, *span, message);
        reader.note(mistake.help("choose another port, or write `admin: {address: …}` or `admin: off`"));
    }
}

fn unique_names(written: &written::Gateway, reader: &mut Reader<'_>) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for listener in written.listeners.iter().flat_map(|list| &list.value.0) {
        let Some(name) = &listener.value.name else { continue };
        if let Some(first) = seen.insert(&name.value.0, name.span) {
            let message = format!("two listeners have the name `{}`", name.value.0);
            let mistake = Diagnostic::new(Code::ListenerName, name.span, message);
            reader.note(mistake.label("again here").also(first, "first here"));
        }
    }
}

fn reload(written: Option<&At<written::Reload>>) -> Reload {
    let mode = written.and_then(|reload| reload.value.mode.as_ref());
    let watch = written.and_then(|reload| reload.value.watch.as_ref());
    Reload {
        strict: mode.is_some_and(|mode| mode.value == written::ReloadMode::Strict),
        watch: watch.is_none_or(|watch| watch.value.0),
    }
}

fn limits(limits: written::Limits, reader: &mut Reader<'_>) -> Limits {
    // Pingora takes 1 MiB, and the gateway and its routes add something.
    let head = size(limits.head.as_ref(), defaults::HEAD, 1 << 10..=512 << 10, reader);
    // `http::Uri` ends before 64 KiB, and a rewrite may make a target longer.
    let target = size(limits.target.as_ref(), defaults::TARGET.min(head), 256..=32 << 10, reader);
    if let (true, Some(span)) = (target > head && head >= 1 << 10, limits.keys.place("target")) {
        let message = "a request target cannot be longer than the head that it is part of";
        let mut mistake = Diagnostic::new(Code::OutOfRange, span, message);
        if let Some(head) = limits.keys.place("head") {
            mistake = mistake.also(head, "the head is limited here");
        }
        reader.note(mistake);
    }
    Limits {
        head: head as usize,
        // Pingora takes 256 fields, and the gateway and its routes add some.
        fields: count(limits.fields.as_ref(), defaults::FIELDS, 8..=200, reader) as usize,
        target: target as usize,
        connections: count(limits.connections.as_ref(), defaults::CONNECTIONS, 1..=10_000_000, reader) as usize,
        requests_per_connection: count(
            limits.requests_per_connection.as_ref(),
            defaults::REQUESTS_PER_CONNECTION,
            1..=u64::MAX,
            reader,
        ),
    }
}

fn deadlines(deadlines: written::Deadlines, reader: &mut Reader<'_>) -> Deadlines {
    Deadlines {
        handshake: time(deadlines.handshake.as_ref(), defaults::HANDSHAKE, positive(), reader),
        head: time(deadlines.head.as_ref(), defaults::HEAD_DEADLINE, positive(), reader),
        keep_alive: time(deadlines.keep_alive.as_ref(), defaults::KEEP_ALIVE, positive(), reader),
        body: time(deadlines.body.as_ref(), defaults::BODY, positive(), reader),
    }
}

fn http2(http2: written::Http2, reader: &mut Reader<'_>) -> Http2 {
    let streams = http2.max_concurrent_streams.as_ref();
    Http2 {
        max_concurrent_streams: count(streams, defaults::MAX_CONCURRENT_STREAMS, 1..=10_000, reader) as u32,
        stream_window: size(http2.stream_window.as_ref(), defaults::STREAM_WINDOW, WINDOWS, reader) as u32,
        connection_window: size(http2.connection_window.as_ref(), defaults::CONNECTION_WINDOW, WINDOWS, reader) as u32,
    }
}

fn client_address(address: written::ClientAddress) -> ClientAddress {
    let networks = address.trusted_proxies.into_iter().flat_map(|list| list.value.0);
    ClientAddress { trusted_proxies: networks.map(|network| network.value.0).collect() }
}

fn pool(pool: written::UpstreamPool, reader: &mut Reader<'_>) -> Pool {
    Pool {
        size: count(pool.size.as_ref(), defaults::POOL_SIZE, 1..=100_000, reader) as usize,
        idle: time(pool.idle.as_ref(), defaults::POOL_IDLE, positive(), reader),
        lifetime: time(pool.lifetime.as_ref(), defaults::POOL_LIFETIME, positive(), reader),
    }
}

fn access_log(log: written::AccessLog, folder: &Path, reader: &mut Reader<'_>) -> AccessLog {
    let target = match log.target.as_ref().map(|target| (&*target.value.0, target.span)) {
        None | Some(("stdout", _)) => AccessLogTarget::Stdout,
        Some(("off", _)) => AccessLogTarget::Off,
        Some((path, _)) if path.contains('/') => AccessLogTarget::File(resolve(folder, path)),
        Some((word, span)) => {
            let mistake = Diagnostic::new(Code::Choice, span, format!("`{word}` is not a target of the access log"));
            reader.note(match did_you_mean(word, ["stdout", "off"]) {
                Some(meant) => mistake.label(format!("did you mean `{meant}`?")),
                None => mistake.help(format!("write `stdout`, `off`, or a path with a `/` in it, such as `./{word}`")),
            });
            AccessLogTarget::Stdout
        }
    };
    AccessLog { target, buffer: count(log.buffer.as_ref(), defaults::LOG_BUFFER, 1..=10_000_000, reader) as usize }
}

fn log(log: written::Log, reader: &mut Reader<'_>) -> Log {
    if let Some(level) = &log.level
        && let Err(message) = log_level::check(&level.value.0)
    {
        let mistake = Diagnostic::new(Code::LogLevel, level.span, message);
        reader.note(mistake.help("write a level, or a list such as `info,sluice::route=debug`"));
    }
    Log {
        level: log.level.map_or_else(|| defaults::LOG_LEVEL.into(), |level| level.value.0.into()),
        json: log.format.is_some_and(|format| format.value == written::LogFormat::Json),
    }
}

fn drain(drain: written::Drain, reader: &mut Reader<'_>) -> Drain {
    let from_zero = Duration::ZERO..=Duration::from_secs(86_400);
    Drain {
        delay: time(drain.delay.as_ref(), defaults::DRAIN_DELAY, from_zero.clone(), reader),
        timeout: time(drain.timeout.as_ref(), defaults::DRAIN_TIMEOUT, from_zero, reader),
    }
}

fn store(written: Option<&At<OrOff<written::Store>>>, folder: &Path) -> Option<std::path::PathBuf> {
    match &written?.value {
        OrOff::Off => None,
        OrOff::On(store) => store.file.as_ref().map(|file| resolve(folder, &file.value.0)),
    }
}

fn credentials(credentials: written::Credentials, folder: &Path, reader: &mut Reader<'_>) -> Credentials {
    let cache = size(credentials.token_cache.as_ref(), defaults::TOKEN_CACHE, 64 << 10..=64 << 30, reader);
    Credentials {
        token_cache: usize::try_from(cache).unwrap_or(usize::MAX),
        revocations: credentials.revocations.map(|file| resolve(folder, &file.value.0)),
    }
}

fn sandbox(sandbox: &written::Sandbox, folder: &Path) -> Option<Sandbox> {
    let openapi = sandbox.openapi.as_ref().map(|path| resolve(folder, &path.value.0));
    Some(Sandbox { address: sandbox.address.as_ref()?.value.0, openapi })
}
