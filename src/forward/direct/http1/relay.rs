//! One request and its answer between a client and an upstream, both ways at once.
//!
//! One task, one function that is polled: whichever side can move, moves. At most one piece waits in each direction, so a
//! slow side stops the other one, and buffers are held only while there are bytes in them.

use std::task::{Context, Poll, ready};

use super::download::{Broken, Download, Terms, Waits};
use super::upload::{Stopped, Upload};
use crate::base::reason::Reason;
use crate::forward::direct::Ended;
use crate::forward::direct::upstream::UpstreamIo;
use crate::listener::client_io::ClientIo;
use crate::listener::worker::Drain;
use crate::pipeline::exchange::{Exchange, Stage};

pub struct Relay<'a> {
    client: &'a mut ClientIo,
    upstream: &'a mut UpstreamIo,
    exchange: &'a mut Exchange,
    upload: &'a mut Upload,
    download: Download,
    drain: &'a Drain,
    /// An earlier request used the upstream connection.
    reused: bool,
}

impl<'a> Relay<'a> {
    pub fn new(
        client: &'a mut ClientIo,
        upstream: &'a mut UpstreamIo,
        exchange: &'a mut Exchange,
        upload: &'a mut Upload,
        drain: &'a Drain,
        reused: bool,
    ) -> Self {
        Self { client, upstream, exchange, upload, download: Download::new(), drain, reused }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let before = (self.upload.moved(), self.download.moved());
        let waits = match self.poll_sides(cx) {
            Ok(Waits::Complete) => {
                return Poll::Ready(Ended::Answered { kept: self.download.kept() && self.upload.is_sent() });
            }
            Ok(waits) => waits,
            Err(ended) => return Poll::Ready(ended),
        };
        let (sent, answered) = (before.0 != self.upload.moved(), before.1 != self.download.moved());
        self.note_stage(waits, sent, answered);
        ready!(self.exchange.deadline.poll_expired(cx));
        Poll::Ready(Ended::Failed(match self.exchange.overdue() {
            // By not taking the interim answers, it kept us from the final one.
            Some(Reason::UpstreamTimeout) if waits == Waits::Client => Reason::ClientClosed,
            reason => reason.unwrap_or(Reason::Internal),
        }))
    }

    /// Whether the client has a part of a head, so that no other answer can be given.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.download.is_torn()
    }

    /// When the upstream agreed to the upgrade and the client knows: what it sent after its head.
    pub fn take_switched(&mut self) -> Option<Vec<u8>> {
        self.download.take_switched()
    }

    fn poll_sides(&mut self, cx: &mut Context<'_>) -> Result<Waits, Ended> {
        match self.upload.poll_move(cx, self.client, self.upstream) {
            Err(Stopped::Untaken) if self.can_repeat() => return Err(Ended::Stale),
            Err(Stopped::Untaken) => self.upload.give_up(),
            Err(Stopped::Failed(reason)) => return Err(Ended::Failed(reason)),
            Ok(()) => {}
        }
        if !self.download.has_begun() && self.drain.is_leaving() {
            self.upload.keep_alive = false;
        }
        // One that agrees before it has the whole request has not read what it agrees to.
        let upgrade = self.upload.upgrade && self.upload.is_sent();
        let mut terms = Terms { exchange: self.exchange, upgrade, keep_alive: &mut self.upload.keep_alive };
        let waits = match self.download.poll_move(cx, self.upstream, self.client, &mut terms) {
            Ok(Waits::Complete) => return Ok(Waits::Complete),
            Ok(waits) => waits,
            Err(Broken::Unanswered) if self.can_repeat() => return Err(Ended::Stale),
            Err(Broken::Unanswered) => return Err(Ended::Failed(Reason::UpstreamReset)),
            Err(Broken::Failed(reason)) => return Err(Ended::Failed(reason)),
        };
        match self.upload.watch(cx, self.client) {
            Err(Stopped::Failed(reason)) => Err(Ended::Failed(reason)),
            Ok(()) | Err(Stopped::Untaken) => Ok(waits),
        }
    }

    /// Whose turn it is, and until when.
    fn note_stage(&mut self, waits: Waits, sent: bool, answered: bool) {
        let begun = self.download.has_begun();
        let stage = match waits {
            Waits::Client if begun => Stage::Delivering,
            _ if begun => Stage::Relaying,
            _ if self.upload.is_over() => Stage::Waiting,
            _ if self.upload.is_blocked() => Stage::Sending,
            _ => Stage::Receiving,
        };
        // Interim answers move nothing: an upstream that sends them for ever has still not begun to answer.
        if stage != self.exchange.progress_mut().stage || sent || (answered && begun) {
            self.exchange.enter_alone(stage);
        }
    }

    /// Nobody but us has heard of the request, or hearing it twice does no harm (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    fn can_repeat(&self) -> bool {
        let harmless = || self.exchange.facts.is_idempotent();
        self.reused && self.download.is_untouched() && self.upload.can_repeat(self.upstream.is_plain(), harmless)
    }
}
