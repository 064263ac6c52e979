//! Between the route and what it does: who calls, whether they may, and whether they still may.

use std::slice::from_ref;
use std::sync::Arc;

use http::HeaderValue;
use http::header::RETRY_AFTER;

use super::Given;
use super::admit::Admitted;
use super::caller::{By, Caller};
use super::credential;
use super::exchange::Undecided;
use super::facts::Facts;
use super::view::RequestView;
use crate::auth::access::authorize;
use crate::auth::api_key;
use crate::auth::challenge::challenge;
use crate::auth::issuer::{KeysAwaited, Refused};
use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::checked::identity::Method;
use crate::listener::client_io::ConnectionFacts;
use crate::rate_limit::{Asked, Granted, Observed};
use crate::snapshot::{CompiledAccess, CompiledAction, CompiledMethod, CompiledPartner, Gate};
use crate::telemetry::metrics::Credential;

/// Why a request does not go on.
pub(super) enum Stop {
    Refused(Rejection),
    /// Nothing can be said before this is done; then the whole decision is made again.
    Pending(KeysAwaited),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.into())
    }
}

/// What the gate looks at.
pub(super) struct AtGate<'a, V> {
    pub(super) gate: &'a Gate,
    pub(super) action: &'a CompiledAction,
    pub(super) connection: &'a ConnectionFacts,
    pub(super) request: &'a V,
    pub(super) given: &'a Given,
}

impl<V: RequestView> AtGate<'_, V> {
    /// Address, limits that need no identity, identity, rights, limits: in this order, so that the cheapest refusal comes first
    /// and nobody guesses credentials without a limit.
    pub(super) fn pass(&self, admitted: &Admitted<'_>, undecided: &mut Undecided<'_>) -> Result<(), Stop> {
        let Undecided { facts, granted, .. } = undecided;
        let guard = &self.action.guard;
        let addresses = self.action.written.addresses.as_ref();
        if let (Some(rules), Some(written)) = (&guard.addresses, addresses)
            && !rules.allows(facts.client)
        {
            self.refuse_or_observe(Reason::AddressDenied.into(), written.observe, facts)?;
        }
        if guard.limits.asks_strangers() {
            self.charge(true, facts, granted)?;
        }
        if let Some(access) = &guard.access {
            match self.authenticate(access, admitted, facts) {
                Err(Stop::Refused(rejection)) => {
                    self.refuse_or_observe(rejection, access.written.observe, facts)?;
                }
                passed_or_pending => passed_or_pending?,
            }
        }
        self.charge(false, facts, granted)
    }

    fn refuse_or_observe(&self, rejection: Rejection, observe: bool, facts: &mut Facts) -> Result<(), Stop> {
        if !observe {
            return Err(Stop::Refused(rejection));
        }
        // The credential is what is waited for; what comes before it was counted before the wait.
        if !self.given.waited || rejection.reason != Reason::AddressDenied {
            self.gate.metrics.observed(rejection.reason);
        }
        facts.observed.push(rejection.reason);
        Ok(())
    }

    fn authenticate(&self, access: &CompiledAccess, admitted: &Admitted<'_>, facts: &mut Facts) -> Result<(), Stop> {
        let caller = match &self.given.caller {
            Some(caller) => caller.clone(),
            None => self.identify(access, admitted, facts)?,
        };
        // Known from here on, for log and limits, whatever comes of it.
        let caller = facts.caller.insert(caller);
        let (partner, now) = (caller.partner_name(), facts.started_at);
        let revocations = &self.gate.lasting.revocations;
        let is_revoked = match &caller.by {
            By::Token(token) => revocations.revokes(Some(token), partner, now),
            By::ApiKey { .. } | By::Certificate(_) => revocations.revokes_other(caller.subject(), partner, now),
        };
        caller.vouched &= !is_revoked && caller.partner.as_ref().is_none_or(|partner| partner.enabled);
        if is_revoked {
            return Err(revoked(access, caller).into());
        }
        match &caller.partner {
            Some(partner) if !partner.enabled => return Err(Reason::PartnerDisabled.into()),
            None if access.written.requires_partner => return Err(Reason::PartnerUnknown.into()),
            Some(_) | None => {}
        }
        Ok(authorize(&access.written, &caller.rights())?)
    }

    /// By the first method whose credential came; a bad one is not made good by another.
    fn identify(&self, access: &CompiledAccess, admitted: &Admitted<'_>, facts: &Facts) -> Result<Caller, Stop> {
        for method in &access.methods {
            let known = match method {
                CompiledMethod::Token { issuers, from } => {
                    let token = credential::token(self.request, from).transpose();
                    token.map(|token| self.by_token(&token?, issuers, facts))
                }
                CompiledMethod::ApiKey(from) => {
                    let key = credential::api_key(self.request, from).transpose();
                    key.map(|key| self.by_api_key(&key?, facts))
                }
                CompiledMethod::Certificate => self.by_certificate(admitted, facts),
            };
            match known {
                Some(Err(Stop::Refused(rejection))) => return Err(self.challenged(access, rejection).into()),
                Some(known_or_pending) => return known_or_pending,
                None => {}
            }
        }
        Err(self.challenged(access, Reason::CredentialMissing.into()).into())
    }

    fn by_token(
        &self,
        token: &[u8],
        issuers: &[Arc<crate::auth::issuer::Issuer>],
        facts: &Facts,
    ) -> Result<Caller, Stop> {
        let metrics = &self.gate.metrics;
        let refused = |reason, detail: &'static str| {
            metrics.credential(Credential::TokenRefused);
            Stop::Refused(Rejection::with_detail(reason, detail))
        };
        // What is not text is no token either.
        let text = str::from_utf8(token).unwrap_or_default();
        let good = match self.gate.lasting.tokens.check(text, issuers, facts.started_at) {
            Ok(good) => good,
            Err(Refused::Fault(fault)) => return Err(refused(fault.reason, fault.detail)),
            Err(Refused::Pending(_)) if self.given.waited => {
                return Err(refused(Reason::KeysUnavailable, Reason::KeysUnavailable.detail()));
            }
            Err(Refused::Pending(keys)) => return Err(Stop::Pending(keys)),
        };
        metrics.credential(if good.cached { Credential::TokenCached } else { Credential::TokenVerified });
        let partner = good.token.partner.as_deref().and_then(|client| self.gate.partners.by_client(client));
        let issuer = issuers.iter().find(|issuer| issuer.spec.name == good.token.issuer);
        // An issuer that may not speak for a partner has told nothing about it.
        let partner = partner.filter(|partner| issuer.is_some_and(|issuer| issuer.spec.speaks_for(&partner.name)));
        Ok(Caller { partner: partner.cloned(), by: By::Token(good.token), vouched: true })
    }

    fn by_api_key(&self, key: &[u8], facts: &Facts) -> Result<Caller, Stop> {
        let metrics = &self.gate.metrics;
        let known = api_key::id_of(key).and_then(|id| self.gate.partners.by_key(id));
        let refusal = match known {
            Some(known) if api_key::proves(key, &known.key.sha256) => {
                if known.key.expires.is_none_or(|expires| facts.started_at < expires) {
                    metrics.credential(Credential::ApiKeyAccepted);
                    let by = By::ApiKey { id: Arc::clone(&known.key.id), scopes: known.scopes.clone() };
                    return Ok(Caller { partner: Some(Arc::clone(&known.partner)), by, vouched: true });
                }
                Reason::ApiKeyExpired
            }
            Some(_) | None => Reason::ApiKeyUnknown,
        };
        metrics.credential(Credential::ApiKeyRefused);
        Err(refusal.into())
    }

    /// `None` when the connection has no client certificate.
    fn by_certificate(&self, admitted: &Admitted<'_>, facts: &Facts) -> Option<Result<Caller, Stop>> {
        let tls = self.connection.tls.as_ref()?;
        let certificate = tls.client.as_ref()?;
        let now = facts.started_at;
        // The certificate was shown for the name that the handshake asked for, and says nothing about another one.
        let same = tls.server_name.as_deref().map_or_else(
            || facts.host.parse::<std::net::IpAddr>().is_ok() || facts.host.starts_with('['),
            |name| admitted.host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(name)),
        );
        let refusal = if !same {
            Reason::Misdirected
        } else if now < certificate.not_before || now >= certificate.not_after {
            Reason::CertificateExpired
        } else if let Some(partner) = self.gate.partners.by_certificate(&certificate.names) {
            self.gate.metrics.credential(Credential::CertificateAccepted);
            let by = By::Certificate(Arc::clone(certificate));
            return Some(Ok(Caller { partner: Some(Arc::clone(partner)), by, vouched: true }));
        } else {
            Reason::CertificateUnknown
        };
        self.gate.metrics.credential(Credential::CertificateRefused);
        Some(Err(refusal.into()))
    }

    /// Says how to come in, where the status asks for it (RFC 9110 §11.6.1).
    fn challenged(&self, access: &CompiledAccess, mut rejection: Rejection) -> Rejection {
        rejection.fields.extend(challenge(&access.written.methods, rejection.reason, &rejection.detail));
        rejection
    }

    fn charge(&self, strangers: bool, facts: &mut Facts, granted: &mut Granted) -> Result<(), Stop> {
        let caller = facts.caller.as_ref();
        let partner: Option<&CompiledPartner> = caller.and_then(|caller| caller.partner.as_deref());
        let request = self.request;
        let asked = Asked {
            // One that is only claimed is nobody's: it would use up what the partner of that name has.
            partner: partner.map(|partner| &*partner.name),
            plan: partner.and_then(|partner| partner.plan.as_deref()),
            authority: caller.map_or("", Caller::authority),
            subject: caller.and_then(Caller::subject),
            address: facts.client,
            header: &|name| request.values(name).next(),
            cost: self.action.written.cost.get(),
            at: facts.started,
            now: facts.started_at,
        };
        let of_partner = partner.filter(|_| !strangers).map(|partner| &partner.limits);
        for rules in [Some(&self.action.guard.limits), of_partner].into_iter().flatten() {
            if rules.is_empty() {
                continue;
            }
            let before = granted.observed().len();
            let charged = granted.charge(rules, strangers, &asked);
            let counted_before_the_wait = strangers && self.given.waited;
            for Observed { reason, limit } in granted.observed().iter().skip(before) {
                if !counted_before_the_wait {
                    self.gate.metrics.limited(limit);
                }
                facts.observed.push(*reason);
                facts.limit.get_or_insert_with(|| Arc::clone(limit));
            }
            if let Err(refused) = charged {
                self.gate.metrics.limited(&refused.limit);
                let detail = format!("{} Limit: {}.", refused.reason.detail(), refused.limit);
                let mut rejection = Rejection::with_detail(refused.reason, detail);
                rejection.fields.push((RETRY_AFTER, HeaderValue::from(refused.retry_after.as_secs())));
                facts.limit = Some(refused.limit);
                return Err(rejection.into());
            }
        }
        Ok(())
    }
}

/// Blames the kind of credential that was revoked, and no other that the route would take.
fn revoked(access: &CompiledAccess, caller: &Caller) -> Rejection {
    let is_its_kind = |method: &&Method| {
        matches!(
            (method, &caller.by),
            (Method::Token { .. }, By::Token(_))
                | (Method::ApiKey(_), By::ApiKey { .. })
                | (Method::Certificate, By::Certificate(_))
        )
    };
    let mut rejection = Rejection::new(Reason::CredentialRevoked);
    if let Some(method) = access.written.methods.iter().find(is_its_kind) {
        rejection.fields.extend(challenge(from_ref(method), rejection.reason, &rejection.detail));
    }
    rejection
}
