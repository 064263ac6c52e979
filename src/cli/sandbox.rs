//! `sluice sandbox`: the example upstream, alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Common, Failure, Format, print};
use crate::sandbox::{self, Document};

#[derive(Args)]
pub(super) struct Sandbox {
    /// Where it listens
    #[arg(long, env = "SLUICE_SANDBOX", default_value = "127.0.0.1:9400", value_name = "ADDRESS")]
    address: SocketAddr,
    /// OpenAPI 3 document to serve [default: the built-in partner API]
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
}

impl Sandbox {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let document = match &self.openapi {
            Some(path) => Document::load(path),
            None => Document::embedded(),
        };
        let document = Arc::new(document.map_err(Failure::start)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::start)?;
        runtime.block_on(async {
            let socket = tokio::net::TcpListener::bind(self.address)
                .await
                .map_err(|error| Failure::start(format!("sandbox: cannot listen on {}: {error}", self.address)))?;
            let address = socket.local_addr().map_err(Failure::start)?;
            match common.format {
                Format::Human => print(&format!("sandbox listens on http://{address}\n"))?,
                Format::Json => print(&format!("{}\n", serde_json::json!({ "sandbox": address.to_string() })))?,
            }
            sandbox::serve(socket, document, super::run::asked_to_end()).await.map_err(Failure::start)
        })
    }
}
