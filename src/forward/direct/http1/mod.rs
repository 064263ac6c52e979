//! A request of an HTTP/1 client.

mod download;
mod relay;
mod splice;
mod tunnel;
mod upload;

use std::future::poll_fn;

use self::relay::Relay;
use self::upload::Upload;
use super::Forwarder;
use super::connect::Want;
use super::upstream::UpstreamIo;
use crate::base::reason::Reason;
use crate::forward::Returned;
use crate::listener::client_io::ClientIo;
use crate::listener::request::Carried;
use crate::pipeline::exchange::{Exchange, Stage};

impl Forwarder {
    /// Forwards one request and gives the client connection back. When no final answer has begun, and the exchange has a
    /// reason, answering is up to the caller.
    pub async fn forward(&self, mut client: ClientIo, exchange: &mut Exchange, carried: Carried) -> Returned {
        let mut upload = Upload::new(carried);
        let carried = self.carry(&mut client, exchange, &mut upload).await;
        exchange.progress_mut().request_bytes = upload.body_bytes();
        match carried {
            Ok(None) => {}
            Ok(Some((upstream, early))) => {
                upload.keep_alive = false;
                exchange.enter_alone(Stage::Tunnelling);
                let pending = std::mem::take(&mut upload.pending);
                Box::pin(tunnel::relay(&mut client, upstream, exchange, pending, early)).await;
            }
            Err(reason) => exchange.fail(reason),
        }
        let begun = exchange.progress_mut().status != 0 || upload.answer_torn;
        Returned {
            io: client,
            body_done: upload.body_done(),
            client_closed: upload.client_closed,
            begun,
            reusable: upload.keep_alive,
            pending: upload.pending,
        }
    }

    /// From a connection to the end of the answer; the connection and what was read of it when it was upgraded.
    async fn carry(
        &self,
        client: &mut ClientIo,
        exchange: &mut Exchange,
        upload: &mut Upload,
    ) -> Result<Option<(UpstreamIo, Vec<u8>)>, Reason> {
        let mut want = if upload.upgrade { Want::New } else { Want::Any };
        loop {
            let mut connection = tokio::select! {
                biased;
                connected = self.connect(exchange, want) => connected?,
                reason = poll_fn(|cx| upload.poll_gone(cx, client)) => return Err(reason),
            };
            let reused = connection.reused;
            let (ended, torn, switched) = {
                let mut relay = Relay::new(client, &mut connection.io, exchange, upload, &self.drain, reused);
                (poll_fn(|cx| relay.poll(cx)).await, relay.is_torn(), relay.take_switched())
            };
            upload.answer_torn = torn;
            if let Some(early) = switched {
                return Ok(Some((connection.io, early)));
            }
            if !self.conclude(ended, connection, exchange)? {
                return Ok(None);
            }
            upload.rewind();
            want = Want::New;
        }
    }
}
