//! Building a snapshot beside the one that runs: what has not changed is carried over, with all that it has learned.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;

use super::cache::{CompiledCache, tags};
use super::gate::{self, CompiledIdentity, CompiledIssuer, CompiledPartner, Gate, Guard, LongLived};
use super::{CompiledAction, CompiledAnomaly, CompiledRoute, CompiledUpstream, Snapshot, Target};
use crate::auth::issuer::Issuer;
use crate::auth::sign::IdentitySigner;
use crate::base::clock;
use crate::config::checked::identity::{self, Auth, ClaimPath, Method};
use crate::config::checked::limits::{Limits, Plan};
use crate::config::checked::{Route, RouteAction, RouteTarget, Routes, Upstream};
use crate::config::report::Report;
use crate::partner::Registry;
use crate::rate_limit::Scope;
use crate::route::Table;
use crate::telemetry::access_log::Escaped;
use crate::telemetry::metrics::Metrics;
use crate::transform::headers::RequestEdits;
use crate::transform::rewrite::{CompiledRewrite, CompiledTemplate};
use crate::upstream::trust::Trust;
use crate::upstream::{Cluster, Identity, Resolve};

type Issuers = BTreeMap<Arc<str>, Result<Arc<Issuer>, String>>;

/// What routes are built upon.
struct Built<'b> {
    upstreams: &'b BTreeMap<Arc<str>, Arc<CompiledUpstream>>,
    /// What is wrong with the others.
    broken: &'b BTreeMap<Arc<str>, String>,
    issuers: &'b Issuers,
    /// Fields that clients cannot send.
    kept: &'b [HeaderName],
    identity: &'b identity::Identity,
    /// As written, by name.
    written_issuers: &'b BTreeMap<Arc<str>, Arc<identity::Issuer>>,
    /// Why upstreams cannot be told by a signature who calls.
    unsigned: Option<&'b str>,
}

/// What building a snapshot needs from outside.
#[derive(Clone)]
pub struct Builder {
    pub metrics: Metrics,
    pub resolver: Arc<dyn Resolve>,
    /// Where names are resolved.
    pub runtime: Handle,
    pub lasting: LongLived,
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
        let issuers = self.issuers(&routes, previous);
        let kept: Vec<HeaderName> = gate::identity_fields(&routes.identity).collect();
        let running = previous.and_then(|snapshot| snapshot.gate.identity.signer.as_ref());
        let signer = routes.identity.token.as_ref().map(|token| IdentitySigner::carry_over(token, running)).transpose();
        let (signer, unsigned) = match signer {
            Ok(signer) => (signer, None),
            Err(error) => (None, Some(format!("identity.token.key: {error}"))),
        };
        let built = Built {
            upstreams: &upstreams,
            broken: &broken,
            issuers: &issuers,
            kept: &kept,
            identity: &routes.identity,
            written_issuers: &routes.issuers,
            unsigned: unsigned.as_deref(),
        };
        let matches: Vec<_> = routes.routes.iter().map(|route| &route.matches).collect();
        let table = Table::build(&matches);
        let compiled: Vec<_> = routes.routes.into_iter().map(|route| self.route(route, &built)).collect();
        let caches = compiled.iter().any(|route| route.action.as_ref().is_ok_and(|action| action.cache.is_some()));
        let gate = Gate {
            issuers: issuers
                .into_iter()
                .filter_map(|(name, issuer)| Some((Arc::clone(&name), self.issuer(&name, issuer.ok()?))))
                .collect(),
            partners: self.partners(&routes.partners, &routes.plans),
            identity: CompiledIdentity { written: routes.identity, signer },
            lasting: self.lasting.clone(),
            metrics: self.metrics.decisions(),
            cache_metrics: self.metrics.cache().clone(),
        };
        Snapshot {
            log_version: Escaped::new(&routes.version),
            version: routes.version,
            file: routes.file,
            loaded_at: clock::since_epoch(),
            table,
            routes: compiled,
            upstreams,
            gate,
            anomaly: routes.anomaly,
            report,
            caches,
            unrouted: self.metrics.unrouted(),
        }
    }

    /// Whether what the routes name outside of their file is still what runs: bundles, secrets, the key of identity tokens. No
    /// routes file says so when they change; keys of issuers are looked after by the issuers themselves.
    #[must_use]
    pub fn is_same_outside(routes: &Routes, running: &Snapshot) -> bool {
        let same_trust = routes.upstreams.iter().all(|(name, spec)| {
            let Some(tls) = spec.tls.as_ref().filter(|tls| tls.ca.is_some()) else { return true };
            let trusted = running.upstreams.get(name).and_then(|upstream| upstream.trust.as_ref());
            match (Trust::load(tls), trusted) {
                (Ok(found), Some(trusted)) => found.fingerprint() == trusted.fingerprint(),
                _ => false,
            }
        });
        let same_issuers = routes.issuers.iter().all(|(name, spec)| {
            let running = running.gate.issuers.get(name);
            running.is_some_and(|running| running.issuer.serves(spec, claims_asked(routes, name)))
        });
        let same_key = match (&routes.identity.token, &running.gate.identity.signer) {
            (None, None) => true,
            (Some(token), Some(running)) => running.is_current(token),
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_trust && same_issuers && same_key
    }

    /// An issuer that is the same goes on with the keys that it has.
    fn issuers(&self, routes: &Routes, previous: Option<&Snapshot>) -> Issuers {
        let start = |(name, spec): (&Arc<str>, &Arc<identity::Issuer>)| {
            let kept = claims_asked(routes, name);
            let running = previous.and_then(|snapshot| snapshot.gate.issuers.get(name)).map(|running| &running.issuer);
            let issuer = match running.filter(|running| running.serves(spec, kept.clone())) {
                Some(running) => Ok(Arc::clone(running)),
                None => Issuer::start(Arc::clone(spec), kept, running.map(|running| &**running), &self.runtime),
            };
            (Arc::clone(name), issuer)
        };
        routes.issuers.iter().map(start).collect()
    }

    fn issuer(&self, name: &str, issuer: Arc<Issuer>) -> CompiledIssuer {
        CompiledIssuer { issuer, metrics: self.metrics.issuer(name) }
    }

    fn partners(&self, partners: &identity::Partners, plans: &BTreeMap<Arc<str>, Plan>) -> Registry<CompiledPartner> {
        Registry::new(partners, |partner| {
            let none = Limits::default();
            let plan = partner.plan.as_ref().and_then(|name| plans.get(name));
            let scope = Scope::Partner { partner: &partner.name, plan: plan.map_or("", |plan| &*plan.name) };
            let mut scopes = partner.scopes.clone();
            scopes.sort();
            Arc::new(CompiledPartner {
                name: Arc::clone(&partner.name),
                log_name: Escaped::new(&partner.name),
                plan: partner.plan.clone(),
                enabled: partner.enabled,
                scopes: scopes.into(),
                limits: self.lasting.ledger.rules(scope, plan.map_or(&none, |plan| &plan.limits)),
                metrics: self.metrics.partner(&partner.name),
            })
        })
    }

    fn route(&self, route: Route, built: &Built<'_>) -> CompiledRoute {
        let Route { name, matches, action, tests: _, at } = route;
        let metrics = self.metrics.route(&name);
        let names: Vec<&str> = matches.path.param_names().collect();
        let action = action.and_then(|written| {
            let target = target(&written, &names, built).map_err(|problem| vec![problem])?;
            let limits = self.lasting.ledger.rules(Scope::Route(&name), &written.limits);
            let guard = Guard::compile(&written, built.issuers, limits).map_err(|problem| vec![problem])?;
            if let (Target::Forward { .. }, Some(_), Some(problem)) = (&target, &guard.access, built.unsigned) {
                return Err(vec![problem.to_owned()]);
            }
            let mut kept = gate::credential_fields(&written.auth);
            kept.extend_from_slice(built.kept);
            kept.extend(written.anomaly.as_ref().map(|policy| policy.header.clone()));
            let request_edits = RequestEdits::compile(&written.request_headers, &kept);
            let cache = written.cache.as_ref().map(|policy| {
                CompiledCache::compile(&name, &written, policy, &names, (built.identity, built.written_issuers))
            });
            let cache = cache.transpose().map_err(|error| vec![format!("cache.tags: {error}")])?;
            let invalidates =
                tags(&written.invalidates, &names).map_err(|error| vec![format!("invalidates: {error}")])?;
            let anomaly = written.anomaly.as_ref().map(|policy| {
                CompiledAnomaly::compile(&name, policy, &self.lasting.anomaly, self.metrics.anomaly(&name))
            });
            let anomaly = anomaly.transpose().map_err(|problem| vec![problem])?;
            Ok(CompiledAction { guard, request_edits, cache, anomaly, invalidates, written, target })
        });
        let is_checked = action.as_ref().is_ok_and(|action| action.anomaly.is_some());
        let learned = if is_checked { None } else { self.lasting.anomaly.running(&name) };
        CompiledRoute { log_name: Escaped::new(&name), name, at, matches, action, learned, metrics }
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

fn target(written: &RouteAction, names: &[&str], built: &Built<'_>) -> Result<Target, String> {
    Ok(match &written.target {
        RouteTarget::Forward { upstream, rewrite, .. } => {
            let compile = |rewrite| CompiledRewrite::compile(rewrite, names);
            let rewrite = rewrite.as_ref().map(compile).transpose().map_err(|error| format!("rewrite: {error}"))?;
            let Some(running) = built.upstreams.get(upstream) else {
                let problem = built.broken.get(upstream).map_or("there is no such upstream", String::as_str);
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

/// The claims of an issuer's tokens that some route has a condition on.
fn claims_asked(routes: &Routes, issuer: &Arc<str>) -> Vec<ClaimPath> {
    let actions = routes.routes.iter().filter_map(|route| route.action.as_ref().ok());
    let asking = actions.filter_map(|action| match &action.auth {
        Auth::Required(access) => Some(access),
        Auth::None => None,
    });
    let asking = asking.filter(|access| {
        access.methods.iter().any(|method| match method {
            Method::Token { issuers, .. } => issuers.contains(issuer),
            Method::ApiKey(_) | Method::Certificate => false,
        })
    });
    let mut claims: Vec<_> = asking.flat_map(|access| &access.claims).map(|rule| rule.claim.clone()).collect();
    claims.sort();
    claims.dedup();
    claims
}
