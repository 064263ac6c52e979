//! Who gets which answer, how often upstreams are asked, and what is not given any more.

mod background;
mod callers;
mod failing;
mod invalidating;
mod isolation;
mod lasting;
mod protocols;
mod purging;
mod scene;
mod stampede;
mod streaming;
