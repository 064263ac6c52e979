//! What is done about unusual requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::limits::RateText;
use super::scalar::{parsed, scalars};
use super::{Bool, Count, Duration, Text, choices, model};
use crate::config::defaults::{self, share, time};
use crate::config::report::Code;
use crate::config::yaml::{At, Kind, NodeId, Read, Reader};

model! {
    /// Scores requests by how unusual they are for their caller and their route, and says what follows.
    AnomalyPolicy "`anomaly`" {
        /// What is done with the rarest requests: `observe` (log and count), `tag` (tell the upstream), `throttle` (a tighter
        /// limit for the caller on this route), `challenge` (ask for a newer token) or `block`.
        optional action: AnomalyAction = "observe",
        /// The share of usual requests that is expected to be taken for unusual.
        optional contamination: Share = share(defaults::CONTAMINATION),
        /// More than one action, instead of `action` and `contamination`.
        optional ladder: AnomalyLadder,
        /// For how long a caller of whose requests half are unusual stays throttled or challenged after the last such one.
        optional cool_down: Duration = time(defaults::COOL_DOWN),
        /// How often a caller's unusual requests may come to this route, or any of a throttled caller.
        optional throttle: RateText = defaults::THROTTLE_WRITTEN,
        /// The field that tells upstreams the score, from `tag` on. Clients cannot send it.
        optional header: Text = defaults::SCORE_HEADER,
        /// Tell clients that are refused what was unusual; the log says it in any case.
        optional explain: Bool = false,
        /// The version of the model that judges; the newest when not written.
        optional model: ModelVersion,
        /// The version of a model that judges beside it and decides nothing.
        optional shadow: ModelVersion,
    }

    /// For each action the share of usual requests that is expected to reach it: the more drastic, the rarer.
    AnomalyLadder "`ladder`" {
        /// Tell the upstream, in a field.
        optional tag: Share,
        /// A tighter limit for such requests of the caller on this route, and after many for all of its.
        optional throttle: Share,
        /// Ask for a credential that was issued since.
        optional challenge: Share,
        /// Refuse.
        optional block: Share,
    }

    /// How models of what is usual are made, and how much may follow from them. Holds for all routes.
    AnomalySettings "`anomaly` of the file" {
        /// Requests of a route before it has a model of its own.
        optional warm_up: Count = defaults::WARM_UP,
        /// How often a model is made anew.
        optional retrain: Duration = time(defaults::RETRAIN),
        /// After which a request counts half as much for a model as one that comes now.
        optional half_life: Duration = time(defaults::HALF_LIFE),
        /// The most of what is learned from that one caller may have.
        optional caller_share: Share = share(defaults::CALLER_SHARE),
        /// The most of the requests of each route that may be refused as unusual, of what callers usually send.
        optional max_blocked: Share = share(defaults::MAX_BLOCKED),
        /// Models of a route that are kept in the folder.
        optional keep: Count = defaults::KEEP_MODELS,
    }
}

choices! {
    AnomalyAction "an action" {
        Observe "observe",
        Tag "tag",
        Throttle "throttle",
        Challenge "challenge",
        Block "block",
    }
}

scalars! {
    /// A part of a whole, in millionths; more than none of it, and not more than all.
    Share(u32) {
        |node, reader| parsed(node, reader, Code::Percent, "text for a part such as `0.5%`", parse_share),
        { "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,4})?%$", "examples": ["0.5%"] }
    }

    /// When a model was made, and the beginning of its checksum.
    ModelVersion(Box<str>) {
        |node, reader| parsed(node, reader, Code::ModelVersion, "text for the version of a model", parse_version),
        { "type": "string", "examples": ["20261123T140000Z-1a2b3c4d"] }
    }
}

impl Share {
    /// Of 1.
    pub(crate) fn fraction(&self) -> f32 {
        (f64::from(self.0) / 1e6) as f32
    }
}

/// Reads a part; the error says what was expected.
fn parse_share(text: &str) -> Result<u32, String> {
    let expected =
        || format!("`{text}` is not a part; write a number with up to four decimals and `%`, such as `10%` or `0.05%`");
    let number = text.strip_suffix('%').ok_or_else(expected)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 4 {
        return Err(expected());
    }
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 100).ok_or_else(expected)?;
    let decimals: u32 = format!("{decimals:0<4}").parse().map_err(|_| expected())?;
    let millionths = whole * 10_000 + decimals;
    if !(1..=1_000_000).contains(&millionths) {
        return Err(expected());
    }
    Ok(millionths)
}

/// Checks the form of a version; whether there is such a model is known where the models are.
fn parse_version(text: &str) -> Result<Box<str>, String> {
    let is_sound = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        16 => byte == b'-',
        0..=14 => byte.is_ascii_digit(),
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    if text.len() == 25 && text.bytes().enumerate().all(is_sound) {
        return Ok(text.into());
    }
    Err(format!("`{text}` is not the version of a model, such as `20261123T140000Z-1a2b3c4d`"))
}

/// An action alone, or all that there is to say.
#[derive(Clone, Debug)]
pub(crate) struct RouteAnomaly(pub(crate) AnomalyPolicy);

impl Read for RouteAnomaly {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.kind(node)? == Kind::Mapping {
            return AnomalyPolicy::read(node, reader).map(Self);
        }
        let action = Some(At::read(node, reader)?);
        Some(Self(AnomalyPolicy { action, ..AnomalyPolicy::default() }))
    }
}

impl JsonSchema for RouteAnomaly {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RouteAnomaly".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let action = generator.subschema_for::<AnomalyAction>();
        json_schema!({ "anyOf": [action, generator.subschema_for::<AnomalyPolicy>()] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_parts() {
        for (text, millionths) in [
            ("10%", 100_000),
            ("0.5%", 5_000),
            ("0.05%", 500),
            ("0.0001%", 1),
            ("100%", 1_000_000),
            ("007.10%", 71_000),
        ] {
            assert_eq!(parse_share(text), Ok(millionths), "{text}");
        }
        for text in
            ["", "%", "10", "0%", "0.0%", "0.00001%", ".5%", "5.%", "1,5%", "-1%", "+1%", "1 %", "100.0001%", "101%"]
        {
            assert!(parse_share(text).is_err(), "{text}");
        }
        assert!((Share(500).fraction() - 0.0005).abs() < 1e-9);
    }

    #[test]
    fn reads_versions() {
        assert!(parse_version("20261123T140000Z-1a2b3c4d").is_ok());
        for text in [
            "",
            "latest",
            "20261123T140000Z",
            "20261123T140000Z-1A2B3C4D",
            "20261123T140000Z-1a2b3c4d5",
            "2026-11-23T14:00Z-1a2b3c4d",
        ] {
            assert!(parse_version(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_part_reads_as_it_is_written(millionths in 1_u32..=1_000_000) {
            let text = format!("{}.{:04}%", millionths / 10_000, millionths % 10_000);
            prop_assert_eq!(parse_share(&text), Ok(millionths));
            let default = share(f64::from(millionths) / 1e6);
            prop_assert_eq!(parse_share(default.as_str().unwrap()), Ok(millionths));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,30}|[0-9.%]{0,12}|[0-9TZa-f-]{25}") {
            if let Ok(millionths) = parse_share(&text) {
                prop_assert!((1..=1_000_000).contains(&millionths));
            }
            if let Ok(version) = parse_version(&text) {
                prop_assert!(!version.contains(['/', '.']), "it becomes a part of a path");
            }
        }
    }
}
