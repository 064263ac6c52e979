//! A new snapshot beside the old one: read, checked, built, made ready, then published; or not at all.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use serde::Serialize;
use tokio::sync::Mutex;

use super::{Builder, Snapshot, Snapshots};
use crate::base::clock;
use crate::base::location::Location;
use crate::config::{self, report::Report};
use crate::telemetry::metrics::{Metrics, Published};

/// What a reload came to.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// The file is what runs already.
    Unchanged { version: String },
    /// Live; `faulty` routes are closed, and `closed` are their names.
    Published { version: String, routes: usize, faulty: usize, closed: Vec<String>, report: serde_json::Value },
    /// What ran goes on.
    Refused { running: String, report: serde_json::Value },
}

impl Outcome {
    /// What it means for requests, in one sentence.
    #[must_use]
    pub fn effect(&self) -> String {
        match self {
            Self::Unchanged { version } => format!("Nothing changed: version {version} is what the file says already."),
            Self::Published { version, routes, closed, .. } => effect(version, *routes, closed),
            Self::Refused { running, .. } => format!("Nothing changed: version {running} goes on serving."),
        }
    }
}

/// What a published version means for requests.
pub(super) fn effect(version: &str, routes: usize, closed: &[String]) -> String {
    let s = |count: usize| if count == 1 { "" } else { "s" };
    if closed.is_empty() {
        return format!("Version {version} serves: {routes} route{}.", s(routes));
    }
    let (live, names) = (routes - closed.len().min(routes), closed.join(", "));
    format!(
        "Version {version} serves: {live} of {routes} route{}; closed with 503 ROUTE_FAULTY until mended: {names}.",
        s(routes)
    )
}

/// Where routes come from.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    /// Start with the routes that this program carries when there is no such file.
    pub built_in: bool,
}

impl Source {
    /// The text and what it is called in messages.
    async fn read(&self, serves_built_in: bool) -> std::io::Result<(String, String)> {
        match tokio::fs::read(&self.path).await.and_then(config::decode) {
            Ok(text) => Ok((text, self.path.display().to_string())),
            Err(error) if serves_built_in && error.kind() == ErrorKind::NotFound => {
                tracing::warn!(missing = %self.path.display(), "no routes file; the built-in routes serve until it is there");
                Ok((config::DEFAULT_ROUTES.to_owned(), config::DEFAULT_ROUTES_FILE.to_owned()))
            }
            Err(error) => Err(error),
        }
    }
}

/// The last time that a file was refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// Seconds since 1970 UTC.
    pub at: u64,
    pub report: serde_json::Value,
}

/// The one place where snapshots are replaced.
pub struct Reloader {
    pub snapshots: Arc<Snapshots>,
    source: Source,
    strict: bool,
    builder: Builder,
    /// Also makes reloads come one after the other.
    refused: Mutex<Option<Refusal>>,
    /// Replaced, and perhaps still used: the last request must not be the one to take a big snapshot apart.
    retired: Mutex<Vec<Arc<Snapshot>>>,
}

/// A file that cannot be started from.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    #[error("{setting}: cannot read {}: {source}", path.display())]
    Unreadable { setting: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}", .0.render_text(false))]
    Refused(Report),
    #[error("{at}: route `{name}`: {problems}")]
    Route { at: Location, name: Arc<str>, problems: String },
}

impl Reloader {
    /// The first snapshot. At start every error is an error, whatever the mode.
    pub async fn start(source: Source, strict: bool, builder: Builder) -> Result<Self, FirstError> {
        let read = source.read(source.built_in).await;
        let (text, file) = read.map_err(|error| FirstError::Unreadable {
            setting: "routes",
            path: source.path.clone(),
            source: error,
        })?;
        let reading = config::read_routes(&text, &file);
        let Some(routes) = reading.routes.filter(|_| reading.report.is_ok()) else {
            return Err(FirstError::Refused(reading.report));
        };
        let snapshot = builder.build(routes, reading.report, None);
        if let Some(route) = snapshot.routes.iter().find(|route| route.action.is_err()) {
            let problems = route.action.as_ref().err().map(|problems| problems.join("; ")).unwrap_or_default();
            return Err(FirstError::Route { at: route.at.clone(), name: Arc::clone(&route.name), problems });
        }
        ready(&snapshot).await;
        builder.metrics.started(&published(&snapshot));
        builder.metrics.set_limits(snapshot.limit_names());
        live(&snapshot);
        let snapshots = Arc::new(Snapshots::new(snapshot));
        Ok(Self { snapshots, source, strict, builder, refused: Mutex::new(None), retired: Mutex::default() })
    }

    /// Reads the file again and publishes it, if it may be.
    pub async fn reload(&self) -> Outcome {
        let mut refused = self.refused.lock().await;
        let running = self.snapshots.load();
        let (text, file) = match self.source.read(*running.file == *config::DEFAULT_ROUTES_FILE).await {
            Ok(read) => read,
            Err(error) => {
                let report = Report::unreadable(&self.source.path.display().to_string(), &error);
                return self.refuse(&mut refused, &running, &report);
            }
        };
        let reading = config::read_routes(&text, &file);
        let Some(routes) = reading.routes.filter(|_| !self.strict || reading.report.is_ok()) else {
            return self.refuse(&mut refused, &running, &reading.report);
        };
        let same = routes.version == running.version && Builder::is_same_outside(&routes, &running);
        if same && refused.is_none() && running.faulty() == 0 {
            return unchanged(routes.version);
        }
        let next = self.builder.build(routes, reading.report, Some(&running));
        ready(&next).await;
        *refused = None;
        let outcome = Outcome::Published {
            version: next.version.clone(),
            routes: next.routes.len(),
            faulty: next.faulty(),
            closed: next.closed(),
            report: next.report.to_json(),
        };
        self.announce(&next);
        let old = self.snapshots.publish(next);
        drop(running);
        self.retired.lock().await.push(old);
        outcome
    }

    /// Frees the replaced snapshots that no request uses any more.
    pub async fn sweep(&self) {
        self.retired.lock().await.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    /// The last refusal, unless something was published since.
    pub async fn refused(&self) -> Option<Refusal> {
        self.refused.lock().await.clone()
    }

    fn announce(&self, next: &Snapshot) {
        let metrics: &Metrics = &self.builder.metrics;
        metrics.reload_succeeded(&published(next));
        metrics.retain_routes(&next.routes.iter().map(|route| &*route.name).collect::<Vec<_>>());
        metrics.retain_anomalies(&next.anomalies().map(|(name, _)| &**name).collect::<Vec<_>>());
        metrics.set_limits(next.limit_names());
        metrics.retain_issuers(&next.gate.issuers.keys().map(|name| &**name).collect::<Vec<_>>());
        metrics.retain_partners(&next.gate.partners.iter().map(|(name, _)| &**name).collect::<Vec<_>>());
        metrics.retain_upstreams(&next.upstreams.keys().map(|name| &**name).collect::<Vec<_>>());
        live(next);
    }

    fn refuse(&self, refused: &mut Option<Refusal>, running: &Snapshot, report: &Report) -> Outcome {
        self.builder.metrics.reload_failed();
        tracing::error!(
            file = &**report.file(),
            running = running.version,
            report = text(report),
            "routes refused, nothing changed: what ran goes on"
        );
        let report = report.to_json();
        *refused = Some(Refusal { at: clock::since_epoch().as_secs(), report: report.clone() });
        Outcome::Refused { running: running.version.clone(), report }
    }
}

fn unchanged(version: String) -> Outcome {
    tracing::info!(version, "routes unchanged");
    Outcome::Unchanged { version }
}

fn live(snapshot: &Snapshot) {
    let Snapshot { file, version, routes, report, .. } = snapshot;
    let (file, routes, closed) = (&**file, routes.len(), snapshot.closed().join(", "));
    let report = report.diagnostics().next().map(|_| text(report));
    if closed.is_empty() {
        tracing::info!(file, version, routes, report, "routes are live");
    } else {
        tracing::error!(
            file,
            version,
            routes,
            closed,
            report,
            "routes are live, but for those with mistakes: they answer 503 ROUTE_FAULTY"
        );
        for (route, problem) in snapshot.problems() {
            tracing::error!(route, problem, "closed");
        }
    }
}

/// Below the line of its event.
fn text(report: &Report) -> tracing::field::DisplayValue<String> {
    tracing::field::display(format!("\n{}", report.render_text(false).trim_end()))
}

fn published(snapshot: &Snapshot) -> Published<'_> {
    Published {
        version: &snapshot.version,
        at: snapshot.loaded_at,
        routes: snapshot.routes.len(),
        faulty: snapshot.faulty(),
    }
}

/// New upstreams get a moment for their first names, so that their routes do not begin with 503.
async fn ready(snapshot: &Snapshot) {
    let upstreams = join_all(snapshot.upstreams.values().map(|upstream| upstream.cluster.ready()));
    let issuers = join_all(snapshot.gate.issuers.values().map(|compiled| compiled.issuer.ready()));
    join(upstreams, issuers).await;
}
