//! Asking an upstream on behalf of the cache.

use std::sync::Arc;

use crate::base::clock;
use crate::base::reason::Reason;
use crate::cache::{Filling, Moment};
use crate::listener::worker::Worker;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::verdict::FetchRequest;

pub async fn fetch(_worker: &Worker, _exchange: Arc<Exchange>, _request: FetchRequest, filling: Filling) {
    filling.fail(Reason::Internal, Moment { at: clock::now(), wall: clock::since_epoch() });
}
