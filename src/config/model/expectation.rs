//! What `sluice test` tries on a route.

use super::{Count, IpText, JsonObject, List, Named, Text, model};

model! {
    /// A request by hand, and what should come of it.
    Test "a test" {
        /// In your own words; the request when not written.
        optional name: Text,
        /// Method and target, such as `GET /api/orders?x=1`; the target may also be a whole URL.
        required request: Text,
        /// Request fields.
        optional headers: Named<Text>,
        /// As if this caller had shown a good credential. When not written, what the fields say.
        optional r#as: Caller,
        /// The address that the request comes from.
        optional client: IpText = "127.0.0.1",
        /// So many requests at the same moment; what is expected is about the last one.
        optional repeat: Count = 1,
        /// All of what is written has to be so.
        required expect: Expected,
    }

    /// A caller who is taken for known.
    Caller "`as` of a test" {
        /// A partner of this file.
        optional partner: Text,
        /// Who it is within the partner.
        optional subject: Text,
        /// What it may.
        optional scopes: List<Text>,
        /// Claims of its token.
        optional claims: JsonObject,
    }

    /// What should come of a request.
    Expected "`expect` of a test" {
        /// The status of the gateway's own answer.
        optional status: Count,
        /// Why it is refused, such as `SCOPE_MISSING`.
        optional reason: Text,
        /// It is forwarded to this upstream.
        optional upstream: Text,
        /// Path and query that the upstream gets.
        optional path: Text,
        /// The route that takes it; the one that the test stands in when not written.
        optional route: Text,
    }
}
