//! Partners and the plans they are on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::checked::identity::{ApiKey, CertificateName, Partner};
use super::super::checked::limits::Plan;
use super::super::model::identity as written;
use super::super::model::{At, Bool, Guarded, List, Named, Text};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::issuer::{Choice, exactly_one};
use super::limits::{self, Room};
use super::{BEYOND, name_is_sound, not_empty, not_reserved, scopes, texts};

/// The label of requests that nobody is known to have sent.
const NOBODY: &str = "none";
const CERTIFICATE_KEYS: [&str; 4] = ["dns", "uri", "email", "fingerprint"];
const LONGEST_ID: usize = 64;

/// All plans, with the names of their limits and what these have room for.
#[derive(Default)]
pub(super) struct Plans {
    pub(super) sound: BTreeMap<Arc<str>, Plan>,
    pub(super) names: Vec<(Arc<str>, Span)>,
    pub(super) rooms: Vec<Room>,
}

pub(super) fn plans(
    written: Option<&At<Named<Guarded<super::super::model::limits::Plan>>>>,
    reader: &mut Reader<'_>,
) -> Plans {
    let mut plans = Plans::default();
    for (name, guarded) in written.iter().flat_map(|named| &named.value.0) {
        let (checked, faults) = reader.guard(|reader| {
            name_is_sound(name, reader);
            guarded.value.value.as_ref().map(|plan| limits::of_plan(&name.value, plan, reader))
        });
        reader.escalate(&faults);
        reader.escalate(&guarded.value.faults);
        let Some(mut checked) = checked else { continue };
        plans.names.append(&mut checked.names);
        plans.rooms.append(&mut checked.rooms);
        if faults.is_empty() && guarded.value.faults.is_empty() {
            let name: Arc<str> = Arc::from(&*name.value);
            let plan = Plan { name: Arc::clone(&name), limits: checked.limits, at: reader.location(guarded.span) };
            plans.sound.insert(name, plan);
        }
    }
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (name, span) in &plans.names {
        if let Some(first) = seen.insert(name, *span) {
            reader.note(limit_named_twice(name, *span, first));
        }
    }
    plans
}

/// Metrics, logs and answers tell limits by their names.
pub(super) fn limit_named_twice(name: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code::LimitName, span, format!("two limits have the name `{name}`"))
        .label("again here")
        .also(first, "first here")
        .help("give one of them another `name`")
}

/// What the rest of the file knows of plans: every name that is written, sound or not.
type PlanNames<'a> = HashMap<&'a str, Span>;

/// Whatever tells a partner, and where it was first written.
#[derive(Default)]
struct Told {
    clients: HashMap<Arc<str>, Span>,
    key_ids: HashMap<Arc<str>, Span>,
    key_digests: HashMap<[u8; 32], Span>,
    certificates: HashMap<CertificateName, Span>,
}

/// All sound partners.
pub(super) fn partners(
    written: Option<&At<Named<Guarded<written::Partner>>>>,
    plans: &PlanNames<'_>,
    reader: &mut Reader<'_>,
) -> BTreeMap<Arc<str>, Partner> {
    let mut sound = BTreeMap::new();
    let mut told = Told::default();
    for (name, guarded) in written.iter().flat_map(|named| &named.value.0) {
        let (checked, faults) = reader.guard(|reader| {
            name_is_sound(name, reader);
            not_reserved(&name.value, name.span, &[NOBODY, BEYOND], reader);
            guarded.value.value.as_ref().map(|partner| self::partner(name, partner, plans, &mut told, reader))
        });
        if let (Some(partner), true) = (checked, faults.is_empty() && guarded.value.faults.is_empty()) {
            sound.insert(Arc::clone(&partner.name), partner);
        }
        reader.escalate(&faults);
        reader.escalate(&guarded.value.faults);
    }
    sound
}

fn partner(
    name: &At<Box<str>>,
    written: &written::Partner,
    plans: &PlanNames<'_>,
    told: &mut Told,
    reader: &mut Reader<'_>,
) -> Partner {
    let plan = written.plan.as_ref().and_then(|plan| self::plan(plan, plans, reader));
    let clients = clients(name, written, told, reader);
    let api_keys = written.api_keys.as_ref().map(|list| api_keys(list, told, reader)).unwrap_or_default();
    let certificates = written.certificates.as_ref().map(|list| certificates(list, told, reader)).unwrap_or_default();
    Partner {
        name: Arc::from(&*name.value),
        plan,
        enabled: written.enabled.as_ref().is_none_or(|At { value: Bool(enabled), .. }| *enabled),
        clients,
        scopes: scopes(written.scopes.as_ref(), "`scopes`", reader),
        api_keys,
        certificates,
        at: reader.location(name.span),
    }
}

fn plan(written: &At<Text>, plans: &PlanNames<'_>, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let name = &*written.value.0;
    if plans.contains_key(name) {
        return Some(Arc::from(name));
    }
    let mut mistake = Diagnostic::new(Code::UnknownPlan, written.span, format!("there is no plan `{name}`"));
    if let Some(meant) = reader.suggest(name, plans.keys().copied()) {
        mistake = mistake.label(format!("did you mean `{meant}`?"));
    } else if plans.is_empty() {
        mistake = mistake.help("write it under `plans` at the top of the file");
    }
    reader.note(mistake);
    None
}

fn clients(name: &At<Box<str>>, written: &written::Partner, told: &mut Told, reader: &mut Reader<'_>) -> Vec<Arc<str>> {
    let list = written.clients.as_ref();
    if !written.keys.is_meant("clients") {
        let own: Arc<str> = Arc::from(&*name.value);
        clash(
            &mut told.clients,
            Arc::clone(&own),
            name.span,
            || (Code::ClientClash, format!("the client `{own}` tells a partner already")),
            reader,
        );
        return vec![own];
    }
    let clients = texts(list, "`clients`", "leave it out to mean the name of the partner", reader);
    for At { value: Text(text), span, .. } in list.iter().flat_map(|list| &list.value.0) {
        let within = list.is_some_and(|list| {
            told.clients.get(&**text).is_some_and(|first| list.value.0.iter().any(|one| one.span == *first))
        });
        // Repeated within one list it is only a warning, which it has been given.
        if !within {
            clash(
                &mut told.clients,
                Arc::from(&**text),
                *span,
                || (Code::ClientClash, format!("the client `{text}` tells a partner already")),
                reader,
            );
        }
    }
    clients
}

/// Notes that something tells two.
fn clash<K: std::hash::Hash + Eq>(
    seen: &mut HashMap<K, Span>,
    key: K,
    span: Span,
    what: impl FnOnce() -> (Code, String),
    reader: &mut Reader<'_>,
) {
    match seen.entry(key) {
        std::collections::hash_map::Entry::Vacant(free) => {
            free.insert(span);
        }
        std::collections::hash_map::Entry::Occupied(taken) => {
            let (code, message) = what();
            reader.note(Diagnostic::new(code, span, message).label("again here").also(*taken.get(), "first here"));
        }
    }
}

fn api_keys(list: &At<List<written::ApiKey>>, told: &mut Told, reader: &mut Reader<'_>) -> Vec<ApiKey> {
    not_empty(list, "`api_keys`", "leave it out when the partner has none", reader);
    let mut keys = Vec::new();
    for At { value: key, .. } in &list.value.0 {
        let own = key.scopes.as_ref().map(|list| scopes(Some(list), "`scopes`", reader));
        let id = key.id.as_ref().and_then(|id| key_id(id, reader).map(|text| (text, id.span)));
        if let Some((id, span)) = &id {
            let what = || (Code::ApiKeyClash, format!("two API keys have the id `{id}`"));
            clash(&mut told.key_ids, Arc::clone(id), *span, what, reader);
        }
        if let Some(digest) = &key.sha256 {
            let what = || (Code::ApiKeyClash, "two API keys have the same digest, so they are the same key".to_owned());
            clash(&mut told.key_digests, digest.value.0, digest.span, what, reader);
        }
        if let (Some((id, _)), Some(digest)) = (id, &key.sha256) {
            let expires = key.expires.as_ref().map(|at| at.value.0);
            keys.push(ApiKey { id, sha256: digest.value.0, expires, scopes: own });
        }
    }
    keys
}

/// What is no id may be the whole key, so it is not shown.
fn key_id(written: &At<Text>, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let text = &*written.value.0;
    if !text.is_empty() && text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Some(Arc::from(text));
    }
    reader.hide(written.node);
    let message = format!("this is not the id of an API key: up to {LONGEST_ID} letters and digits");
    let mistake = Diagnostic::new(Code::ApiKeyId, written.span, message).label("hidden here");
    reader.note(mistake.help("of a key `sk_<id>_<secret>`, the id alone; `sluice key new` makes such entries"));
    None
}

fn certificates(
    list: &At<List<written::CertificateName>>,
    told: &mut Told,
    reader: &mut Reader<'_>,
) -> Vec<CertificateName> {
    not_empty(list, "`certificates`", "leave it out when the partner has none", reader);
    let mut names = Vec::new();
    for written in &list.value.0 {
        let Some(name) = certificate(written, reader) else { continue };
        let what = || (Code::CertificateClash, "this certificate tells a partner already".to_owned());
        clash(&mut told.certificates, name.clone(), written.span, what, reader);
        names.push(name);
    }
    names
}

fn certificate(written: &At<written::CertificateName>, reader: &mut Reader<'_>) -> Option<CertificateName> {
    let name = &written.value;
    let mistake = |span, message: String| Diagnostic::new(Code::CertificateName, span, message);
    match exactly_one(&name.keys, &CERTIFICATE_KEYS) {
        Choice::One(_) => {}
        Choice::Meant => return None,
        Choice::None => {
            let message = "a certificate is told by one of `dns`, `uri`, `email` and `fingerprint`";
            reader.note(mistake(name.keys.mapping, message.into()));
            return None;
        }
        Choice::Many((one, first), (other, second)) => {
            let message = format!("a certificate is told by one thing, and this one by `{one}` and `{other}`");
            let mistake = mistake(second, message).also(first, "the other one");
            reader.note(mistake.help("each entry of the list is enough by itself; write two when either may do"));
            return None;
        }
    }
    if let Some(fingerprint) = &name.fingerprint {
        return Some(CertificateName::Fingerprint(fingerprint.value.0));
    }
    let (kind, text, parsed) = if let Some(text) = &name.dns {
        ("a DNS name without wildcard and port", text, CertificateName::dns(&text.value.0))
    } else if let Some(text) = &name.email {
        ("a mail address", text, CertificateName::email(&text.value.0))
    } else {
        let text = name.uri.as_ref()?;
        ("a URI such as `spiffe://example.com/client`", text, CertificateName::uri(&text.value.0))
    };
    if parsed.is_none() {
        reader.note(mistake(text.span, format!("`{}` is not {kind}", text.value.0)));
    }
    parsed
}
