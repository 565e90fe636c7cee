//! The packets before the first tagged message: startup, TLS and GSS requests, cancel.

use crate::cursor::Cursor;
use crate::frame;

/// The longest startup packet that Postgres takes (`MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_PACKET_LEN: usize = 10_000;

/// Protocol 3.0.
pub const VERSION_3_0: u32 = 3 << 16;

/// Protocol 3.2, which has longer cancel keys.
pub const VERSION_3_2: u32 = (3 << 16) | 2;

const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
/// The code of a request for TLS.
pub const SSL_REQUEST: u32 = (1234 << 16) | 5679;
/// The code of a request for GSSAPI encryption.
pub const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;

/// What a client opens its connection with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupPacket<'a> {
    /// Asks for TLS.
    Ssl,
    /// Asks for GSSAPI encryption.
    GssEnc,
    /// Asks for the query of another connection to be cancelled. There is no reply.
    Cancel {
        /// Process id of the BackendKeyData.
        pid: i32,
        /// Key of the BackendKeyData.
        key: &'a [u8],
    },
    /// Asks for a session.
    Startup(Startup<'a>),
}

/// The parameters of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup<'a> {
    /// Protocol version, major in the upper half.
    pub version: u32,
    /// Names and values, in the order sent.
    pub params: Vec<(&'a str, &'a str)>,
}

/// What kind of replication connection a client asks for (`replication` in the startup packet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// A stream of the whole instance: standbys, base backups, WAL archivers.
    Physical,
    /// A connection to one database, which speaks SQL too.
    Logical,
}

/// A startup packet that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// The length is outside 8 to 10,000 bytes.
    #[error("invalid length of startup packet")]
    InvalidLength(u32),
    /// Neither a protocol of version 3 nor a request known to Postgres.
    #[error("unsupported frontend protocol {}.{}: server supports 3.0 to 3.2", .0 >> 16, .0 & 0xffff)]
    UnsupportedVersion(u32),
    /// The list of parameters does not end where the packet does, or is not UTF-8.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    InvalidLayout,
    /// A cancel request of the wrong length.
    #[error("invalid length of cancel request packet")]
    InvalidCancel,
}

/// A value of the `replication` parameter that is neither a boolean nor `database`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value for parameter \"replication\": \"{0}\"")]
pub struct InvalidReplication(pub String);

/// Length of the whole packet at the start of `bytes`; `None` while its four bytes are not there.
pub fn packet_len(bytes: &[u8]) -> Result<Option<usize>, StartupError> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    match usize::try_from(length) {
        Ok(len) if (8..=MAX_PACKET_LEN).contains(&len) => Ok(Some(len)),
        _ => Err(StartupError::InvalidLength(length)),
    }
}

impl<'a> StartupPacket<'a> {
    /// Reads a packet without its length.
    pub fn parse(body: &'a [u8]) -> Result<Self, StartupError> {
        let mut rest = Cursor(body);
        let code = rest.array().map(u32::from_be_bytes).ok_or(StartupError::InvalidLayout)?;
        match code {
            SSL_REQUEST if rest.0.is_empty() => Ok(Self::Ssl),
            GSSENC_REQUEST if rest.0.is_empty() => Ok(Self::GssEnc),
            SSL_REQUEST | GSSENC_REQUEST => Err(StartupError::InvalidLayout),
            CANCEL_REQUEST => {
                let pid = rest.i32().ok_or(StartupError::InvalidCancel)?;
                if !(4..=256).contains(&rest.0.len()) {
                    return Err(StartupError::InvalidCancel);
                }
                Ok(Self::Cancel { pid, key: rest.0 })
            }
            version if version >> 16 == 3 => {
                Ok(Self::Startup(Startup { version, params: parse_params(rest.0)? }))
            }
            other => Err(StartupError::UnsupportedVersion(other)),
        }
    }
}

fn parse_params(body: &[u8]) -> Result<Vec<(&str, &str)>, StartupError> {
    let mut rest = Cursor(body);
    let mut params = Vec::new();
    loop {
        let name = rest.cstr().ok_or(StartupError::InvalidLayout)?;
        if name.is_empty() {
            break;
        }
        let value = rest.cstr().ok_or(StartupError::InvalidLayout)?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| StartupError::InvalidLayout);
        params.push((text(name)?, text(value)?));
    }
    if rest.0.is_empty() { Ok(params) } else { Err(StartupError::InvalidLayout) }
}

impl<'a> Startup<'a> {
    /// The last value of a parameter, which is the one that counts.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// Parameters that ask for a protocol extension (`_pq_.…`). pgherd knows none.
    pub fn protocol_options(&self) -> Vec<&'a str> {
        self.params.iter().map(|(n, _)| *n).filter(|n| n.starts_with("_pq_.")).collect()
    }
}

impl Startup<'_> {
    /// The protocol version that is spoken with this client: what it asks for, up to the newest.
    /// 3.1 was never defined; Postgres 18 takes it for 3.0 under another name.
    pub fn spoken_version(&self) -> u32 {
        self.version.min(VERSION_3_2)
    }

    /// What kind of replication connection is asked for, if any. The last value counts, but each
    /// must be valid, as in Postgres.
    pub fn replication(&self) -> Result<Option<Replication>, InvalidReplication> {
        let mut asked = None;
        for (_, value) in self.params.iter().filter(|(name, _)| *name == "replication") {
            asked = match *value {
                "database" => Some(Replication::Logical),
                value => match parse_bool(value) {
                    Some(true) => Some(Replication::Physical),
                    Some(false) => None,
                    None => return Err(InvalidReplication(value.to_owned())),
                },
            };
        }
        Ok(asked)
    }
}

/// Postgres's `parse_bool`: words may be cut where they stay unique, and case does not count.
fn parse_bool(value: &str) -> Option<bool> {
    let begins =
        |word: &str| word.get(..value.len()).is_some_and(|start| start.eq_ignore_ascii_case(value));
    match value.len() {
        0 => None,
        _ if begins("true") || begins("yes") || value == "1" => Some(true),
        _ if begins("false") || begins("no") || value == "0" => Some(false),
        // Of "on" and "off" the first letter is the same.
        2.. if begins("on") => Some(true),
        2.. if begins("off") => Some(false),
        _ => None,
    }
}

/// Appends a startup packet of protocol 3.0.
pub fn put_startup<'p>(out: &mut Vec<u8>, params: impl IntoIterator<Item = (&'p str, &'p str)>) {
    frame::put_untagged(out, |b| {
        b.extend_from_slice(&VERSION_3_0.to_be_bytes());
        for (name, value) in params {
            frame::put_cstr(b, name.as_bytes());
            frame::put_cstr(b, value.as_bytes());
        }
        b.push(0);
    });
}

/// Appends a request for TLS.
pub fn put_ssl_request(out: &mut Vec<u8>) {
    frame::put_untagged(out, |b| b.extend_from_slice(&SSL_REQUEST.to_be_bytes()));
}

/// Appends a cancel request.
pub fn put_cancel(out: &mut Vec<u8>, pid: i32, key: &[u8]) {
    frame::put_untagged(out, |b| {
        b.extend_from_slice(&CANCEL_REQUEST.to_be_bytes());
        b.extend_from_slice(&pid.to_be_bytes());
        b.extend_from_slice(key);
    });
}

/// Splits the `options` parameter (`-c name=value --name=value`) as Postgres does: words are
/// separated by white space, a backslash takes the next character as it is. `None` when an
/// option is something else than a setting.
pub fn parse_options(options: &str) -> Option<Vec<(String, String)>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);

    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next()?
        } else {
            word.strip_prefix("--").or_else(|| word.strip_prefix("-c"))?.to_owned()
        };
        let (name, value) = setting.split_once('=')?;
        // As Postgres's ParseLongOption: a dash in a name stands for an underscore.
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(params: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        put_startup(&mut out, params.iter().copied());
        out
    }

    #[test]
    fn a_startup_packet_survives_a_round_trip_and_no_cut() {
        let packet = startup(&[("user", "a"), ("database", "b"), ("user", "c")]);
        assert_eq!(packet_len(&packet), Ok(Some(packet.len())));
        let parsed = StartupPacket::parse(&packet[4..]).expect("well-formed");
        let StartupPacket::Startup(startup) = parsed else { panic!("not a startup: {parsed:?}") };
        assert_eq!(startup.param("user"), Some("c"));
        for cut in 4..packet.len() {
            assert!(StartupPacket::parse(&packet[4..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_read() {
        assert_eq!(packet_len(b"\0\0\0"), Ok(None));
        assert_eq!(packet_len(b"\0\0\0\x07"), Err(StartupError::InvalidLength(7)));
        assert_eq!(packet_len(b"\0\0\x27\x10"), Ok(Some(10_000)));
        assert_eq!(packet_len(b"\0\0\x27\x11"), Err(StartupError::InvalidLength(10_001)));
    }

    #[test]
    fn requests_are_told_apart() {
        let ssl = SSL_REQUEST.to_be_bytes();
        assert_eq!(StartupPacket::parse(&ssl), Ok(StartupPacket::Ssl));
        let gss = GSSENC_REQUEST.to_be_bytes();
        assert_eq!(StartupPacket::parse(&gss), Ok(StartupPacket::GssEnc));
        let mut cancel = Vec::new();
        put_cancel(&mut cancel, 7, b"abcd");
        assert_eq!(
            StartupPacket::parse(&cancel[4..]),
            Ok(StartupPacket::Cancel { pid: 7, key: b"abcd" })
        );
        assert_eq!(
            StartupPacket::parse(&(2_u32 << 16).to_be_bytes()),
            Err(StartupError::UnsupportedVersion(2 << 16))
        );
    }

    #[test]
    fn replication_is_a_boolean_or_a_word() {
        let check = |value: &str| {
            let packet = startup(&[("replication", value)]);
            match StartupPacket::parse(&packet[4..]) {
                Ok(StartupPacket::Startup(startup)) => startup.replication(),
                other => panic!("{other:?}"),
            }
        };
        for value in ["true", "t", "TRUE", "on", "oN", "yes", "y", "1"] {
            assert_eq!(check(value), Ok(Some(Replication::Physical)), "{value}");
        }
        for value in ["false", "f", "off", "of", "no", "N", "0"] {
            assert_eq!(check(value), Ok(None), "{value}");
        }
        assert_eq!(check("database"), Ok(Some(Replication::Logical)));
        for value in ["", "o", "Database", "logical", "2", "truer", "\u{e9}"] {
            assert_eq!(check(value), Err(InvalidReplication(value.to_owned())));
        }
    }

    #[test]
    fn options_are_split_as_postgres_splits_them() {
        let check = |options: &str| {
            parse_options(options).map(|settings| {
                settings.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ")
            })
        };
        assert_eq!(check("-c geqo=off -cwork_mem=1MB"), Some("geqo=off; work_mem=1MB".into()));
        assert_eq!(check("--search-path=a\\ b"), Some("search_path=a b".into()));
        assert_eq!(check("  "), Some(String::new()));
        assert_eq!(check("-c"), None);
        assert_eq!(check("-B 100"), None);
    }
}
