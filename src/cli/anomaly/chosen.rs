//! What the configuration says: the folder, the ladder of a route, and which model is meant.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Common, FOUND_ERRORS, Failure, read_routes, tell};
use crate::anomaly::Action;
use crate::anomaly::model::folder::{Error, Folder};
use crate::anomaly::model::{About, Model};
use crate::base::{clock, timestamp};
use crate::config::checked::anomaly::{AnomalyPolicy, Ladder};
use crate::config::checked::{Bootstrap, Routes};
use crate::config::defaults;

/// More than any model has.
const MAX_MODEL: u64 = 64 << 20;

/// Both configuration files.
pub(super) struct Written {
    pub bootstrap: Bootstrap,
    pub routes: Routes,
}

/// The models of a folder, the newest first but for those of the future.
pub(super) struct Stored {
    pub folder: Folder,
    pub models: Vec<About>,
    pub damaged: Vec<Error>,
}

impl Written {
    pub(super) fn read(common: &Common) -> Result<Self, Failure> {
        let bootstrap = common.bootstrap(FOUND_ERRORS)?;
        let reading = read_routes(&bootstrap)?;
        match reading.routes {
            Some(routes) => Ok(Self { bootstrap, routes }),
            None => Err(Failure::Config { report: Box::new(reading.report), code: FOUND_ERRORS }),
        }
    }

    /// What is written of the checks of a route; `None` where there is none.
    ///
    /// # Errors
    ///
    /// The route has errors.
    pub(super) fn policy(&self, route: &str) -> Result<Option<&AnomalyPolicy>, Failure> {
        let Some(found) = self.routes.routes.iter().find(|found| *found.name == *route) else { return Ok(None) };
        match &found.action {
            Ok(action) => Ok(action.anomaly.as_deref()),
            Err(errors) => Err(Failure::found(format!("route `{route}` is faulty: {}", errors.join("; ")))),
        }
    }

    /// The folder that is asked for, or else the one of the bootstrap file.
    pub(super) fn folder(&self, asked: Option<&Path>) -> Result<PathBuf, Failure> {
        let folder = asked.or(self.bootstrap.anomaly.folder.as_deref());
        folder.map(Path::to_owned).ok_or_else(|| {
            Failure::found("the bootstrap file has no `anomaly.folder`; name the folder of the models with --folder")
        })
    }

    /// The model that is asked for, a file or a version; otherwise the one that would judge the route after a start.
    pub(super) fn model(
        &self,
        asked: Option<&str>,
        route: Option<&str>,
        folder: Option<&Path>,
    ) -> Result<Arc<Model>, Failure> {
        if let Some(path) = asked.map(Path::new).filter(|path| path.is_file()) {
            return read(path).map(Arc::new);
        }
        let stored = Stored::of(&self.folder(folder)?)?;
        let policy = route.map(|route| self.policy(route)).transpose()?.flatten();
        let version = asked.or_else(|| policy?.model.as_deref());
        let missing = match (version, route) {
            (Some(version), _) => {
                if let Some(found) = stored.folder.find(route, version).map_err(Failure::found)? {
                    return Ok(found);
                }
                format!("there is no model `{version}`, neither as a file nor in {}", stored.folder.path().display())
            }
            (None, route) => {
                for of in [route, None] {
                    if let Some(found) = stored.newest(of)? {
                        return Ok(found);
                    }
                }
                let path = stored.folder.path().display();
                format!("there is no model of route `{}` in {path}", route.unwrap_or_default())
            }
        };
        stored.warn();
        Err(Failure::found(missing))
    }
}

impl Stored {
    /// # Errors
    ///
    /// There is no such folder: nothing is made by looking.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        if !path.is_dir() {
            return Err(Failure::found(format!("there is no folder {}", path.display())));
        }
        let folder = Folder::open(path).map_err(Failure::found)?;
        let (models, damaged) = folder.list(clock::since_epoch());
        Ok(Self { folder, models, damaged })
    }

    /// The newest model of a route, as a start takes it.
    pub(super) fn newest(&self, route: Option<&str>) -> Result<Option<Arc<Model>>, Failure> {
        let newest = self.models.iter().find(|model| model.route.as_deref() == route);
        let found = newest.map(|newest| self.folder.find(route, &newest.version)).transpose();
        found.map(Option::flatten).map_err(Failure::found)
    }

    pub(super) fn warn(&self) {
        self.damaged.iter().for_each(|error| tell(&format!("warning: {error}\n")));
    }
}

/// The ladder of a route that says no more than `observe`.
pub(super) fn observing() -> Ladder {
    let rungs = vec![(Action::Observe, defaults::CONTAMINATION as f32)];
    Ladder { rungs, cool_down: Duration::ZERO, throttle: Duration::ZERO }
}

fn read(path: &Path) -> Result<Model, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_MODEL).read_to_end(&mut bytes));
    read.map_err(|error| Failure::found(format!("cannot read {}: {error}", path.display())))?;
    Model::from_bytes(&bytes).map_err(|fault| Failure::found(format!("{}: {fault}", path.display())))
}

/// Which one it is, in a line.
pub(super) fn told(model: &Model) -> String {
    let of =
        model.route.as_ref().map_or_else(|| "for routes without one".to_owned(), |route| format!("of route {route}"));
    let (from, to) = (timestamp::format(model.window.0), timestamp::format(model.window.1));
    format!("{} {of}, made from {} requests of {from} to {to}", model.version, model.rows)
}

pub(super) fn to_json(model: &About) -> Value {
    json!({
        "version": &*model.version,
        "route": model.route.as_deref(),
        "made_at": model.made_at.as_secs(),
        "rows": model.rows,
        "window": { "from": model.window.0.as_secs(), "to": model.window.1.as_secs() },
    })
}
