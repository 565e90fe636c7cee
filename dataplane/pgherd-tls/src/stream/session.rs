//! One turn of rustls, for either end of a connection.

use std::ops::Deref;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    AppDataRecord, ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{CommonState, Error};
use tokio::io::ReadBuf;

/// Room for one record of our own: its content, and what encryption adds.
const RECORD_ROOM: usize = 16 * 1024 + 512;

/// Either end.
pub(super) enum Session {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What the caller wants of the session.
pub(super) enum Wish<'w, 'b> {
    /// Decrypted bytes, as they come.
    Read(&'w mut ReadBuf<'b>),
    /// These bytes, encrypted: at most one record.
    Write(&'w [u8]),
    /// A goodbye to the peer.
    Close,
}

/// What a turn has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something was done; there is more to do.
    Again,
    /// Bytes were decrypted.
    Data,
    /// What was to be encrypted is.
    Done,
    /// Nothing more can be done before more is read.
    More,
    /// The peer has said goodbye.
    Closed,
}

/// A turn's outcome, and how much of the incoming bytes it has used up.
pub(super) struct Turn {
    pub(super) discard: usize,
    pub(super) result: Result<Step, Error>,
}

impl Deref for Session {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            Self::Server(session) => session,
            Self::Client(session) => session,
        }
    }
}

impl Session {
    /// Goes on by one turn. Decrypted bytes go to the reader first, and to `plain` where it has no
    /// room or somebody else asked for the turn.
    pub(super) fn turn(
        &mut self,
        incoming: &mut [u8],
        wish: &mut Wish<'_, '_>,
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Turn {
        match self {
            Self::Server(session) => {
                act(session.process_tls_records(incoming), wish, plain, outgoing)
            }
            Self::Client(session) => {
                act(session.process_tls_records(incoming), wish, plain, outgoing)
            }
        }
    }

    /// After an error: what the peer is to be told of it, and what was said before and not sent.
    pub(super) fn take_alert(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) {
        let mut nowhere = ReadBuf::new(&mut []);
        let mut wish = Wish::Read(&mut nowhere);
        // Only as long as something is to be sent: rustls must not see the bytes that it has
        // refused a second time.
        while self.wants_write() {
            let turn = self.turn(incoming, &mut wish, &mut Vec::new(), outgoing);
            if turn.result != Ok(Step::Again) {
                return;
            }
        }
    }
}

fn act<D>(
    status: UnbufferedStatus<'_, '_, D>,
    wish: &mut Wish<'_, '_>,
    plain: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
) -> Turn {
    let mut discard = status.discard;
    let result = status.state.and_then(|state| match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let AppDataRecord { discard: more, payload, .. } = record?;
                discard += more;
                keep(payload, wish, plain);
            }
            Ok(match wish {
                Wish::Read(_) => Step::Data,
                Wish::Write(_) | Wish::Close => Step::Again,
            })
        }
        ConnectionState::EncodeTlsData(data) => encode(data, outgoing).map(|()| Step::Again),
        ConnectionState::TransmitTlsData(data) => {
            // It lies in `outgoing`, before everything that comes later.
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::BlockedHandshake => Ok(Step::More),
        ConnectionState::WriteTraffic(traffic) => grant(traffic, wish, outgoing),
        ConnectionState::PeerClosed => Ok(Step::Closed),
        ConnectionState::Closed => Err(Error::General("the connection is closed".to_owned())),
        _ => Err(Error::General("early data was never offered".to_owned())),
    });
    Turn { discard, result }
}

fn keep(payload: &[u8], wish: &mut Wish<'_, '_>, plain: &mut Vec<u8>) {
    let mut rest = payload;
    if let Wish::Read(buf) = wish
        && plain.is_empty()
    {
        let (now, later) = payload.split_at(payload.len().min(buf.remaining()));
        buf.put_slice(now);
        rest = later;
    }
    plain.extend_from_slice(rest);
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    let mut room = 0;
    loop {
        let end = outgoing.len();
        outgoing.resize(end + room, 0);
        match data.encode(&mut outgoing[end..]) {
            Ok(n) => {
                outgoing.truncate(end + n);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > room => {
                outgoing.truncate(end);
                room = needed.required_size;
            }
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}

fn grant<D>(
    mut traffic: WriteTraffic<'_, D>,
    wish: &mut Wish<'_, '_>,
    outgoing: &mut Vec<u8>,
) -> Result<Step, Error> {
    let end = outgoing.len();
    let room = match wish {
        Wish::Read(_) => return Ok(Step::More),
        Wish::Write(bytes) => bytes.len().min(RECORD_ROOM) + 512,
        Wish::Close => 512,
    };
    outgoing.resize(end + room, 0);
    let target = &mut outgoing[end..];
    let written = match wish {
        Wish::Write(bytes) => traffic.encrypt(bytes, target),
        Wish::Close | Wish::Read(_) => traffic.queue_close_notify(target),
    };
    match written {
        Ok(n) => {
            outgoing.truncate(end + n);
            Ok(Step::Done)
        }
        Err(error) => {
            outgoing.truncate(end);
            Err(match error {
                EncryptError::EncryptExhausted => Error::EncryptError,
                EncryptError::InsufficientSize(_) => Error::General(error.to_string()),
            })
        }
    }
}
