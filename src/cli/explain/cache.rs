//! What the cache would have to do with an explained request. Nothing is stored here, so that what is shown is what counts
//! before an answer is known.

use serde_json::{Value, json};

use super::Explained;
use super::sheet::Sheet;
use crate::base::{byte_size, duration};
use crate::cache::key::Key;
use crate::cache::status::Kind;
use crate::config::checked::cache::{CachePolicy, TtlMode};
use crate::pipeline::cached::{Hears, Work};

impl Explained<'_> {
    pub(super) fn tell_cache(&self, sheet: &mut Sheet) {
        if let Some(policy) = self.action().and_then(|action| action.written.cache.as_deref()) {
            sheet.row("cache", terms(policy), self.place("cache"));
        }
        let Some(part) = self.decision.cache() else { return };
        let asks = matches!(part.work, Work::Ask(_));
        match part.outcome.map(|outcome| outcome.kind) {
            // The route has no cache.
            None => {}
            Some(Kind::Bypass) => {
                sheet.say("  left out", "a `bypass`, a field of the request, or a caller without a name");
            }
            Some(Kind::Method) => sheet.say("  left out", "this method is not answered from memory"),
            Some(_) => {
                sheet.say("  key", self.cache_key());
                if asks {
                    sheet.say("  answer", "may be kept, if its status and its fields allow it");
                }
            }
        }
        if let Work::Ask(ask) = &part.work
            && !ask.want.groups.tags.is_empty()
        {
            sheet.say("  tags", ask.want.groups.tags.join(", "));
        }
        if let Some(Hears::Changes { tags, .. }) = part.hears.as_deref() {
            let also = if tags.is_empty() { String::new() } else { format!(", and tagged {}", tags.join(", ")) };
            sheet.row(
                "purges",
                format!("what is stored for this path{also}, when it succeeds"),
                self.place("invalidates"),
            );
        }
    }

    pub(super) fn cache_json(&self) -> Value {
        let Some(part) = self.decision.cache() else { return Value::Null };
        let tags = match &part.work {
            Work::Ask(ask) => ask.want.groups.tags.iter().map(|tag| &**tag).collect(),
            Work::Forward | Work::Serve(_) => Vec::new(),
        };
        let purges = match part.hears.as_deref() {
            Some(Hears::Changes { tags, .. }) => tags.iter().map(|tag| &**tag).collect::<Vec<_>>().into(),
            Some(Hears::Head { .. }) | None => Value::Null,
        };
        json!({
            "result": part.outcome.map(|outcome| outcome.kind.as_str()),
            "key": self.decision.cache_key().map(|_| self.cache_key()),
            "tags": tags,
            "purges": purges,
        })
    }

    fn cache_key(&self) -> String {
        self.decision.cache_key().map(|key| Key::from(key).to_string()).unwrap_or_default()
    }
}

fn terms(policy: &CachePolicy) -> String {
    let mut terms = Vec::new();
    if let Some(ttl) = policy.ttl.default {
        terms.push(format!("ttl {}", duration::format(ttl)));
    }
    terms.extend(policy.ttl.by_status.iter().map(|(status, ttl)| format!("{status}: {}", duration::format(*ttl))));
    terms.push(match policy.ttl.mode {
        TtlMode::Respect if terms.is_empty() => "as long as answers say".to_owned(),
        TtlMode::Respect => "unless answers say it themselves".to_owned(),
        TtlMode::Override => "whatever answers say".to_owned(),
    });
    terms.push(format!("bodies up to {}", byte_size::format(policy.max_object)));
    terms.join(", ")
}
