//! The models that a process has in memory, and those of its folder.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::anomaly::model::Model;
use crate::anomaly::model::folder::Folder;

/// Routes that are gone whose models stay in memory, so that one that comes back has its own: 10 to 30 MB with a folder, without one that times
/// `keep`. Those of the others are found in the folder by the next start.
pub(super) const GONE: usize = 100;

/// Where models come from.
#[derive(Debug)]
pub(super) struct Models {
    pub folder: Option<Folder>,
    /// Without serving: every version that is pinned counts as there.
    pub is_detached: bool,
    /// The newest first.
    pub kept: Mutex<Vec<Arc<Model>>>,
}

impl Models {
    pub(super) fn newest(&self, route: Option<&str>) -> Option<Arc<Model>> {
        lock(&self.kept).iter().find(|model| model.route.as_deref() == route).cloned()
    }

    /// That a policy of this route names. It may have come since the start: made from a log, or by another gateway. It judges whoever names it,
    /// and nobody else.
    pub(super) fn pinned(&self, route: &str, key: &str, version: &str) -> Result<Option<Arc<Model>>, String> {
        let kept = lock(&self.kept).iter().find(|model| *model.version == *version).cloned();
        if kept.is_some() || self.is_detached {
            return Ok(kept);
        }
        let Some(folder) = &self.folder else {
            return Err(format!("anomaly.{key}: there is no model `{version}`: gateway.yaml says no `anomaly.folder`"));
        };
        match folder.find(Some(route), version) {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => Err(format!("anomaly.{key}: there is no model `{version}` in {}", folder.path().display())),
            Err(error) => Err(format!("anomaly.{key}: {error}")),
        }
    }

    /// As the newest; so many of each route that runs, or is among the [`GONE`] with the newest models, stay, and those that are pinned.
    /// What is in the folder need not be in memory.
    pub(super) fn add(&self, model: &Arc<Model>, number: usize, pinned: &[Arc<str>], runs: impl Fn(&str) -> bool) {
        let number = if self.folder.is_some() { 1 } else { number };
        let mut kept = lock(&self.kept);
        kept.insert(0, Arc::clone(model));
        let mut left: HashMap<Option<Arc<str>>, usize> = HashMap::new();
        let mut gone = 0;
        kept.retain(|model| {
            let left = left.entry(model.route.clone()).or_insert_with(|| {
                let is_gone = model.route.as_deref().is_some_and(|route| !runs(route));
                gone += usize::from(is_gone);
                if is_gone && gone > GONE { 0 } else { number }
            });
            let stays = *left > 0;
            *left = left.saturating_sub(1);
            stays || pinned.contains(&model.version)
        });
    }
}
