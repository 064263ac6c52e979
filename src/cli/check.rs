//! `sluice check`: every mistake of both files at once, and of the files that they name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::offline::Offline;
use super::run::is_to_be_made;
use super::{Common, FOUND_ERRORS, Failure, Format, colours, print, print_json, read_routes, tell};
use crate::auth::revocation::{File, Revocations};
use crate::auth::sign::IdentitySigner;
use crate::config::checked::identity::{Auth, Method};
use crate::config::checked::{Bootstrap, Listener, RouteAction, Routes};
use crate::config::report::{Report, Source};
use crate::listener::tls::TlsStore;
use crate::sandbox::Document;
use crate::snapshot::{CompiledRoute, Snapshot};

pub(super) fn carry_out(common: &Common) -> Result<(), Failure> {
    let bootstrap = match common.bootstrap(FOUND_ERRORS) {
        Ok(bootstrap) => bootstrap,
        Err(Failure::Config { report, .. }) => return tell_all(common, &Found::without_routes(*report)),
        Err(failure) => return Err(failure),
    };
    let reading = read_routes(&bootstrap)?;
    let routes = reading.routes.as_ref().map_or(0, |routes| routes.routes.len());
    let mut problems = problems(&bootstrap);
    let notes = reading.routes.as_ref().map(|routes| notes(&bootstrap, routes)).unwrap_or_default();
    let report = reading.report.clone();
    // Whatever else is wrong with a route follows from what the report says.
    if report.is_ok() {
        let offline = Offline::new(reading)?;
        problems.extend(closed(&offline.snapshot(None)));
        // Routes that know callers are closed by it, and say so.
        if problems.is_empty() {
            problems.extend(identity_problem(offline.routes()));
        }
    }
    let first = Report::new(Source::new(Arc::clone(&bootstrap.file), ""));
    tell_all(common, &Found { reports: vec![first, report], problems, notes, routes })
}

struct Found {
    reports: Vec<Report>,
    /// What only shows when something is made of the files.
    problems: Vec<String>,
    /// What is right in each file, and together is hardly meant.
    notes: Vec<String>,
    routes: usize,
}

impl Found {
    fn without_routes(report: Report) -> Self {
        Self { reports: vec![report], problems: Vec::new(), notes: Vec::new(), routes: 0 }
    }

    fn is_ok(&self) -> bool {
        self.problems.is_empty() && self.reports.iter().all(Report::is_ok)
    }
}

/// Routes that cannot be made although nothing is wrong with what is written, each fault once.
fn closed(snapshot: &Snapshot) -> Vec<String> {
    let mut by_fault: BTreeMap<String, Vec<&CompiledRoute>> = BTreeMap::new();
    for route in &snapshot.routes {
        if let Err(faults) = &route.action {
            by_fault.entry(faults.join("; ")).or_default().push(route);
        }
    }
    let problem = |(fault, routes): (String, Vec<&CompiledRoute>)| {
        let names: Vec<String> = routes.iter().map(|route| format!("`{}`", route.name)).collect();
        let at = routes.first().map(|route| format!("{}: ", route.at)).unwrap_or_default();
        let s = if names.len() == 1 { "" } else { "s" };
        format!("{at}{fault}; it closes the route{s} {}", names.join(", "))
    };
    by_fault.into_iter().map(problem).collect()
}

/// The key that callers are told with.
fn identity_problem(routes: &Routes) -> Option<String> {
    let token = routes.identity.token.as_ref()?;
    IdentitySigner::open(token).err().map(|error| format!("{}: identity.token.key: {error}", routes.file))
}

/// Files that the bootstrap names and that only `run` reads otherwise.
fn problems(bootstrap: &Bootstrap) -> Vec<String> {
    let mut problems = Vec::new();
    for listener in &bootstrap.listeners {
        let Some(tls) = &listener.tls else { continue };
        let mut there = tls.clone();
        there.certificates.retain(|files| !is_to_be_made(files));
        if !there.certificates.is_empty() {
            problems.extend(TlsStore::open(&there, &listener.name).err().map(|error| error.to_string()));
        }
    }
    if let Some(path) = bootstrap.sandbox.as_ref().and_then(|sandbox| sandbox.openapi.as_ref()) {
        problems.extend(Document::load(path).err().map(|error| format!("sandbox.openapi: {error}")));
    }
    if let Some(path) = &bootstrap.credentials.revocations {
        problems.extend(File::open(path, &Revocations::default()).err().map(|error| error.to_string()));
    }
    problems
}

/// What one file asks for and the other one does not give.
fn notes(bootstrap: &Bootstrap, routes: &Routes) -> Vec<String> {
    let actions = || routes.routes.iter().filter_map(|route| Some((route, route.action.as_ref().ok()?)));
    let mut notes = Vec::new();
    let is_asked = |listener: &Listener| listener.tls.as_ref().is_some_and(|tls| tls.client_certificates.is_some());
    if !bootstrap.listeners.iter().any(is_asked) {
        let names: Vec<String> = actions()
            .filter(|(_, action)| wants_certificate(&action.auth))
            .map(|(route, _)| format!("`{}`", route.name))
            .collect();
        if !names.is_empty() {
            let s = if names.len() == 1 { "" } else { "s" };
            notes.push(format!(
                "{}: no client can show a certificate to the route{s} {}, because no listener of {} has `tls.client_certificates`",
                routes.file,
                names.join(", "),
                bootstrap.file
            ));
        }
    }
    let mut limits = actions().map(|(_, action)| &action.limits).chain(routes.plans.values().map(|plan| &plan.limits));
    if bootstrap.store.is_none() && limits.any(|limits| !limits.quotas.is_empty()) {
        notes.push(format!(
            "{}: quotas begin anew at each start, because {} has no `store`",
            routes.file, bootstrap.file
        ));
    }
    notes.extend(cache_note(bootstrap, routes));
    notes
}

/// Answers that a route would keep, and that there is no room for.
fn cache_note(bootstrap: &Bootstrap, routes: &Routes) -> Option<String> {
    let memory = bootstrap.cache.memory;
    let has_no_room = |action: &RouteAction| {
        action.cache.as_ref().is_some_and(|policy| memory == 0 || policy.max_object > memory as u64)
    };
    let lacking = routes.routes.iter().filter(|route| route.action.as_ref().is_ok_and(has_no_room));
    let names: Vec<String> = lacking.map(|route| format!("`{}`", route.name)).collect();
    let (s, names, file) = (if names.len() == 1 { "" } else { "s" }, names.join(", "), &bootstrap.file);
    if names.is_empty() {
        return None;
    }
    Some(match memory {
        0 => format!("{}: nothing is kept for the route{s} {names}, because {file} says `memory: off`", routes.file),
        _ => format!("{}: `max_object` of the route{s} {names} is more than `cache.memory` of {file}", routes.file),
    })
}

fn wants_certificate(auth: &Auth) -> bool {
    match auth {
        Auth::None => false,
        Auth::Required(access) => access.methods.iter().any(|method| matches!(method, Method::Certificate)),
    }
}

fn tell_all(common: &Common, found: &Found) -> Result<(), Failure> {
    match common.format {
        Format::Json => print_json(&json!({
            "ok": found.is_ok(),
            "routes": found.routes,
            "files": found.reports.iter().map(Report::to_json).collect::<Vec<_>>(),
            "problems": found.problems,
            "notes": found.notes,
        }))?,
        Format::Human => {
            for report in found.reports.iter().filter(|report| report.diagnostics().next().is_some()) {
                tell(&report.render_text(colours()));
            }
            for problem in &found.problems {
                tell(&format!("error: {problem}\n"));
            }
            for note in &found.notes {
                tell(&format!("note: {note}\n"));
            }
            if let [report] = found.reports.as_slice() {
                tell(&format!("note: the routes were not checked, because {} says where they are\n", report.file()));
            } else if found.is_ok() {
                let files: Vec<&str> = found.reports.iter().map(|report| &**report.file()).collect();
                print(&format!("{}: no errors, {} routes\n", files.join(" and "), found.routes))?;
            }
        }
    }
    if found.is_ok() { Ok(()) } else { Err(Failure::Told { code: FOUND_ERRORS }) }
}
