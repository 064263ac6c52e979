//! Who may pass, and how much, compiled: issuers, partners, and what routes ask of callers.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, header};

use crate::anomaly;
use crate::auth::addresses::AddressRules;
use crate::auth::issuer::{Accepted, Issuer, IssuerNumbers};
use crate::auth::revocation::Revocations;
use crate::auth::sign::IdentitySigner;
use crate::auth::tokens::Tokens;
use crate::cache::Cache;
use crate::cache::store::Numbers;
use crate::config::checked::RouteAction;
use crate::config::checked::identity::{self, Access, ApiKeyPlaces, Auth, Method, TokenPlaces};
use crate::partner::Registry;
use crate::rate_limit::{Ledger, Rules};
use crate::telemetry::access_log::Escaped;
use crate::telemetry::metrics::{CacheMetrics, CacheNumbers, DecisionMetrics, IssuerMetrics, PartnerMetrics};

/// What outlives every snapshot.
#[derive(Clone, Debug)]
pub struct LongLived {
    pub tokens: Arc<Tokens>,
    pub revocations: Arc<Revocations>,
    pub ledger: Arc<Ledger>,
    pub cache: Arc<Cache>,
    pub anomaly: Arc<anomaly::registry::Registry>,
}

/// What identity fields are called unless the configuration says otherwise.
const USUAL_FIELDS: [&str; 4] = ["x-sluice-partner", "x-sluice-subject", "x-sluice-scopes", "x-sluice-identity"];

/// Whom requests are checked against.
pub struct Gate {
    pub issuers: BTreeMap<Arc<str>, CompiledIssuer>,
    pub partners: Registry<CompiledPartner>,
    pub identity: CompiledIdentity,
    pub lasting: LongLived,
    pub metrics: DecisionMetrics,
    pub cache_metrics: CacheMetrics,
}

/// How upstreams learn who calls.
pub struct CompiledIdentity {
    pub written: identity::Identity,
    pub signer: Option<Arc<IdentitySigner>>,
}

/// An issuer with its gauges.
pub struct CompiledIssuer {
    pub issuer: Arc<Issuer>,
    pub metrics: IssuerMetrics,
}

impl Gate {
    /// Brings gauges up to what issuers and the cache know now.
    pub fn refresh_gauges(&self) {
        for CompiledIssuer { issuer, metrics } in self.issuers.values() {
            let IssuerNumbers { fetched, failed, keys, fetched_at } = issuer.numbers();
            metrics.set_fetches(fetched, failed);
            metrics.set_keys(keys);
            if let Some(at) = fetched_at {
                metrics.set_last_success(at);
            }
        }
        let Numbers { entries, bytes, budget, evicted, purged } = self.lasting.cache.store().numbers();
        self.cache_metrics.set(&CacheNumbers { entries, bytes, budget, evicted, purged });
    }
}

/// A partner as requests meet it.
pub struct CompiledPartner {
    pub name: Arc<str>,
    /// The name as lines of the access log have it.
    pub log_name: Escaped,
    pub plan: Option<Arc<str>>,
    pub enabled: bool,
    /// Sorted.
    pub scopes: Arc<[Arc<str>]>,
    /// Its share of its plan.
    pub limits: Rules,
    pub metrics: PartnerMetrics,
}

impl std::fmt::Debug for CompiledPartner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledPartner").field("name", &self.name).finish_non_exhaustive()
    }
}

impl LongLived {
    /// With so many bytes for verified tokens, and so many for answers.
    #[must_use]
    pub fn new(token_cache: usize, cache: usize) -> Self {
        Self {
            tokens: Arc::new(Tokens::new(token_cache)),
            revocations: Arc::default(),
            ledger: Arc::default(),
            cache: Arc::new(Cache::new(cache)),
            anomaly: Arc::default(),
        }
    }
}

/// What a route asks before it does anything.
pub struct Guard {
    /// `None`: nobody is asked.
    pub access: Option<CompiledAccess>,
    pub addresses: Option<AddressRules>,
    pub limits: Rules,
    /// Query parameters that carry a credential and stay here.
    pub withheld_parameters: Box<[Box<str>]>,
    /// Where tokens may stand among other things, and stay here.
    pub withheld_places: Box<[TokenPlaces]>,
}

pub struct CompiledAccess {
    pub written: Access,
    /// In the order of those that are written.
    pub methods: Box<[CompiledMethod]>,
}

pub enum CompiledMethod {
    Token { issuers: Accepted, from: TokenPlaces },
    ApiKey(ApiKeyPlaces),
    Certificate,
}

impl Guard {
    /// # Errors
    ///
    /// An issuer that could not be set up.
    pub fn compile(
        written: &RouteAction,
        issuers: &BTreeMap<Arc<str>, Result<Arc<Issuer>, String>>,
        limits: Rules,
    ) -> Result<Self, String> {
        let access = match &written.auth {
            Auth::None => None,
            Auth::Required(access) => {
                let methods: Result<_, String> =
                    access.methods.iter().map(|method| CompiledMethod::compile(method, issuers)).collect();
                Some(CompiledAccess { written: (**access).clone(), methods: methods? })
            }
        };
        let (parameters, places) = match &access {
            Some(access) if !access.written.keep_credential => (access.parameters(), access.places()),
            _ => (Box::default(), Box::default()),
        };
        Ok(Self {
            access,
            addresses: written.addresses.as_ref().map(AddressRules::compile),
            limits,
            withheld_parameters: parameters,
            withheld_places: places,
        })
    }
}

impl CompiledAccess {
    fn parameters(&self) -> Box<[Box<str>]> {
        let parameter = |method: &CompiledMethod| match method {
            CompiledMethod::Token { from, .. } => from.query.clone(),
            CompiledMethod::ApiKey(from) => from.query.clone(),
            CompiledMethod::Certificate => None,
        };
        self.methods.iter().filter_map(parameter).collect()
    }

    fn places(&self) -> Box<[TokenPlaces]> {
        let place = |method: &CompiledMethod| match method {
            CompiledMethod::Token { from, .. } => Some(from.clone()),
            CompiledMethod::ApiKey(_) | CompiledMethod::Certificate => None,
        };
        self.methods.iter().filter_map(place).filter(|from| from.cookie.is_some() || from.websocket_protocol).collect()
    }
}

/// Fields that carry nothing but a credential of a route, and stay here.
pub fn credential_fields(auth: &Auth) -> Vec<HeaderName> {
    let access = match auth {
        Auth::Required(access) if !access.keep_credential => access,
        Auth::Required(_) | Auth::None => return Vec::new(),
    };
    let field = |method: &Method| match method {
        Method::Token { from, .. } => from.authorization.then_some(header::AUTHORIZATION),
        Method::ApiKey(from) => from.header.clone(),
        Method::Certificate => None,
    };
    access.methods.iter().filter_map(field).collect()
}

impl CompiledMethod {
    fn compile(method: &Method, issuers: &BTreeMap<Arc<str>, Result<Arc<Issuer>, String>>) -> Result<Self, String> {
        Ok(match method {
            Method::Token { issuers: named, from } => {
                let found: Result<_, String> = named
                    .iter()
                    .map(|name| match issuers.get(name) {
                        Some(Ok(issuer)) => Ok(Arc::clone(issuer)),
                        Some(Err(problem)) => Err(format!("issuer `{name}`: {problem}")),
                        None => Err(format!("there is no issuer `{name}`")),
                    })
                    .collect();
                Self::Token { issuers: found?, from: from.clone() }
            }
            Method::ApiKey(from) => Self::ApiKey(from.clone()),
            Method::Certificate => Self::Certificate,
        })
    }
}

/// Fields that only we may send to upstreams, whoever is asked; those of the usual names also when others are chosen, because an
/// upstream may still believe them.
pub fn identity_fields(identity: &identity::Identity) -> impl Iterator<Item = HeaderName> {
    let token = identity.token.as_ref().map(|token| &token.header);
    let named = [&identity.partner, &identity.subject, &identity.scopes].into_iter().filter_map(Option::as_ref);
    let usual = USUAL_FIELDS.map(HeaderName::from_static);
    named.chain(token).cloned().chain(usual)
}
