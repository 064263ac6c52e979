//! Everything of the file that is about callers: issuers, plans, partners, and what upstreams are told.
//!
//! A mistake in an issuer closes the routes that use it. A mistake in any plan or partner closes every route that knows
//! callers: who is told wrongly could be taken for somebody else, or go without the limits of a plan.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::super::checked::identity::{Identity, Issuer, Partner};
use super::super::checked::limits::Plan;
use super::super::model::routes::RoutesFile;
use super::super::model::{At, Named};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::limits::Room;
use super::partner::{self, Plans};
use super::{identity, issuer, name_is_sound};

/// What is known about callers, and what a route has to know of it.
pub(super) struct Callers<'a> {
    pub(super) sound_issuers: BTreeMap<Arc<str>, Arc<Issuer>>,
    pub(super) plans: BTreeMap<Arc<str>, Plan>,
    pub(super) partners: BTreeMap<Arc<str>, Partner>,
    pub(super) identity: Identity,
    /// Every issuer that was written.
    pub(super) issuers: HashMap<&'a str, IssuerState>,
    /// What is wrong with plans and partners.
    pub(super) faults: Vec<String>,
    /// What the limits of plans have room for.
    pub(super) rooms: Vec<Room>,
    /// The names of the limits of plans.
    pub(super) limit_names: Vec<(Arc<str>, Span)>,
    /// Every partner that was written.
    partner_names: HashMap<&'a str, Span>,
    /// The fields that tell upstreams who calls.
    identity_fields: Vec<(HeaderName, Option<Span>)>,
}

/// What a route has to know of an issuer.
pub(super) struct IssuerState {
    /// What is wrong with it.
    pub(super) faults: Vec<String>,
    /// What its tokens carry as `iss`.
    pub(super) issuer: Option<Arc<str>>,
}

pub(super) fn check<'a>(written: &'a RoutesFile, folder: &Path, reader: &mut Reader<'_>) -> Callers<'a> {
    let partner_names = names(written.partners.as_ref());
    let mut sound_issuers = BTreeMap::new();
    let mut issuers = HashMap::new();
    for (name, guarded) in written.issuers.iter().flat_map(|named| &named.value.0) {
        let (checked, mut faults) = reader.guard(|reader| {
            name_is_sound(name, reader);
            guarded
                .value
                .value
                .as_ref()
                .and_then(|written| issuer::check(name, written, &partner_names, folder, reader))
        });
        faults.extend_from_slice(&guarded.value.faults);
        let iss = checked.as_ref().and_then(|issuer| issuer.issuer.clone());
        if let (Some(issuer), true) = (checked, faults.is_empty()) {
            sound_issuers.insert(Arc::clone(&issuer.name), Arc::new(issuer));
        }
        issuers.insert(&*name.value, IssuerState { faults, issuer: iss });
    }
    let plan_names = names(written.plans.as_ref());
    let ((plans, partners), faults) = reader.guard(|reader| {
        let plans = partner::plans(written.plans.as_ref(), reader);
        let partners = partner::partners(written.partners.as_ref(), &plan_names, reader);
        (plans, partners)
    });
    let Plans { sound: plans, names: limit_names, rooms } = plans;
    // A partner whose plan is gone would be one without limits.
    let is_limited = |partner: &Partner| partner.plan.as_ref().is_none_or(|plan| plans.contains_key(plan));
    let partners = partners.into_iter().filter(|(_, partner)| is_limited(partner)).collect();
    let (identity, identity_fields) = identity::check(written.identity.as_ref(), folder, reader);
    Callers {
        sound_issuers,
        plans,
        partners,
        identity,
        issuers,
        faults,
        rooms,
        limit_names,
        partner_names,
        identity_fields,
    }
}

/// Every name that is written, and where.
fn names<T>(written: Option<&At<Named<T>>>) -> HashMap<&str, Span> {
    written.into_iter().flat_map(|named| &named.value.0).map(|(name, _)| (&*name.value, name.span)).collect()
}

/// Whether there is a partner of this name among those that are written; if not, notes it.
pub(super) fn known_partner(name: &str, span: Span, known: &HashMap<&str, Span>, reader: &mut Reader<'_>) -> bool {
    if known.contains_key(name) {
        return true;
    }
    let mut mistake = Diagnostic::new(Code::UnknownPartner, span, format!("there is no partner `{name}`"));
    if let Some(meant) = reader.suggest(name, known.keys().copied()) {
        mistake = mistake.label(format!("did you mean `{meant}`?"));
    } else if known.is_empty() {
        mistake = mistake.help("write it under `partners` at the top of the file");
    }
    reader.note(mistake);
    false
}

impl Callers<'_> {
    pub(super) fn has_no_partners(&self) -> bool {
        self.partner_names.is_empty()
    }

    /// Notes a partner that does not exist.
    pub(super) fn knows_partner(&self, name: &str, span: Span, reader: &mut Reader<'_>) -> bool {
        known_partner(name, span, &self.partner_names, reader)
    }

    /// Notes another use of a field that tells upstreams who calls.
    pub(super) fn not_identity(&self, name: &HeaderName, span: Span, reader: &mut Reader<'_>) {
        let Some((_, place)) = self.identity_fields.iter().find(|(field, _)| field == name) else { return };
        let message = format!("`{name}` tells upstreams who calls, and nothing else may");
        let mut mistake = Diagnostic::new(Code::IdentityHeader, span, message);
        mistake = match place {
            Some(place) => mistake.also(*place, "as is written here"),
            None => mistake.note("that is its meaning when `identity` says nothing else"),
        };
        reader.note(mistake.help("choose another field here, or another one in `identity`"));
    }
}
