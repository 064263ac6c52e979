//! Requests that are decided about by the gateway's own code, with nothing behind it: names are not resolved, keys not fetched.

mod caller;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Runtime;

pub(super) use caller::{as_caller, parse_as};
pub(super) use request::{Request, Url};

use super::token::development_set;
use super::{FOUND_ERRORS, Failure};
use crate::auth::sign::random_id;
use crate::base::rejection::Rejection;
use crate::base::secret::Secret;
use crate::config::RoutesReading;
use crate::config::checked::Routes;
use crate::config::checked::identity::{Issuer, KeySource};
use crate::config::report::Report;
use crate::listener::client_io::{ConnectionFacts, TlsFacts};
use crate::listener::head::{self, Room, Status};
use crate::listener::request::Http1View;
use crate::listener::worker::Settings;
use crate::snapshot::{Builder, LongLived, Snapshot};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Resolve;

/// Bytes for tokens that have been verified; none is asked about twice.
const TOKENS: usize = 1 << 20;

/// Builds snapshots of routes that nothing is sent by.
pub(super) struct Offline {
    /// Never run: what is started on it does not begin.
    runtime: Runtime,
    routes: Routes,
    /// The same, but for keys that are to be made.
    compiled: Routes,
    report: Report,
}

impl Offline {
    /// # Errors
    ///
    /// The routes file is refused as a whole.
    pub(super) fn new(reading: RoutesReading) -> Result<Self, Failure> {
        let Some(routes) = reading.routes else {
            return Err(Failure::Config { report: Box::new(reading.report), code: FOUND_ERRORS });
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::found)?;
        let mut compiled = routes.clone();
        for issuer in compiled.issuers.values_mut().filter(|issuer| is_to_be_made(issuer)) {
            // Nobody has the key, so no token is good: as it is until the key is made.
            let unknown = random_id().map_err(Failure::found)?;
            Arc::make_mut(issuer).keys = KeySource::Secret(Secret::new(unknown.into_bytes()));
        }
        Ok(Self { runtime, routes, compiled, report: reading.report })
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// A snapshot whose limits nobody has used.
    pub(super) fn snapshot(&self, previous: Option<&Snapshot>) -> Snapshot {
        let builder = Builder {
            metrics: Metrics::new(),
            resolver: Arc::new(Nowhere),
            runtime: self.runtime.handle().clone(),
            lasting: LongLived::new(TOKENS, 1 << 20),
        };
        builder.build(self.compiled.clone(), self.report.clone(), previous)
    }
}

/// Whether `run` would make the keys of this issuer.
fn is_to_be_made(issuer: &Issuer) -> bool {
    development_set(issuer).is_some_and(|set| !set.exists())
}

struct Nowhere;

#[async_trait]
impl Resolve for Nowhere {
    async fn resolve(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Err(std::io::Error::other("offline"))
    }
}

/// The connection that a request would come by.
pub(super) fn connection(request: &Request) -> ConnectionFacts {
    ConnectionFacts {
        listener: Arc::from("offline"),
        client: SocketAddr::new(request.client, 0),
        tls: request.url.https.then_some(TlsFacts {
            version: "TLSv1.3",
            server_name: None,
            http2: false,
            client: None,
        }),
    }
}

/// Reads a request as the gateway would read it from a connection, and goes on with what it finds.
///
/// # Errors
///
/// It has no end: a field is not what it seems.
pub(super) fn read<T>(
    request: &Request,
    settings: &Settings,
    then: impl FnOnce(Result<&Http1View<'_, '_>, &Rejection>) -> T,
) -> Result<T, Failure> {
    let bytes = request.head();
    let mut room = Room::new();
    match head::parse(&bytes, &mut room, &settings.limits) {
        Ok(Status::Complete(head, _)) => Ok(then(Ok(&Http1View { head: &head, method: request.method.clone() }))),
        Ok(Status::Partial) => Err(Failure::found("the request does not end; is there a line break in a field?")),
        Err(rejection) => Ok(then(Err(&rejection))),
    }
}
