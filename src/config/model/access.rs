//! What a route asks of its callers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::identity::Need;
use super::{Bool, Json, List, Named, Network, OneOrMany, Text, choices, model, no_choice};
use crate::config::defaults;
use crate::config::yaml::{Kind, NodeId, Read, Reader};

/// How a route knows the caller.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    None,
    Required(Box<Access>),
}

impl Read for Auth {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        match reader.kind(node)? {
            Kind::Mapping => Access::read(node, reader).map(|access| Self::Required(Box::new(access))),
            Kind::Text => match &*reader.text(node, "text")? {
                "none" => Some(Self::None),
                other => {
                    no_choice(other, node, "a way to know callers", &["none", "{issuer: …}", "{api_key: {}}"], reader);
                    None
                }
            },
            _ => {
                reader.wrong_type(node, "`none`, or a mapping such as `{issuer: main}`");
                None
            }
        }
    }
}

impl JsonSchema for Auth {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Auth".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "none" }, generator.subschema_for::<Access>()] })
    }
}

model! {
    /// What a route asks of its callers. They are known by exactly one of `issuer`, `api_key`, `certificate` and `any_of`.
    Access "`auth`" {
        /// By a token of this issuer, or of one of these.
        optional issuer: OneOrMany<Text>,
        /// Where the token may stand.
        optional token: TokenPlaces,
        /// By an API key; `{}` is the field `X-API-Key`.
        optional api_key: ApiKeyPlaces,
        /// By the client certificate of the connection; the listener has to ask for it.
        optional certificate: Bool,
        /// By any of these, tried in this order.
        optional any_of: List<Method>,
        /// Which scopes the credential has to have.
        optional scopes: Scopes,
        /// What claims of the token have to be, by name, or by JSON pointer (RFC 6901) when it begins with a slash. All have to hold;
        /// a claim that is an array holds when one of its members does.
        optional claims: Named<ClaimCondition>,
        /// Which partners may.
        optional partners: PartnerLists,
        /// Whether the caller has to be a known partner.
        optional partner: Need = "required",
        /// `observe` counts and logs what would be refused, and lets it pass.
        optional mode: Mode = "enforce",
        /// Forward the credential, too.
        optional keep_credential: Bool = false,
    }

    /// One way to be known: exactly one of `issuer`, `api_key` and `certificate`.
    Method "a way in `any_of`" {
        /// By a token of this issuer, or of one of these.
        optional issuer: OneOrMany<Text>,
        /// Where the token may stand.
        optional token: TokenPlaces,
        /// By an API key; `{}` is the field `X-API-Key`.
        optional api_key: ApiKeyPlaces,
        /// By the client certificate of the connection; the listener has to ask for it.
        optional certificate: Bool,
    }

    /// Where a token may stand.
    TokenPlaces "`token`" {
        /// In `Authorization: Bearer`.
        optional authorization: Bool = true,
        /// In this query parameter, which is taken off before the request is forwarded.
        optional query: Text,
        /// In this cookie.
        optional cookie: Text,
        /// In `Sec-WebSocket-Protocol: bearer, <token>`, which is how browsers can send one with a WebSocket.
        optional websocket_protocol: Bool = false,
    }

    /// Where an API key may stand.
    ApiKeyPlaces "`api_key`" {
        /// In this field; `X-API-Key` when neither is written.
        optional header: Text = defaults::API_KEY_HEADER,
        /// In this query parameter, which is taken off before the request is forwarded.
        optional query: Text,
    }

    /// Which scopes a credential has to have.
    Scopes "`scopes`" {
        /// All of these.
        optional all_of: List<Text>,
        /// At least one of these.
        optional any_of: List<Text>,
    }

    /// What a claim has to be: exactly one of these.
    ClaimCondition "a condition on a claim" {
        /// This text, number, `true` or `false`.
        optional equals: Json,
        /// One of these.
        optional r#in: List<Json>,
        /// The whole text matches this regular expression.
        optional matches: Text,
    }

    /// Which partners may. Denial wins.
    PartnerLists "`partners` of `auth`" {
        /// These and nobody else.
        optional allow: List<Text>,
        /// Not these.
        optional deny: List<Text>,
    }

    /// Which addresses of clients may. Denial wins.
    Addresses "`addresses`" {
        /// These and no others.
        optional allow: List<Network>,
        /// Not these.
        optional deny: List<Network>,
        /// `observe` counts and logs what would be refused, and lets it pass.
        optional mode: Mode = "enforce",
    }
}

choices! {
    Mode "a mode" {
        Enforce "enforce",
        Observe "observe",
    }
}
