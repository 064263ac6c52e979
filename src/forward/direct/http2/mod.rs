//! A stream of an HTTP/2 client.

mod head;
mod relay;
mod upload;

use std::future::poll_fn;

pub use self::head::{fields, final_fields, trailer_fields};
pub use self::upload::Upload;

use self::relay::Relay;
use super::Forwarder;
use super::connect::Want;
use crate::base::reason::Reason;
use crate::listener::http2::ClientStream;
use crate::pipeline::exchange::Exchange;

impl Forwarder {
    /// Forwards one stream. When no final answer has begun, and the exchange has a reason, answering is up to the caller.
    pub async fn forward_stream(&self, client: &mut ClientStream, exchange: &mut Exchange, upload: &mut Upload) {
        if let Err(reason) = self.carry_stream(client, exchange, upload).await {
            exchange.fail(reason);
        }
    }

    /// From a connection to the end of the answer.
    async fn carry_stream(
        &self,
        client: &mut ClientStream,
        exchange: &mut Exchange,
        upload: &mut Upload,
    ) -> Result<(), Reason> {
        let mut want = Want::Any;
        loop {
            let mut connection = tokio::select! {
                biased;
                connected = self.connect(exchange, want) => connected?,
                // Streams that are gone are not counted by `h2` any more: each would hold a socket until its time-out.
                () = poll_fn(|cx| client.poll_given_up(cx)) => return Err(Reason::ClientClosed),
            };
            let reused = connection.reused;
            let ended = {
                let mut relay = Relay::new(client, &mut connection.io, exchange, upload, reused);
                poll_fn(|cx| relay.poll(cx)).await
            };
            if !self.conclude(ended, connection, exchange)? {
                return Ok(());
            }
            upload.rewind();
            want = Want::New;
        }
    }
}
