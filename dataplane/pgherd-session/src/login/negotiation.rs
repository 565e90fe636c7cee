//! What comes before the startup packet: requests for encryption, TLS, cancel requests; and what
//! of it a login must have.

use std::io;
use std::net::SocketAddr;

use pgherd_auth::scram::{self, Channel};
use pgherd_config::ClientTlsMode;
use pgherd_wire::startup::{self, StartupError, StartupPacket};

use super::{Dialogue, LoginError};
use crate::cancel;
use crate::shared::Worker;

/// The first byte of a TLS handshake, which no length of a startup packet begins with.
const TLS_HANDSHAKE: u8 = 0x16;

/// Requests that may still come. Each is answered once, as in Postgres; later it is a protocol
/// version that nobody knows.
struct Expected {
    ssl: bool,
    gss: bool,
}

/// The startup packet, behind all that may come before it. `None` when a cancel request was served
/// instead.
pub(super) async fn startup_packet(
    dialogue: &mut Dialogue<'_>,
    worker: &Worker,
) -> Result<Option<Vec<u8>>, LoginError> {
    let mut expected = Expected { ssl: true, gss: true };
    dialogue.fill().await?;
    if dialogue.buf.first() == Some(&TLS_HANDSHAKE) {
        start_directly(dialogue, worker).await?;
    }
    loop {
        let packet = dialogue.packet().await?;
        match StartupPacket::parse(&packet).map_err(LoginError::Startup)? {
            StartupPacket::Ssl => {
                expected.take_ssl()?;
                let acceptor = match dialogue.socket.is_unix() || dialogue.acceptor.is_some() {
                    true => None,
                    false => worker.shared.tls.load_full(),
                };
                dialogue.write(if acceptor.is_some() { b"S" } else { b"N" }).await?;
                // Bytes behind the request would have been meant for the encrypted stream, and
                // nobody knows who sent them (CVE-2021-23214).
                if !dialogue.buf.is_empty() {
                    return Err(LoginError::Unencrypted);
                }
                if acceptor.is_some() {
                    dialogue.acceptor = acceptor;
                    start_tls(dialogue).await?;
                    expected.gss = false;
                }
            }
            StartupPacket::GssEnc => {
                expected.take_gss()?;
                dialogue.write(b"N").await?;
                if !dialogue.buf.is_empty() {
                    return Err(LoginError::Unencrypted);
                }
            }
            StartupPacket::Cancel { pid, key } => {
                cancel::serve(&worker.shared, pid, key).await;
                return Ok(None);
            }
            StartupPacket::Startup(_) => return Ok(Some(packet)),
        }
    }
}

impl Expected {
    fn take_ssl(&mut self) -> Result<(), LoginError> {
        take(&mut self.ssl, startup::SSL_REQUEST)
    }

    fn take_gss(&mut self) -> Result<(), LoginError> {
        take(&mut self.gss, startup::GSSENC_REQUEST)
    }
}

fn take(expected: &mut bool, code: u32) -> Result<(), LoginError> {
    match std::mem::replace(expected, false) {
        true => Ok(()),
        false => Err(LoginError::Startup(StartupError::UnsupportedVersion(code))),
    }
}

/// TLS without asking first, as Postgres 17 and later take it: the client must say in ALPN that it
/// means Postgres, so that no other protocol's client can be led here.
async fn start_directly(dialogue: &mut Dialogue<'_>, worker: &Worker) -> Result<(), LoginError> {
    if !dialogue.socket.is_unix() {
        dialogue.acceptor = worker.shared.tls.load_full();
    }
    if dialogue.acceptor.is_none() {
        return Err(LoginError::NotForPostgres);
    }
    start_tls(dialogue).await?;
    let alpn = dialogue.socket.tls().and_then(|tls| tls.alpn());
    if alpn == Some(pgherd_tls::ALPN) { Ok(()) } else { Err(LoginError::NotForPostgres) }
}

/// What has been read already belongs to the handshake.
async fn start_tls(dialogue: &mut Dialogue<'_>) -> Result<(), LoginError> {
    let Some(acceptor) = dialogue.acceptor.clone() else { return Ok(()) };
    let received = std::mem::take(&mut dialogue.buf);
    let wrap = |plain| {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        acceptor.accept(plain, &received).map_err(invalid)
    };
    Box::pin(dialogue.socket.start_tls(wrap)).await.map_err(LoginError::Handshake)
}

/// What the mode of TLS asks of a client that wants to log in. A Unix socket needs nothing.
pub(super) fn check_policy(
    dialogue: &Dialogue<'_>,
    worker: &Worker,
    user: &str,
    database: &str,
    address: Option<SocketAddr>,
) -> Result<(), LoginError> {
    if dialogue.socket.is_unix() {
        return Ok(());
    }
    // The mode of now: a reload may have made it stricter while this client shook hands.
    let Some(acceptor) = worker.shared.tls.load_full() else { return Ok(()) };
    let mode = acceptor.mode();
    let Some(tls) = dialogue.socket.tls() else {
        return match mode.requires_tls() {
            false => Ok(()),
            true => Err(LoginError::EncryptionRequired {
                host: address.map(|it| it.ip().to_string()).unwrap_or_default(),
                user: user.to_owned(),
                database: database.to_owned(),
            }),
        };
    };
    if !mode.requires_certificate() {
        return Ok(());
    }
    let certificate = tls.peer_certificate().ok_or(LoginError::CertificateRequired)?;
    if mode == ClientTlsMode::VerifyFull {
        let name = pgherd_tls::common_name(certificate);
        if name.as_deref() != Some(user) {
            return Err(LoginError::CertificateName { name, user: user.to_owned() });
        }
    }
    Ok(())
}

/// The list of mechanisms for AuthenticationSASL, the best first.
pub(super) fn mechanisms(dialogue: &Dialogue<'_>) -> &'static [u8] {
    match end_point(dialogue) {
        Some(_) => b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
        None => b"SCRAM-SHA-256\0\0",
    }
}

/// What the client has made of the offer.
pub(super) fn channel(dialogue: &Dialogue<'_>, mechanism: &[u8]) -> Result<Channel, LoginError> {
    let chosen = mechanism == scram::MECHANISM_PLUS.as_bytes();
    if !chosen && mechanism != scram::MECHANISM.as_bytes() {
        return Err(LoginError::Mechanism);
    }
    match end_point(dialogue) {
        Some(end_point) => Ok(Channel::Bindable { end_point, chosen }),
        None if chosen => Err(LoginError::Mechanism),
        None => Ok(Channel::Unbound),
    }
}

/// What SCRAM is bound to: the certificate that this client was shown, also after a reload.
fn end_point(dialogue: &Dialogue<'_>) -> Option<std::sync::Arc<[u8]>> {
    dialogue.socket.tls()?;
    dialogue.acceptor.as_ref()?.end_point().cloned()
}
