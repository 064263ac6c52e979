//! The services behind the gateway.

use std::path::Path;
use std::sync::Arc;

use super::super::checked::{EndpointAddress, Upstream, UpstreamProtocol, UpstreamTls};
use super::super::defaults;
use super::super::model::{At, List, Text, routes as written};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::{Keys, Reader};
use super::{matching, not_empty, positive, resolve, time};
use crate::base::host_pattern;

/// Checks one upstream; only to be used when no error was noted.
pub(super) fn check(
    name: &At<Box<str>>,
    written: &written::Upstream,
    folder: &Path,
    reader: &mut Reader<'_>,
) -> Option<Upstream> {
    let endpoints = written.endpoints.as_ref().map(|list| endpoints(list, reader));
    let protocol = match written.protocol.as_ref().map(|protocol| protocol.value) {
        None | Some(written::Protocol::Http1) => UpstreamProtocol::Http1,
        Some(written::Protocol::Http2) => UpstreamProtocol::Http2,
        Some(written::Protocol::Auto) => UpstreamProtocol::Auto,
    };
    if let (UpstreamProtocol::Auto, false, Some(protocol)) = (protocol, written.keys.has("tls"), &written.protocol) {
        let message = "`protocol: auto` asks by ALPN, which is a part of TLS";
        let mistake = Diagnostic::new(Code::AutoNeedsTls, protocol.span, message);
        reader.note(mistake.help("write `tls`, or choose `http1` or `http2`"));
    }
    let tls = written.tls.as_ref().map(|tls| self::tls(&tls.value, endpoints.as_deref(), folder, reader));
    let dns_refresh = time(written.dns_refresh.as_ref(), defaults::DNS_REFRESH, positive(), reader);
    let tls = match tls {
        Some(tls) => Some(tls?),
        None => None,
    };
    let at = reader.location(name.span);
    Some(Upstream { name: Arc::from(&*name.value), endpoints: endpoints?, protocol, tls, dns_refresh, at })
}

fn endpoints(list: &At<List<Text>>, reader: &mut Reader<'_>) -> Vec<EndpointAddress> {
    not_empty(list, "`endpoints`", "an upstream needs at least one `host:port`", reader);
    let mut kept: Vec<EndpointAddress> = Vec::new();
    for At { value: Text(text), span, .. } in &list.value.0 {
        match endpoint(text) {
            Ok(endpoint) if kept.contains(&endpoint) => matching::repeated(*span, text, reader),
            Ok(endpoint) => kept.push(endpoint),
            Err(mistake) => reader.note(mistake(*span)),
        }
    }
    kept
}

/// Reads `host:port`. The host of the result is lower case; an IPv6 address is without its brackets.
fn endpoint(text: &str) -> Result<EndpointAddress, impl FnOnce(Span) -> Diagnostic> {
    let parse = || {
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        let host = host_pattern::normalise(host)?;
        let host = host.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(&host);
        Some(EndpointAddress { host: Arc::from(host), port })
    };
    parse().ok_or_else(|| {
        let message = format!("`{text}` is not an endpoint");
        let label = if text.contains("://") {
            "no scheme and no path here; TLS is asked for by `tls` of the upstream"
        } else if host_pattern::normalise(text).is_some() {
            "the port is missing"
        } else {
            "write `host:port`, such as `orders.internal:8080` or `[fd00::1]:8080`"
        };
        move |span| Diagnostic::new(Code::Endpoint, span, message).label(label)
    })
}

fn tls(
    written: &written::UpstreamTls,
    endpoints: Option<&[EndpointAddress]>,
    folder: &Path,
    reader: &mut Reader<'_>,
) -> Option<UpstreamTls> {
    let ca = written.ca.as_ref().map(|ca| {
        let path = resolve(folder, &ca.value.0);
        if let Err(error) = std::fs::File::open(&path) {
            let message = format!("cannot read `{}`: {error}", path.display());
            reader.note(Diagnostic::new(Code::CaFile, ca.span, message));
        }
        path
    });
    let Some(name) = &written.server_name else {
        server_name_missing(&written.keys, endpoints, reader);
        return None;
    };
    let Some(server_name) = host_pattern::normalise(&name.value.0) else {
        let message = format!("`{}` is not a host name", name.value.0);
        reader.note(Diagnostic::new(Code::ServerName, name.span, message).label("no port, scheme or wildcard here"));
        return None;
    };
    let server_name = server_name.trim_matches(['[', ']']);
    Some(UpstreamTls { server_name: Arc::from(server_name), ca })
}

fn server_name_missing(keys: &Keys, endpoints: Option<&[EndpointAddress]>, reader: &mut Reader<'_>) {
    if keys.is_meant("server_name") {
        return;
    }
    let message = "`tls` does not say which name the upstream's certificate carries";
    let mut mistake = Diagnostic::new(Code::ServerName, keys.mapping, message).label("`server_name` is missing here");
    if let Some([only]) = endpoints {
        mistake = mistake.help(format!("perhaps `server_name: {}`", only.host));
    }
    reader.note(mistake);
}
