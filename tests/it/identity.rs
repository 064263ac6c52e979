//! Who calls and what they may, over real sockets: what the documents promise, and each way in which it can fail.

mod bad_tokens;
mod certificates;
mod forged;
mod issuers;
mod many;
mod methods;
mod order;
mod places;
mod reload;
mod revocation;
mod rights;
pub mod scene;
mod secrets;
mod tokens;
mod told;
mod websocket;
