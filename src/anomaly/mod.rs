//! Anomaly checks: how unusual a request is for its caller and its route, and why.
//!
//! It knows values only: no connection, no configuration file, no forwarder. Whoever carries a request tells a [`Watch`]
//! what [arrived](Watch::arrive), before anything is forwarded, and what [came of it](Watch::leave). Models are made from
//! what was seen, away from requests, by [`training`].

pub mod explanation;
pub mod features;
pub mod forest;
pub mod ladder;
pub mod model;
pub mod profile;
pub mod registry;
pub mod reservoir;
pub mod running;
pub mod shift;
pub mod training;
pub mod watch;

pub use self::features::{Arrival, Outcome, Row};
pub use self::ladder::Action;
pub use self::model::Model;
pub use self::watch::{Arrived, Watch};
