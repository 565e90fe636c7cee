//! Where a message begins and ends: one tag byte and a length that counts itself.

/// Bytes before the body: the tag and the length.
pub const HEADER_LEN: usize = 5;

/// The longest body that Postgres itself takes or sends (`MaxAllocSize`, 1 GiB less one byte).
pub const MAX_BODY_LEN: usize = 0x3fff_ffff;

/// Tag and length of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What kind of message it is.
    pub tag: u8,
    /// Length of what follows the header.
    pub body_len: usize,
}

/// A header that no peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length does not even cover itself.
    #[error("message of type {tag:#04x} has the impossible length {length}")]
    TooShort {
        /// Tag of the message.
        tag: u8,
        /// The length as sent.
        length: u32,
    },
    /// The length is more than Postgres would take.
    #[error("message of type {tag:#04x} is {length} bytes long")]
    TooLong {
        /// Tag of the message.
        tag: u8,
        /// The length as sent.
        length: u32,
    },
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while fewer than five bytes are there.
    #[inline]
    pub fn peek(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        if length < 4 {
            return Err(FrameError::TooShort { tag, length });
        }
        let body_len = length as usize - 4;
        if body_len > MAX_BODY_LEN {
            return Err(FrameError::TooLong { tag, length });
        }
        Ok(Some(Self { tag, body_len }))
    }

    /// Length of the whole message.
    #[inline]
    pub fn total_len(self) -> usize {
        HEADER_LEN + self.body_len
    }
}

/// Writes one message: the tag, a length filled in afterwards, and the body that `body` appends.
pub fn put(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    put_untagged(out, body);
}

/// Writes a message without a tag, as startup packets are.
pub fn put_untagged(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - at).expect("what the proxy writes itself is small");
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a zero-terminated string. What stands behind a zero byte is left out.
pub fn put_cstr(out: &mut Vec<u8>, text: &[u8]) {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    out.extend_from_slice(&text[..end]);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_needs_five_bytes_and_a_sane_length() {
        assert_eq!(Header::peek(b"Q\0\0\0"), Ok(None));
        assert_eq!(Header::peek(b"Q\0\0\0\x05x"), Ok(Some(Header { tag: b'Q', body_len: 1 })));
        assert_eq!(
            Header::peek(b"Q\0\0\0\x03"),
            Err(FrameError::TooShort { tag: b'Q', length: 3 })
        );
        assert_eq!(
            Header::peek(b"Q\xff\0\0\x03"),
            Err(FrameError::TooLong { tag: b'Q', length: 0xff00_0003 })
        );
    }

    #[test]
    fn what_is_put_can_be_peeked() {
        let mut out = Vec::new();
        put(&mut out, b'S', |b| put_cstr(b, b"abc\0def"));
        assert_eq!(out, b"S\0\0\0\x08abc\0");
        assert_eq!(Header::peek(&out), Ok(Some(Header { tag: b'S', body_len: 4 })));
    }
}
