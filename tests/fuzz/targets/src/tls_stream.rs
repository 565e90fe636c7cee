//! The first bytes of a client that speaks TLS: however they are cut, the handshake comes to the
//! same, and nothing is read from a client that has not finished it.

use std::io;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use pgherd_config::ClientTls;
use pgherd_tls::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let width = 1 + input.below(64);
    let received = input.below(64).min(input.0.len());
    let at_once = handshake(&[], input.0, usize::MAX);
    assert_eq!(at_once, handshake(&[], input.0, width), "{width} bytes a time");
    let (before, behind) = input.0.split_at(received);
    assert_eq!(at_once, handshake(before, behind, usize::MAX), "{received} bytes before");
}

/// Whether the handshake has failed once all bytes were given; it cannot succeed, as the bytes do
/// not depend on the server's.
fn handshake(before: &[u8], behind: &[u8], width: usize) -> bool {
    let peer = Peer { bytes: behind, width };
    let mut stream = acceptor().accept(peer, before).expect("the settings are valid");
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(stream.handshake()).poll(&mut cx) {
        Poll::Pending => false,
        Poll::Ready(Err(_)) => true,
        Poll::Ready(Ok(())) => panic!("a handshake without a client"),
    }
}

fn acceptor() -> &'static Acceptor {
    static ACCEPTOR: OnceLock<Acceptor> = OnceLock::new();
    ACCEPTOR.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["db.example".to_owned()]);
        let rcgen::CertifiedKey { cert, signing_key } = made.expect("a valid name");
        let settings = ClientTls {
            cert: Some(cert.pem()),
            key: Some(signing_key.serialize_pem()),
            ..ClientTls::default()
        };
        let acceptor = Acceptor::load(&settings).expect("a valid certificate");
        acceptor.expect("TLS is on where there is a certificate")
    })
}

/// A client that sends its bytes so many a time, hears nothing, and stays.
struct Peer<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.bytes.len().min(self.width).min(buffer.remaining());
        if length == 0 {
            return Poll::Pending;
        }
        let (now, later) = self.bytes.split_at(length);
        buffer.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
