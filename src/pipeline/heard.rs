//! What an answer on its way says about stored ones.

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::cached::Hears;
use super::exchange::Exchange;
use crate::base::clock;
use crate::cache::Moment;
use crate::cache::filling::Change;
use crate::cache::validation::also_changed;
use crate::route;

/// Listens to the final head of an upstream's answer, before the client has it: what it makes invalid is gone when the client knows.
pub fn heard<'a>(exchange: &Exchange, status: StatusCode, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    let Some(hears) = exchange.cache.as_ref().and_then(|part| part.hears.as_deref()) else { return };
    let cache = &exchange.snapshot.gate.lasting.cache;
    match hears {
        // RFC 9111 §4.4: only one that succeeded has changed anything.
        Hears::Changes { .. } if !(status.is_success() || status.is_redirection()) => {}
        Hears::Changes { scheme, host, target, tags } => {
            let fields = read(fields.filter(|(name, _)| {
                let is = |known: &HeaderName| name.eq_ignore_ascii_case(known.as_str().as_bytes());
                is(&LOCATION) || is(&CONTENT_LOCATION)
            }));
            let others = also_changed(scheme, host, target, &fields);
            let targets = std::iter::once(target.as_str()).chain(others.iter().map(String::as_str));
            let path = |target: &str| {
                let path = target.split('?').next().unwrap_or(target);
                route::normalise_text(path).ok().map(|path| path.as_str().to_owned())
            };
            let paths: Vec<_> = targets.filter_map(path).collect();
            cache.change(&Change { scheme, host, paths: &paths, tags });
        }
        Hears::Head { want } => {
            let now = Moment { at: clock::now(), wall: clock::since_epoch() };
            cache.freshen(want, status, &read(fields), now);
        }
    }
}

fn read<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> HeaderMap {
    let parsed = fields
        .filter_map(|(name, value)| Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?)));
    let mut fields = HeaderMap::new();
    for (name, value) in parsed {
        fields.append(name, value);
    }
    fields
}
