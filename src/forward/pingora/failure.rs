//! Pingora's errors in our words.

use pingora::{Error, ErrorSource, ErrorType};

use crate::base::reason::Reason;
use crate::pipeline::exchange::Stage;

/// The one reason for an error, given how far the request had come.
pub(super) fn reason(error: &Error, stage: Stage, answered: bool) -> Reason {
    use ErrorType as E;
    match error.etype() {
        E::ConnectTimedout | E::TLSHandshakeTimedout => return Reason::UpstreamConnectTimeout,
        E::TLSHandshakeFailure | E::InvalidCert | E::TLSWantX509Lookup => return Reason::UpstreamTls,
        E::ConnectRefused | E::ConnectNoRoute | E::ConnectError | E::SocketError | E::BindError => {
            return Reason::UpstreamConnect;
        }
        _ => {}
    }
    match error.esource() {
        ErrorSource::Downstream => match error.etype() {
            E::ReadTimedout => Reason::BodyTimeout,
            E::InvalidHTTPHeader | E::H1Error => Reason::RequestMalformed,
            _ => Reason::ClientClosed,
        },
        ErrorSource::Upstream => match error.etype() {
            E::ReadTimedout if !answered => Reason::UpstreamTimeout,
            E::ReadTimedout | E::WriteTimedout => Reason::UpstreamIdle,
            E::InvalidHTTPHeader | E::InvalidH2 | E::H1Error => Reason::UpstreamProtocol,
            E::HandshakeError if stage == Stage::Connecting => Reason::UpstreamTls,
            _ => Reason::UpstreamReset,
        },
        ErrorSource::Internal | ErrorSource::Unset => Reason::Internal,
    }
}
