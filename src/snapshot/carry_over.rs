//! Building a snapshot beside the one that runs: what has not changed is carried over, with all that it has learned.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::HeaderValue;
use tokio::runtime::Handle;

use super::{CompiledAction, CompiledRoute, CompiledUpstream, Snapshot, Target};
use crate::base::clock;
use crate::config::checked::{Route, RouteAction, RouteTarget, Routes, Upstream};
use crate::config::report::Report;
use crate::route::Table;
use crate::telemetry::access_log::Escaped;
use crate::telemetry::metrics::Metrics;
use crate::transform::headers::RequestEdits;
use crate::transform::rewrite::{CompiledRewrite, CompiledTemplate};
use crate::upstream::trust::Trust;
use crate::upstream::{Cluster, Identity, Resolve};

/// What building a snapshot needs from outside.
#[derive(Clone)]
pub struct Builder {
    pub metrics: Metrics,
    pub resolver: Arc<dyn Resolve>,
    /// Where names are resolved.
    pub runtime: Handle,
}

impl Builder {
    /// Compiles checked routes. A route whose upstream cannot be set up is closed, like any faulty route.
    #[must_use]
    pub fn build(&self, routes: Routes, report: Report, previous: Option<&Snapshot>) -> Snapshot {
        let mut upstreams = BTreeMap::new();
        let mut broken = BTreeMap::new();
        for (name, spec) in &routes.upstreams {
            match self.upstream(spec, previous.and_then(|snapshot| snapshot.upstreams.get(name))) {
                Ok(upstream) => drop(upstreams.insert(Arc::clone(name), upstream)),
                Err(problem) => drop(broken.insert(Arc::clone(name), problem)),
            }
        }
        let matches: Vec<_> = routes.routes.iter().map(|route| &route.matches).collect();
        let table = Table::build(&matches);
        let compiled = routes.routes.into_iter().map(|route| self.route(route, &upstreams, &broken)).collect();
        Snapshot {
            log_version: Escaped::new(&routes.version),
            version: routes.version,
            file: routes.file,
            loaded_at: clock::since_epoch(),
            table,
            routes: compiled,
            upstreams,
            report,
            unrouted: self.metrics.unrouted(),
        }
    }

    /// Whether the bundles on disk still hold what the running upstreams trust; no routes file says so when they change.
    #[must_use]
    pub fn trusts_as(routes: &Routes, running: &Snapshot) -> bool {
        routes.upstreams.iter().all(|(name, spec)| {
            let Some(tls) = spec.tls.as_ref().filter(|tls| tls.ca.is_some()) else { return true };
            let trusted = running.upstreams.get(name).and_then(|upstream| upstream.trust.as_ref());
            match (Trust::load(tls), trusted) {
                (Ok(found), Some(trusted)) => found.fingerprint() == trusted.fingerprint(),
                _ => false,
            }
        })
    }

    fn route(
        &self,
        route: Route,
        upstreams: &BTreeMap<Arc<str>, Arc<CompiledUpstream>>,
        broken: &BTreeMap<Arc<str>, String>,
    ) -> CompiledRoute {
        let Route { name, matches, action, tests: _, at } = route;
        let metrics = self.metrics.route(&name);
        let names: Vec<&str> = matches.path.param_names().collect();
        let action = action.and_then(|written| {
            let target = target(&written, &names, upstreams, broken).map_err(|problem| vec![problem])?;
            Ok(CompiledAction { request_edits: RequestEdits::compile(&written.request_headers), written, target })
        });
        CompiledRoute { log_name: Escaped::new(&name), name, at, matches, action, metrics }
    }

    fn upstream(
        &self,
        spec: &Upstream,
        previous: Option<&Arc<CompiledUpstream>>,
    ) -> Result<Arc<CompiledUpstream>, String> {
        let trust = spec.tls.as_ref().map(Trust::load).transpose()?.map(Arc::new);
        let identity = Identity::of(spec);
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        trust.as_ref().map(|trust| trust.fingerprint()).hash(&mut hasher);
        let pool_key = hasher.finish();
        let log_name = Escaped::new(&spec.name);
        let fallback_host = spec
            .endpoints
            .first()
            .and_then(|endpoint| HeaderValue::try_from(format!("{}:{}", endpoint.host, endpoint.port)).ok());
        if let Some(previous) = previous {
            if previous.pool_key == pool_key {
                return Ok(Arc::clone(previous));
            }
            if *previous.cluster.identity() == identity {
                let (cluster, metrics) = (Arc::clone(&previous.cluster), previous.metrics.clone());
                return Ok(Arc::new(CompiledUpstream { cluster, log_name, trust, pool_key, fallback_host, metrics }));
            }
        }
        let cluster = Cluster::start(spec, Arc::clone(&self.resolver), &self.runtime);
        let metrics = self.metrics.upstream(&spec.name);
        Ok(Arc::new(CompiledUpstream { cluster, log_name, trust, pool_key, fallback_host, metrics }))
    }
}

fn target(
    written: &RouteAction,
    names: &[&str],
    upstreams: &BTreeMap<Arc<str>, Arc<CompiledUpstream>>,
    broken: &BTreeMap<Arc<str>, String>,
) -> Result<Target, String> {
    Ok(match &written.target {
        RouteTarget::Forward { upstream, rewrite, .. } => {
            let compile = |rewrite| CompiledRewrite::compile(rewrite, names);
            let rewrite = rewrite.as_ref().map(compile).transpose().map_err(|error| format!("rewrite: {error}"))?;
            let Some(running) = upstreams.get(upstream) else {
                let problem = broken.get(upstream).map_or("there is no such upstream", String::as_str);
                return Err(format!("upstream `{upstream}`: {problem}"));
            };
            Target::Forward { upstream: Arc::clone(running), rewrite }
        }
        RouteTarget::Redirect { location, .. } => {
            let location =
                CompiledTemplate::location(location, names).map_err(|error| format!("redirect.location: {error}"))?;
            Target::Redirect { location }
        }
        RouteTarget::Respond { .. } => Target::Respond,
    })
}
