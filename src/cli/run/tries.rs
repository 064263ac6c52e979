//! Requests to try a gateway with, taken from its routes.

use http::Method as HttpMethod;

use super::super::token::development_set;
use crate::base::host_pattern::HostPattern;
use crate::cli::quoted;
use crate::config::checked::RouteTarget;
use crate::config::checked::identity::{Access, Auth, Method};
use crate::route::Segment;
use crate::snapshot::{CompiledAction, CompiledRoute, Snapshot};

/// A path that anybody can ask for with a GET of any host: of a route that forwards, if there is one.
pub(super) fn public(snapshot: &Snapshot) -> String {
    let public = || simple(snapshot).filter(|(_, action)| matches!(action.written.auth, Auth::None));
    let forwards =
        |(_, action): &(&CompiledRoute, &CompiledAction)| matches!(action.written.target, RouteTarget::Forward { .. });
    let chosen = public().find(forwards).or_else(|| public().next());
    chosen.map_or_else(|| "/".to_owned(), |(route, _)| path(route))
}

/// The path of a route that a development token opens, and the field that carries it: made on the spot by `sluice`, which is
/// how this program was called.
pub(super) fn with_token(snapshot: &Snapshot, sluice: &str) -> Option<String> {
    simple(snapshot).find_map(|(route, action)| {
        let Auth::Required(access) = &action.written.auth else { return None };
        let token = token(access, snapshot)?;
        Some(format!(r#"{} -H "Authorization: Bearer $({sluice} token{token})""#, path(route)))
    })
}

/// Routes that a GET without more than a path can reach.
fn simple(snapshot: &Snapshot) -> impl Iterator<Item = (&CompiledRoute, &CompiledAction)> {
    let open = snapshot.routes.iter().filter_map(|route| Some((route, route.action.as_ref().ok()?)));
    open.filter(|(route, action)| {
        let matches = &route.matches;
        matches.hosts.contains(&HostPattern::Any)
            && (matches.methods.is_empty() || matches.methods.contains(&HttpMethod::GET))
            && matches.headers.is_empty()
            && matches.query.is_empty()
            && matches.path.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
            && action.guard.addresses.is_none()
    })
}

fn path(route: &CompiledRoute) -> String {
    quoted(&route.matches.path.to_string())
}

/// What a token has to say to be good there.
fn token(access: &Access, snapshot: &Snapshot) -> Option<String> {
    let is_development = |name: &std::sync::Arc<str>| {
        snapshot.gate.issuers.get(name).is_some_and(|it| development_set(&it.issuer.spec).is_some())
    };
    let takes = access.methods.iter().any(|method| {
        matches!(method, Method::Token { issuers, from } if from.authorization && issuers.iter().any(is_development))
    });
    if !takes || !access.claims.is_empty() {
        return None;
    }
    let lists = &access.partners;
    let may = |name: &std::sync::Arc<str>| {
        (lists.allow.is_empty() || lists.allow.contains(name)) && !lists.deny.contains(name)
    };
    let mut partners = snapshot.gate.partners.iter().filter(|(name, partner)| partner.enabled && may(name));
    let partner = partners.next().map(|(name, _)| name);
    if partner.is_none() && access.requires_partner {
        return None;
    }
    let scopes = access.scopes.all_of.iter().chain(access.scopes.any_of.first());
    let partner = partner.map(|name| format!(" --partner {}", quoted(name)));
    Some(partner.into_iter().chain(scopes.map(|scope| format!(" --scope {}", quoted(scope)))).collect())
}
