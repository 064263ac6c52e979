//! A client connection inside TLS, which sends what the handshake leaves over together with the first answer.

use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// An accepted connection past its handshake.
///
/// Tickets of TLS 1.3 are not sent by themselves: they leave with the answer when the first request came with the end of the
/// handshake, otherwise before the connection waits for it. What is written leaves at once as far as the socket takes it; nothing new is
/// encrypted while older bytes wait, so a client that does not read costs the memory of one write.
#[derive(Debug)]
pub struct TlsStream {
    socket: TcpStream,
    session: ServerConnection,
    withheld: Withheld,
    closed: bool,
    /// Came after bytes that had to be delivered first.
    error: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Withheld {
    Nothing,
    /// Until the client must be waited for.
    Tickets,
    /// Until its first request is answered.
    TicketsForAnswer,
}

/// A handshake that failed. The socket has the alert that says why, as far as it took it: closed at once, with bytes of the client unread,
/// it would take the alert from it.
#[derive(Debug)]
pub struct NotAccepted {
    pub error: io::Error,
    pub socket: TcpStream,
}

impl NotAccepted {
    /// Whether it was for the certificate of the client, or for having none.
    #[must_use]
    pub fn for_certificate(&self) -> bool {
        use rustls::Error as E;
        let error = self.error.get_ref().and_then(|error| error.downcast_ref::<E>());
        matches!(error, Some(E::InvalidCertificate(_) | E::NoCertificatesPresented))
    }
}

impl TlsStream {
    /// Does the handshake; there is no deadline here.
    pub async fn accept(config: Arc<ServerConfig>, socket: TcpStream) -> Result<Self, NotAccepted> {
        let session = match ServerConnection::new(config) {
            Ok(session) => session,
            Err(error) => return Err(NotAccepted { error: invalid(error), socket }),
        };
        let mut stream = Self { socket, session, withheld: Withheld::Nothing, closed: false, error: None };
        match poll_fn(|context| stream.poll_handshake(context)).await {
            Ok(()) => Ok(stream),
            Err(error) => Err(NotAccepted { error, socket: stream.socket }),
        }
    }

    /// What was agreed on.
    #[must_use]
    pub fn session(&self) -> &ServerConnection {
        &self.session
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let done = !self.session.is_handshaking();
            // With TLS 1.2 the client waits for the last flight; with 1.3 it has all it needs.
            if done && self.session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
                self.withheld = Withheld::Tickets;
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_send(context))?;
            if done {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(context))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sends all that is encrypted.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Blocking { socket: &mut self.socket, context }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.withheld = Withheld::Nothing;
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket once and decrypts; zero at its end.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.session.read_tls(&mut Blocking { socket: &mut self.socket, context }) {
            Ok(read) => match self.session.process_new_packets() {
                Ok(_) => Poll::Ready(Ok(read)),
                Err(error) => {
                    // The alert that says why; whether it arrives changes nothing.
                    let _ = self.poll_send(context);
                    Poll::Ready(Err(invalid(error)))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Moves decrypted bytes into `buffer`, reading once if there are none; zero at the end of what the client sends.
    fn poll_plain(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let mut waits = false;
        while self.session.wants_read() {
            match self.poll_receive(context) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    waits = true;
                    break;
                }
            }
        }
        let moved = match self.session.reader().into_first_chunk() {
            Ok(chunk) => {
                let length = chunk.len().min(buffer.remaining());
                buffer.put_slice(&chunk[..length]);
                length
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !waits {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            // The end of the socket without close_notify.
            Err(error) => return Poll::Ready(Err(error)),
        };
        self.session.reader().consume(moved);
        Poll::Ready(Ok(moved))
    }

    /// Encrypts what `write` hands over and sends as much as goes.
    fn poll_encrypt(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&mut rustls::Writer<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.withheld == Withheld::Nothing {
            ready!(self.poll_send(context))?;
        }
        let written = write(&mut self.session.writer())?;
        match self.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => Poll::Ready(Ok(written)),
            // What is left waits for the next write, flush or read.
            Poll::Pending => {
                self.withheld = Withheld::Nothing;
                Poll::Ready(Ok(written))
            }
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        let mut any = false;
        while buffer.remaining() > 0 {
            match this.poll_plain(context, buffer) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(_)) => any = true,
                Poll::Ready(Err(error)) if any => {
                    this.error = Some(error);
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if any => break,
                Poll::Pending => {
                    if this.withheld != Withheld::TicketsForAnswer {
                        // An error of sending shows again when something is sent or read.
                        let _ = this.poll_send(context);
                    }
                    return Poll::Pending;
                }
            }
        }
        if any && this.withheld == Withheld::Tickets {
            this.withheld = Withheld::TicketsForAnswer;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_encrypt(context, |session| session.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_encrypt(context, |session| session.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(context)
    }

    /// Sends close_notify, then the end of the stream.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            this.closed = true;
            this.session.send_close_notify();
        }
        ready!(this.poll_send(context))?;
        match ready!(Pin::new(&mut this.socket).poll_shutdown(context)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

/// The socket as rustls wants it, with `WouldBlock` for what is pending; the task is woken then.
struct Blocking<'a, 'c, 'w> {
    socket: &'a mut TcpStream,
    context: &'c mut Context<'w>,
}

fn blocking<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Blocking<'_, '_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        blocking(Pin::new(&mut *self.socket).poll_read(self.context, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Blocking<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write_vectored(self.context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
