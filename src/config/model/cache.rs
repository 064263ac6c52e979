//! Which answers are kept.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::scalar::{parsed, scalars};
use super::{Bool, Duration, List, Named, OneOrMany, OrOff, Size, Text, choices, model};
use crate::config::defaults::{self, size};
use crate::config::report::Code;
use crate::config::yaml::{At, Kind, NodeId, Read, Reader};

model! {
    /// Keeps answers of the upstream in memory and gives them again (RFC 9111).
    CachePolicy "`cache`" {
        /// How long answers are fresh that do not say it themselves. Without it, only those that say it are kept.
        optional ttl: WrittenTtl,
        /// Everybody who may call the route gets the same answer. Otherwise each caller has answers of its own.
        optional shared: Bool = false,
        /// Who has answers of its own: each `subject`, or each `partner` for all of its callers together.
        optional per: CacheScope = "subject",
        /// Methods that are answered from the cache; GET has to be one of them.
        optional methods: OneOrMany<CachedMethod> = vec!["GET", "HEAD"],
        /// The largest body that is kept; longer ones pass.
        optional max_object: Size = size(defaults::MAX_OBJECT),
        /// Request fields whose values are part of the key.
        optional headers: OneOrMany<Text>,
        /// What of the query is part of the key: all of it when not written.
        optional query: CacheQuery,
        /// A request that meets one of these passes by the cache.
        optional bypass: OneOrMany<CacheBypass>,
        /// Names to purge answers by, with `{name}` from the matched path, beside those that the upstream gives.
        optional tags: OneOrMany<Text>,
        /// For so long a stale answer is given while it is fetched anew (RFC 5861 section 3), when it does not say it itself.
        optional stale_while_revalidate: Duration = "0s",
        /// For so long a stale answer is given when the upstream fails (RFC 5861 section 4), when it does not say it itself.
        optional stale_if_error: Duration = "0s",
        /// The last part of its lifetime in which a popular answer is fetched anew before it expires: 1% to 90%, or `off`.
        optional refresh_ahead: OrOff<Percent> = format!("{}%", defaults::REFRESH_AHEAD),
    }

    /// How long answers are fresh.
    CacheTtl "`ttl`" {
        /// For statuses that are not in `by_status`, of those that may be kept without being asked (RFC 9110 section 15.1).
        optional default: Duration,
        /// By status, whichever may be kept; `0s` keeps nothing.
        optional by_status: Named<Duration>,
        /// `respect` is for answers that say nothing themselves; `override` holds whatever they say, `no-store` and `private`
        /// included.
        optional mode: TtlMode = "respect",
    }

    /// What of the query is part of the key. The upstream gets all of it in any case.
    CacheQuery "`query` of a cache" {
        /// All parameters but these, by decoded name; a name may end in `*`.
        optional ignore: List<Text>,
        /// These parameters and no others, by decoded name; a name may end in `*`.
        optional only: List<Text>,
        /// The order of parameters of different names does not matter.
        optional sort: Bool = false,
    }

    /// When a request passes by the cache: exactly one of `header`, `cookie` and `query`.
    CacheBypass "a condition of `bypass`" {
        /// This field is there.
        optional header: Text,
        /// This cookie is there.
        optional cookie: Text,
        /// This query parameter is there, by decoded name.
        optional query: Text,
        /// And it has this value; any value when not written.
        optional value: Text,
    }
}

choices! {
    CacheScope "somebody who has answers of its own" {
        Subject "subject",
        Partner "partner",
    }

    CachedMethod "a method that is answered from a cache" {
        Get "GET",
        Head "HEAD",
    }

    TtlMode "a mode" {
        Respect "respect",
        Override "override",
    }
}

scalars! {
    /// A part of a hundred.
    Percent(u8) {
        |node, reader| parsed(node, reader, Code::Percent, "text for a part such as `10%`", parse_percent),
        { "type": "string", "pattern": "^[1-9][0-9]?%$", "examples": ["10%"] }
    }
}

/// Reads a part; the error says what was expected.
fn parse_percent(text: &str) -> Result<u8, String> {
    let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let percent = digits.and_then(|digits| digits.parse().ok()).filter(|percent| *percent <= 100);
    percent.ok_or_else(|| format!("`{text}` is not a part; write a whole number and `%`, such as `10%`"))
}

/// A `ttl` alone, or all that there is to say about a cache.
#[derive(Clone, Debug)]
pub(crate) struct RouteCache(pub(crate) CachePolicy);

impl Read for RouteCache {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.kind(node)? == Kind::Mapping {
            return CachePolicy::read(node, reader).map(Self);
        }
        let ttl = WrittenTtl::of_all(node, reader)?;
        let ttl = Some(At { value: ttl, span: reader.span(node), node });
        Some(Self(CachePolicy { ttl, ..CachePolicy::default() }))
    }
}

impl JsonSchema for RouteCache {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RouteCache".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let ttl = generator.subschema_for::<Duration>();
        json_schema!({ "anyOf": [ttl, generator.subschema_for::<CachePolicy>()] })
    }
}

/// One duration, or all that there is to say about how long answers are fresh.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrittenTtl(pub(crate) CacheTtl);

impl WrittenTtl {
    fn of_all(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let default = Some(At::read(node, reader)?);
        Some(Self(CacheTtl { default, ..CacheTtl::default() }))
    }
}

impl Read for WrittenTtl {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.kind(node)? == Kind::Mapping {
            return CacheTtl::read(node, reader).map(Self);
        }
        Self::of_all(node, reader)
    }
}

impl JsonSchema for WrittenTtl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "WrittenTtl".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let all = generator.subschema_for::<Duration>();
        json_schema!({ "anyOf": [all, generator.subschema_for::<CacheTtl>()] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_parts() {
        assert_eq!(parse_percent("1%"), Ok(1));
        assert_eq!(parse_percent("90%"), Ok(90));
        for text in ["", "%", "10", "10 %", "+1%", "-1%", "1.5%", "1%%", "101%", "256%", "ten%"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,8}") {
            prop_assert!(parse_percent(&text).is_ok_and(|percent| percent <= 100) || parse_percent(&text).is_err());
        }
    }
}
