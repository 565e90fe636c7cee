//! Messages of the server: their tags, the parts that the proxy reads, and those that it writes.

use crate::cursor::Cursor;
use crate::frame;
use crate::owed::TransactionStatus;

/// Tags of the messages that a server may send.
pub mod tag {
    /// Any message of the authentication dialogue.
    pub const AUTHENTICATION: u8 = b'R';
    /// The key for cancel requests.
    pub const BACKEND_KEY_DATA: u8 = b'K';
    /// BindComplete.
    pub const BIND_COMPLETE: u8 = b'2';
    /// CloseComplete.
    pub const CLOSE_COMPLETE: u8 = b'3';
    /// CommandComplete.
    pub const COMMAND_COMPLETE: u8 = b'C';
    /// CopyBothResponse.
    pub const COPY_BOTH: u8 = b'W';
    /// Data of COPY OUT.
    pub const COPY_DATA: u8 = b'd';
    /// End of COPY OUT.
    pub const COPY_DONE: u8 = b'c';
    /// CopyInResponse.
    pub const COPY_IN: u8 = b'G';
    /// CopyOutResponse.
    pub const COPY_OUT: u8 = b'H';
    /// DataRow.
    pub const DATA_ROW: u8 = b'D';
    /// EmptyQueryResponse.
    pub const EMPTY_QUERY: u8 = b'I';
    /// ErrorResponse.
    pub const ERROR: u8 = b'E';
    /// FunctionCallResponse.
    pub const FUNCTION_CALL_RESPONSE: u8 = b'V';
    /// NegotiateProtocolVersion.
    pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
    /// NoData.
    pub const NO_DATA: u8 = b'n';
    /// NoticeResponse.
    pub const NOTICE: u8 = b'N';
    /// NotificationResponse.
    pub const NOTIFICATION: u8 = b'A';
    /// ParameterDescription.
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    /// ParameterStatus.
    pub const PARAMETER_STATUS: u8 = b'S';
    /// ParseComplete.
    pub const PARSE_COMPLETE: u8 = b'1';
    /// PortalSuspended.
    pub const PORTAL_SUSPENDED: u8 = b's';
    /// ReadyForQuery.
    pub const READY_FOR_QUERY: u8 = b'Z';
    /// RowDescription.
    pub const ROW_DESCRIPTION: u8 = b'T';
}

/// A message of the authentication dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// The client is who it says.
    Ok,
    /// The server wants the password as it is.
    Cleartext,
    /// The server wants an MD5 digest with this salt.
    Md5([u8; 4]),
    /// The server offers these SASL mechanisms, zero-terminated each, in its order.
    Sasl(&'a [u8]),
    /// The next step of SASL.
    SaslContinue(&'a [u8]),
    /// The last step of SASL.
    SaslFinal(&'a [u8]),
    /// Something that pgherd does not do (Kerberos, GSSAPI, SSPI).
    Unsupported(i32),
}

impl<'a> Authentication<'a> {
    /// Reads the body of an authentication message.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(body);
        Some(match rest.i32()? {
            0 => Self::Ok,
            3 => Self::Cleartext,
            5 => Self::Md5(rest.array()?),
            10 => Self::Sasl(rest.0),
            11 => Self::SaslContinue(rest.0),
            12 => Self::SaslFinal(rest.0),
            other => Self::Unsupported(other),
        })
    }

    /// Appends the message.
    pub fn put(&self, out: &mut Vec<u8>) {
        let (code, data): (i32, &[u8]) = match self {
            Self::Ok => (0, &[]),
            Self::Cleartext => (3, &[]),
            Self::Md5(salt) => (5, salt),
            Self::Sasl(mechanisms) => (10, mechanisms),
            Self::SaslContinue(data) => (11, data),
            Self::SaslFinal(data) => (12, data),
            Self::Unsupported(code) => (*code, &[]),
        };
        frame::put(out, tag::AUTHENTICATION, |b| {
            b.extend_from_slice(&code.to_be_bytes());
            b.extend_from_slice(data);
        });
    }
}

/// Reads a ParameterStatus: name and value.
pub fn parse_parameter_status(body: &[u8]) -> Option<(&str, &str)> {
    let mut rest = Cursor(body);
    let name = std::str::from_utf8(rest.cstr()?).ok()?;
    let value = std::str::from_utf8(rest.cstr()?).ok()?;
    Some((name, value))
}

/// Reads a BackendKeyData: process id and key (4 bytes on 3.0, up to 256 on 3.2).
pub fn parse_backend_key(body: &[u8]) -> Option<(i32, &[u8])> {
    let mut rest = Cursor(body);
    let pid = rest.i32()?;
    (4..=256).contains(&rest.0.len()).then_some((pid, rest.0))
}

/// The values of a DataRow; `None` is NULL.
pub fn parse_data_row(body: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let mut rest = Cursor(body);
    let count = u16::from_be_bytes(rest.array()?);
    (0..count)
        .map(|_| match rest.i32()? {
            -1 => Some(None),
            length => rest.bytes(usize::try_from(length).ok()?).map(Some),
        })
        .collect()
}

/// The tag of a CommandComplete, such as `INSERT 0 1`.
pub fn parse_command_tag(body: &[u8]) -> Option<&[u8]> {
    Cursor(body).cstr()
}

/// Appends a ReadyForQuery.
pub fn put_ready(out: &mut Vec<u8>, status: TransactionStatus) {
    frame::put(out, tag::READY_FOR_QUERY, |b| b.push(status.as_byte()));
}

/// Appends a ParameterStatus.
pub fn put_parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    frame::put(out, tag::PARAMETER_STATUS, |b| {
        frame::put_cstr(b, name.as_bytes());
        frame::put_cstr(b, value.as_bytes());
    });
}

/// Appends a BackendKeyData.
pub fn put_backend_key(out: &mut Vec<u8>, pid: i32, key: &[u8]) {
    frame::put(out, tag::BACKEND_KEY_DATA, |b| {
        b.extend_from_slice(&pid.to_be_bytes());
        b.extend_from_slice(key);
    });
}

/// Appends a message without a body (ParseComplete, CloseComplete, EmptyQueryResponse).
pub fn put_empty(out: &mut Vec<u8>, tag: u8) {
    frame::put(out, tag, |_| {});
}

/// Appends a CommandComplete.
pub fn put_command_complete(out: &mut Vec<u8>, tag: &str) {
    frame::put(out, tag::COMMAND_COMPLETE, |b| frame::put_cstr(b, tag.as_bytes()));
}

/// Appends a NegotiateProtocolVersion: the newest minor version spoken, and options not known.
pub fn put_negotiate_protocol_version(out: &mut Vec<u8>, version: u32, unknown: &[&str]) {
    frame::put(out, tag::NEGOTIATE_PROTOCOL_VERSION, |b| {
        b.extend_from_slice(&version.to_be_bytes());
        let count = u32::try_from(unknown.len()).expect("a startup packet is small");
        b.extend_from_slice(&count.to_be_bytes());
        for name in unknown {
            frame::put_cstr(b, name.as_bytes());
        }
    });
}

/// A column of a result that the proxy makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// OID of its type: 25 `text`, 20 `int8`, 16 `bool`, 701 `float8`.
    pub type_oid: u32,
}

/// Appends a RowDescription with every column in text format.
pub fn put_row_description(out: &mut Vec<u8>, columns: &[Column<'_>]) {
    frame::put(out, tag::ROW_DESCRIPTION, |b| {
        let count = i16::try_from(columns.len()).expect("results of the proxy are narrow");
        b.extend_from_slice(&count.to_be_bytes());
        for column in columns {
            let size: i16 = match column.type_oid {
                16 => 1,
                20 | 701 => 8,
                _ => -1,
            };
            frame::put_cstr(b, column.name.as_bytes());
            b.extend_from_slice(&0_i32.to_be_bytes());
            b.extend_from_slice(&0_i16.to_be_bytes());
            b.extend_from_slice(&column.type_oid.to_be_bytes());
            b.extend_from_slice(&size.to_be_bytes());
            b.extend_from_slice(&(-1_i32).to_be_bytes());
            b.extend_from_slice(&0_i16.to_be_bytes());
        }
    });
}

/// Appends a DataRow of text values; `None` is NULL.
pub fn put_data_row<'v>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = Option<&'v str>>) {
    frame::put(out, tag::DATA_ROW, |b| {
        let count = i16::try_from(values.len()).expect("results of the proxy are narrow");
        b.extend_from_slice(&count.to_be_bytes());
        for value in values {
            match value {
                Some(text) => {
                    let length = i32::try_from(text.len()).expect("values of the proxy are short");
                    b.extend_from_slice(&length.to_be_bytes());
                    b.extend_from_slice(text.as_bytes());
                }
                None => b.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentication_messages_survive_a_round_trip() {
        for message in [
            Authentication::Ok,
            Authentication::Cleartext,
            Authentication::Md5([1, 2, 3, 4]),
            Authentication::Sasl(b"SCRAM-SHA-256\0\0"),
            Authentication::SaslContinue(b"r=x"),
            Authentication::SaslFinal(b"v=y"),
        ] {
            let mut out = Vec::new();
            message.put(&mut out);
            assert_eq!(Authentication::parse(&out[5..]), Some(message));
        }
        assert_eq!(Authentication::parse(b"\0\0\0"), None);
        assert_eq!(Authentication::parse(b"\0\0\0\x05ab"), None);
    }

    #[test]
    fn a_data_row_is_read_back() {
        let mut out = Vec::new();
        put_data_row(&mut out, [Some("a"), None, Some("")].into_iter());
        assert_eq!(parse_data_row(&out[5..]), Some(vec![Some(&b"a"[..]), None, Some(&b""[..])]));
        assert_eq!(parse_data_row(&out[5..out.len() - 1]), None);
        assert_eq!(parse_data_row(b"\0\x01\xff\xff\xff\xf0"), None);
    }

    #[test]
    fn a_backend_key_has_four_to_256_bytes() {
        assert_eq!(parse_backend_key(b"\0\0\0\x01abc"), None);
        assert_eq!(parse_backend_key(b"\0\0\0\x01abcd"), Some((1, &b"abcd"[..])));
        assert_eq!(parse_backend_key(&[0; 300]), None);
    }
}
