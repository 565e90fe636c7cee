//! Cuts a stream into messages, at once and as the bytes come.

use pgherd_wire::frame::{FrameError, HEADER_LEN, Header};

/// Tags and bodies, and what ended them: an error, or a message that is not there as a whole.
type Messages = (Vec<(u8, Vec<u8>)>, Option<FrameError>);

/// The messages of a stream, which are the same wherever it was cut on its way.
pub(crate) fn messages(stream: &[u8]) -> Messages {
    let whole = cut(stream, [stream].into_iter());
    assert_eq!(whole, cut(stream, stream.chunks(1)), "byte by byte");
    let middle = stream.len() / 2;
    assert_eq!(whole, cut(stream, [&stream[..middle], &stream[middle..]].into_iter()), "in halves");
    whole
}

fn cut<'a>(stream: &[u8], pieces: impl Iterator<Item = &'a [u8]>) -> Messages {
    let (mut messages, mut buffer, mut taken) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match Header::peek(&buffer) {
                Err(error) => return (messages, Some(error)),
                Ok(Some(header)) if header.total_len() <= buffer.len() => {
                    let message: Vec<u8> = buffer.drain(..header.total_len()).collect();
                    assert_eq!(message, stream[taken..taken + message.len()]);
                    assert_eq!(message[0], header.tag);
                    taken += message.len();
                    messages.push((header.tag, message[HEADER_LEN..].to_vec()));
                }
                Ok(_) => break,
            }
        }
    }
    (messages, None)
}
