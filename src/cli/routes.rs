//! `sluice routes`: the routes as they were understood.

use super::offline::Offline;
use super::{Common, FOUND_ERRORS, Failure, Format, colours, print, print_json, read_routes, tell};
use crate::admin::status;
use crate::config::checked::RouteTarget;
use crate::route::{FieldMatch, ValueMatch};
use crate::snapshot::{CompiledRoute, Snapshot};

pub(super) fn carry_out(common: &Common) -> Result<(), Failure> {
    let bootstrap = common.bootstrap(FOUND_ERRORS)?;
    let snapshot = Offline::new(read_routes(&bootstrap)?)?.snapshot(None);
    match common.format {
        Format::Json => print_json(&status::routes(&snapshot))?,
        Format::Human => {
            print(&table(&snapshot))?;
            if snapshot.report.diagnostics().next().is_some() {
                tell(&snapshot.report.render_text(colours()));
            }
        }
    }
    if snapshot.faulty() > 0 { Err(Failure::Told { code: FOUND_ERRORS }) } else { Ok(()) }
}

fn table(snapshot: &Snapshot) -> String {
    let heading = ["ROUTE", "METHODS", "HOSTS", "PATH", "DOES"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(snapshot.routes.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |[name, methods, hosts, path, does]: &[String; 5]| {
        let [a, b, c, d] = widths;
        format!("{name:a$}  {methods:b$}  {hosts:c$}  {path:d$}  {does}\n")
    };
    rows.iter().map(line).collect()
}

fn row(route: &CompiledRoute) -> [String; 5] {
    let matches = &route.matches;
    let methods: Vec<&str> = matches.methods.iter().map(http::Method::as_str).collect();
    let methods = if methods.is_empty() { "*".to_owned() } else { methods.join(",") };
    let hosts: Vec<String> = matches.hosts.iter().map(ToString::to_string).collect();
    let mut path = matches.path.to_string();
    for condition in &matches.query {
        path.push_str(&format!(" ?{}", self::condition(condition, "=")));
    }
    for condition in &matches.headers {
        path.push_str(&format!(" [{}]", self::condition(condition, ": ")));
    }
    let does = match &route.action {
        Err(_) => "closed: 503 ROUTE_FAULTY".to_owned(),
        Ok(action) => match &action.written.target {
            RouteTarget::Forward { upstream, .. } => format!("-> {upstream}"),
            RouteTarget::Redirect { status, .. } => format!("{} redirect", status.as_u16()),
            RouteTarget::Respond { status, .. } => format!("{} answer", status.as_u16()),
        },
    };
    [route.name.to_string(), methods, hosts.join(","), path, does]
}

fn condition<N: std::fmt::Display>(condition: &FieldMatch<N>, is: &str) -> String {
    match &condition.value {
        ValueMatch::Present => condition.name.to_string(),
        ValueMatch::Exact(value) => format!("{}{is}{value}", condition.name),
    }
}
