//! Provisional seam, to be dropped when the composition root lands.

use std::net::SocketAddr;

use crate::config::checked::Bootstrap;

#[derive(Debug)]
pub struct StartError;

#[derive(Debug)]
pub struct ReloadOutcome;

#[derive(Debug)]
pub struct Running;

pub async fn start(_: Bootstrap) -> Result<Running, StartError> {
    Err(StartError)
}

impl Running {
    #[must_use]
    pub fn address(&self, _listener: &str) -> Option<SocketAddr> {
        None
    }

    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        None
    }

    pub async fn reload(&self) -> ReloadOutcome {
        ReloadOutcome
    }

    pub fn terminate(&self) {}

    pub fn interrupt(&self) {}

    pub async fn stopped(&self) {}
}
