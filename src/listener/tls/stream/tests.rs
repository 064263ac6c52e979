use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::base::crypto;

const NAME: &str = "api.test";

fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    server.send_tls13_tickets = 1;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A client that is moved by hand, so that a test sees what arrives when.
struct Client {
    socket: TcpStream,
    session: ClientConnection,
    received: Vec<u8>,
}

impl Client {
    async fn connect(version: &'static SupportedProtocolVersion) -> (Self, Arc<ServerConfig>, TcpStream) {
        let (server, client) = configs(version);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let session = ClientConnection::new(client, ServerName::try_from(NAME).unwrap()).unwrap();
        (Self { socket, session, received: Vec::new() }, server, accepted)
    }

    fn say(&mut self, bytes: &[u8]) {
        self.session.writer().write_all(bytes).unwrap();
    }

    async fn send(&mut self) {
        let mut wire = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut wire).unwrap();
        }
        self.socket.write_all(&wire).await.unwrap();
    }

    /// Reads what is there, waiting for the first byte; `false` at the end of the stream.
    async fn receive(&mut self) -> bool {
        self.socket.readable().await.unwrap();
        let mut wire = [0; 16384];
        match self.socket.try_read(&mut wire) {
            Ok(0) => false,
            Ok(read) => {
                let mut wire = &wire[..read];
                while !wire.is_empty() {
                    self.session.read_tls(&mut wire).unwrap();
                    let state = self.session.process_new_packets().unwrap();
                    let mut plain = vec![0; state.plaintext_bytes_to_read()];
                    self.session.reader().read_exact(&mut plain).unwrap();
                    self.received.extend(plain);
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => panic!("{error}"),
        }
    }

    /// Both ends at once until the client has shaken hands; with `early`, a request goes out together with its last flight.
    async fn handshake(&mut self, early: &[u8], server: Arc<ServerConfig>, accepted: TcpStream) -> TlsStream {
        let accept = TlsStream::accept(server, accepted);
        let shake = async {
            self.send().await;
            while self.session.is_handshaking() {
                assert!(self.receive().await);
                if !self.session.is_handshaking() {
                    self.say(early);
                }
                self.send().await;
            }
        };
        tokio::join!(accept, shake).0.unwrap()
    }

    fn nothing_has_come(&self) -> bool {
        self.socket.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn receive_all(&mut self) -> &[u8] {
        while self.receive().await {}
        &self.received
    }
}

async fn read(stream: &mut TlsStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// Polls for bytes once.
async fn waits(stream: &mut TlsStream) -> bool {
    poll_fn(|context| {
        let mut room = [0; 1];
        Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut ReadBuf::new(&mut room)).is_pending())
    })
    .await
}

#[tokio::test]
async fn tickets_leave_with_the_answer_to_a_request_that_is_there_already() {
    let (mut client, server, accepted) = Client::connect(&TLS13).await;
    let mut stream = client.handshake(b"ping", server, accepted).await;
    assert_eq!(read(&mut stream, 4).await, b"ping");
    assert!(waits(&mut stream).await && client.nothing_has_come(), "an answer is to come");
    stream.write_all(b"pong").await.unwrap();
    assert!(client.receive().await);
    assert_eq!((&*client.received, client.session.tls13_tickets_received()), (&b"pong"[..], 1));
}

#[tokio::test]
async fn tickets_leave_before_a_request_is_waited_for() {
    let (mut client, server, accepted) = Client::connect(&TLS13).await;
    let mut stream = client.handshake(b"", server, accepted).await;
    assert!(client.nothing_has_come());
    assert!(waits(&mut stream).await);
    assert!(client.receive().await);
    assert_eq!(client.session.tls13_tickets_received(), 1);
}

#[tokio::test]
async fn a_flush_sends_tickets_too() {
    let (mut client, server, accepted) = Client::connect(&TLS13).await;
    let mut stream = client.handshake(b"ping", server, accepted).await;
    assert_eq!(read(&mut stream, 4).await, b"ping");
    stream.flush().await.unwrap();
    assert!(client.receive().await);
    assert_eq!(client.session.tls13_tickets_received(), 1);
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_end_is_told() {
    for version in [&TLS12, &TLS13] {
        let (mut client, server, accepted) = Client::connect(version).await;
        let mut stream = client.handshake(b"", server, accepted).await;
        client.say(b"question");
        client.session.send_close_notify();
        client.send().await;
        let mut asked = Vec::new();
        stream.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"question");
        let answered = stream.write_vectored(&[IoSlice::new(b"ans"), IoSlice::new(b"wer")]).await.unwrap();
        assert_eq!(answered, 6);
        stream.shutdown().await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(client.receive_all().await, b"answer");
        assert!(client.session.process_new_packets().unwrap().peer_has_closed(), "{version:?}");
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_every_byte_and_holds_the_writer_back() {
    let (mut client, server, accepted) = Client::connect(&TLS13).await;
    let mut stream = client.handshake(b"", server, accepted).await;
    let piece: Vec<u8> = (0..40_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let mut written = Vec::new();
    loop {
        let polled = poll_fn(|context| Poll::Ready(Pin::new(&mut stream).poll_write(context, &piece))).await;
        match polled {
            Poll::Ready(taken) => written.extend_from_slice(&piece[..taken.unwrap()]),
            Poll::Pending => break,
        }
    }
    assert!(stream.session.wants_write(), "one write waits, no more is taken");
    let (closed, _) = tokio::join!(stream.shutdown(), client.receive_all());
    closed.unwrap();
    assert!(client.received == written);
}

#[tokio::test]
async fn what_is_left_of_a_write_leaves_while_the_client_is_waited_for() {
    let (mut client, server, accepted) = Client::connect(&TLS13).await;
    let mut stream = client.handshake(b"", server, accepted).await;
    let piece = vec![7; 60_000];
    let mut written = 0;
    while !stream.session.wants_write() {
        written += stream.write(&piece).await.unwrap();
    }
    let drained = async {
        while client.received.len() < written {
            assert!(client.receive().await);
        }
        client.say(b"thanks");
        client.send().await;
    };
    let (heard, ()) = tokio::join!(read(&mut stream, 6), drained);
    assert_eq!(heard, b"thanks");
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_error_after_the_bytes_before_it() {
    let (mut client, server, accepted) = Client::connect(&TLS13).await;
    let mut stream = client.handshake(b"", server, accepted).await;
    client.say(b"half");
    client.send().await;
    drop(client);
    let mut heard = Vec::new();
    let end = stream.read_to_end(&mut heard).await.unwrap_err();
    assert_eq!((&*heard, end.kind()), (&b"half"[..], io::ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn what_is_no_handshake_is_answered_with_an_alert() {
    let (mut client, server, accepted) = Client::connect(&TLS13).await;
    client.socket.write_all(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await.unwrap();
    let refused = TlsStream::accept(server, accepted).await.unwrap_err();
    assert_eq!((refused.error.kind(), refused.for_certificate()), (io::ErrorKind::InvalidData, false));
    let mut alert = [0; 7];
    client.socket.read_exact(&mut alert).await.unwrap();
    assert_eq!((alert[0], alert[5]), (21, 2), "a fatal alert");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_handshake_is_an_end() {
    let (client, server, accepted) = Client::connect(&TLS13).await;
    drop(client);
    let refused = TlsStream::accept(server, accepted).await.unwrap_err();
    assert_eq!(refused.error.kind(), io::ErrorKind::UnexpectedEof);
}
