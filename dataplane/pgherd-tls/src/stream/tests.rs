//! A connection over pipes of every width, and what an idle one holds.

use std::future::poll_fn;
use std::pin::pin;

use pgherd_config::{ClientTls, ServerTls, ServerTlsMode};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use super::*;
use crate::{Acceptor, Connector};

type Stream = TlsStream<DuplexStream>;

fn settings() -> (ClientTls, ServerTls) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["db.example".to_owned()]).unwrap();
    let client = ClientTls {
        cert: Some(cert.pem()),
        key: Some(signing_key.serialize_pem()),
        ..ClientTls::default()
    };
    let mode = ServerTlsMode::VerifyFull;
    let server = ServerTls { mode, ca: Some(cert.pem()), ..ServerTls::default() };
    (client, server)
}

/// The ends of a connection over a pipe that holds so many bytes.
async fn connected(width: usize) -> (Stream, Stream) {
    let (client, server) = settings();
    let (here, there) = duplex(width);
    let acceptor = Acceptor::load(&client).unwrap().unwrap();
    let connector = Connector::load(&server).unwrap().unwrap();
    let mut server = acceptor.accept(there, &[]).unwrap();
    let mut client = connector.connect(here, "db.example").unwrap();
    let (one, other) = tokio::join!(client.handshake(), server.handshake());
    one.unwrap();
    other.unwrap();
    (client, server)
}

fn held(stream: &Stream) -> usize {
    stream.incoming.capacity() + stream.plain.capacity() + stream.outgoing.capacity()
}

#[tokio::test]
async fn nothing_is_lost_however_narrow_the_pipe() {
    for width in [1, 7, 100, 5_000, 1 << 20] {
        let (client, server) = connected(width).await;
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n * 7 + n / 251) as u8).collect();
        let (mut client_read, mut client_write) = split(client);
        let (mut server_read, mut server_write) = split(server);
        let mut there = vec![0; bytes.len()];
        let mut back = vec![0; bytes.len()];
        let (a, b, c, d) = tokio::join!(
            client_write.write_all(&bytes),
            server_write.write_all(&bytes),
            server_read.read_exact(&mut there),
            client_read.read_exact(&mut back),
        );
        a.and(b).unwrap();
        c.and(d).unwrap();
        assert!(there == bytes && back == bytes, "a pipe of {width} bytes");
    }
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let (mut client, mut server) = connected(1 << 20).await;
    assert_eq!((held(&client), held(&server)), (0, 0), "after the handshake");
    let mut bytes = [0; 100_000];
    client.write_all(&bytes).await.unwrap();
    server.read_exact(&mut bytes).await.unwrap();
    server.write_all(&bytes).await.unwrap();
    client.read_exact(&mut bytes).await.unwrap();
    // What a relay does: it looks again and finds nothing.
    for stream in [&mut client, &mut server] {
        let mut cx = Context::from_waker(Waker::noop());
        let mut byte = [0];
        assert!(
            Pin::new(&mut *stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
        );
        assert_eq!(held(stream), 0);
        assert!(!stream.has_received());
    }
}

#[tokio::test]
async fn decrypted_bytes_that_wait_are_seen() {
    let (mut client, mut server) = connected(1 << 20).await;
    client.write_all(b"abc").await.unwrap();
    client.write_all(b"def").await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        let mut byte = [0];
        assert_eq!(server.read(&mut byte).await.unwrap(), 1);
        seen.push(byte[0]);
        assert_eq!(server.has_received(), seen.len() < 6, "after {seen:?}");
    }
    assert_eq!(seen, b"abcdef");
}

#[tokio::test]
async fn a_write_is_reported_only_when_all_of_it_is_below() {
    let (mut client, mut server) = connected(4096).await;
    let bytes = [7; 10_000];
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut client).poll_write(&mut cx, &bytes).is_pending());
    // Fewer bytes than were taken: the rule is broken.
    let short = Pin::new(&mut client).poll_write(&mut cx, &bytes[..9_999]);
    assert!(matches!(short, Poll::Ready(Err(_))));
    let mut there = vec![0; bytes.len()];
    let (written, read) = tokio::join!(
        poll_fn(|cx| {
            let slices = [IoSlice::new(&bytes), IoSlice::new(&bytes)];
            Pin::new(&mut client).poll_write_vectored(cx, &slices)
        }),
        server.read_exact(&mut there),
    );
    assert_eq!(written.unwrap(), bytes.len());
    read.unwrap();
    assert_eq!(there, bytes);
}

#[tokio::test]
async fn slices_go_as_one_record() {
    let (mut client, mut server) = connected(1 << 20).await;
    let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
    let written = poll_fn(|cx| Pin::new(&mut client).poll_write_vectored(cx, &slices)).await;
    assert_eq!(written.unwrap(), 4);
    let mut buf = [0; 64];
    assert_eq!(server.read(&mut buf).await.unwrap(), 4);
    assert_eq!(&buf[..4], b"abcd");
}

#[tokio::test]
async fn a_goodbye_is_an_end_and_so_is_a_drop() {
    let (mut client, mut server) = connected(1 << 20).await;
    client.write_all(b"last").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"last");
    assert!(server.has_received(), "the end is something to be read");
    // Its own direction is still open.
    server.write_all(b"reply").await.unwrap();
    drop(server);
    assert!(client.write_all(b"more").await.is_err());

    let (client, mut server) = connected(1 << 20).await;
    drop(client);
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_handshake_ends_it_with_an_alert() {
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 4, 1, 0, 0, 0], &[0xff; 70_000]]
    {
        let (client, _) = settings();
        let (mut here, there) = duplex(1 << 20);
        let mut server = Acceptor::load(&client).unwrap().unwrap().accept(there, &[]).unwrap();
        here.write_all(garbage).await.unwrap();
        let error = server.handshake().await.expect_err("garbage is no handshake");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        // Nothing can be written any more, encrypted or not.
        assert!(server.write_all(b"secret").await.is_err());
        drop(server);
        let mut answer = Vec::new();
        here.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
    }
}

/// The alert is encrypted already, and stands behind the server's first words.
#[tokio::test]
async fn the_client_learns_why_its_handshake_has_failed() {
    let (client, server) = settings();
    let (here, there) = duplex(1 << 20);
    let mut server_end = Acceptor::load(&client).unwrap().unwrap().accept(there, &[]).unwrap();
    let mut connector = Connector::load(&server).unwrap().unwrap();
    connector.say_in_alpn(b"h2");
    let mut client_end = connector.connect(here, "db.example").unwrap();
    let (refused, _) = tokio::join!(client_end.handshake(), async {
        let result = server_end.handshake().await;
        drop(server_end);
        result.expect_err("no protocol in common")
    });
    let error = refused.expect_err("no protocol in common").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn nothing_can_be_read_or_written_before_the_handshake() {
    let (client, _) = settings();
    let (_here, there) = duplex(1 << 20);
    let mut server = Acceptor::load(&client).unwrap().unwrap().accept(there, b"").unwrap();
    assert!(server.write_all(b"x").await.is_err());
    assert!(server.read(&mut [0]).await.is_err());
    assert!(server.info().is_none());
}

#[tokio::test]
async fn a_handshake_that_is_dropped_goes_on_where_it_stood() {
    let (client, server) = settings();
    let (here, there) = duplex(300);
    let mut server_end = Acceptor::load(&client).unwrap().unwrap().accept(there, &[]).unwrap();
    let mut client_end =
        Connector::load(&server).unwrap().unwrap().connect(here, "db.example").unwrap();
    let mut polls = 0;
    let (mut one, mut other) = (false, false);
    while !(one && other) {
        // Each future lives for one poll.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = pin!(client_end.handshake()).poll(&mut cx) {
            done.unwrap();
            one = true;
        }
        if let Poll::Ready(done) = pin!(server_end.handshake()).poll(&mut cx) {
            done.unwrap();
            other = true;
        }
        polls += 1;
        assert!(polls < 1_000, "the handshake does not end");
        tokio::task::yield_now().await;
    }
    assert!(polls > 3, "{polls}");
    assert_eq!(client_end.alpn(), Some(crate::ALPN));
    assert_eq!(server_end.info(), client_end.info());
    assert!(server_end.info().unwrap().to_string().starts_with("TLSv1.3/TLS_"));
}

#[tokio::test]
async fn another_host_or_another_certificate_is_refused() {
    let (client, _) = settings();
    let (_, other) = settings();
    let attempt = async |tls: &ServerTls, host: &str| {
        let (here, there) = duplex(1 << 20);
        let mut server = Acceptor::load(&client).unwrap().unwrap().accept(there, &[]).unwrap();
        let mut stream = Connector::load(tls).unwrap().unwrap().connect(here, host).unwrap();
        let (result, _) = tokio::join!(
            async {
                let result = stream.handshake().await;
                drop(stream);
                result
            },
            server.handshake()
        );
        result.map_err(|error| error.to_string())
    };
    let same = |mode| ServerTls { mode, ca: client.cert.clone(), ..ServerTls::default() };
    attempt(&same(ServerTlsMode::VerifyFull), "db.example").await.unwrap();
    attempt(&same(ServerTlsMode::VerifyCa), "other.example").await.unwrap();
    let named = attempt(&same(ServerTlsMode::VerifyFull), "other.example").await.unwrap_err();
    assert!(named.contains("db.example"), "{named}");
    let signed = attempt(&other, "db.example").await.unwrap_err();
    assert!(signed.contains("certificate"), "{signed}");
    let anyone = ServerTls { mode: ServerTlsMode::Require, ..ServerTls::default() };
    attempt(&anyone, "no such name, but who cares").await.unwrap();
}
