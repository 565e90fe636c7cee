//! A server's messages.

use pgherd_wire::backend::{self, Authentication, tag};
use pgherd_wire::description;
use pgherd_wire::frame::{self, HEADER_LEN};
use pgherd_wire::{ErrorResponse, TransactionStatus, frontend};

use crate::framing::messages;

pub(crate) fn run(data: &[u8]) {
    for (tag, body) in messages(data).0 {
        message(tag, &body);
    }
}

fn message(tag: u8, body: &[u8]) {
    let mut written = Vec::new();
    match tag {
        tag::AUTHENTICATION => {
            let Some(read) = Authentication::parse(body) else { return };
            read.put(&mut written);
            assert_eq!(Authentication::parse(&written[HEADER_LEN..]), Some(read));
        }
        tag::PARAMETER_STATUS => {
            let Some((name, value)) = backend::parse_parameter_status(body) else { return };
            backend::put_parameter_status(&mut written, name, value);
            assert!(body.starts_with(&written[HEADER_LEN..]));
        }
        tag::BACKEND_KEY_DATA => {
            let Some((pid, key)) = backend::parse_backend_key(body) else { return };
            backend::put_backend_key(&mut written, pid, key);
            assert_eq!(written[HEADER_LEN..], *body);
        }
        tag::DATA_ROW => data_row(body),
        tag::COMMAND_COMPLETE => {
            let Some(command) = backend::parse_command_tag(body) else { return };
            frame::put(&mut written, tag, |out| frame::put_cstr(out, command));
            assert!(body.starts_with(&written[HEADER_LEN..]));
        }
        tag::ROW_DESCRIPTION => {
            let Some(row_type) = description::row_type(body) else { return };
            assert!(row_type.len() <= body.len());
            assert_eq!(description::row_type(&body[..body.len() - 1]), None, "without a byte");
        }
        tag::PARAMETER_DESCRIPTION => {
            let definition = description::with_parameters(b"SELECT $1", body);
            assert_eq!(frontend::definition_text(&definition), b"SELECT $1");
        }
        tag::READY_FOR_QUERY => {
            let status = body.first().and_then(|&byte| TransactionStatus::from_byte(byte));
            let byte = status.map(TransactionStatus::as_byte);
            assert!(byte.is_none() || byte == body.first().copied());
        }
        tag::ERROR => {
            ErrorResponse::error("XX000", String::from_utf8_lossy(body)).put(&mut written);
            assert_eq!(messages(&written).0.len(), 1);
        }
        _ => {}
    }
}

fn data_row(body: &[u8]) {
    let Some(values) = backend::parse_data_row(body) else { return };
    let mut rebuilt = body[..2].to_vec();
    for value in &values {
        let length = value.map_or(-1, |it| i32::try_from(it.len()).expect("it was read as one"));
        rebuilt.extend_from_slice(&length.to_be_bytes());
        rebuilt.extend_from_slice(value.unwrap_or_default());
    }
    assert!(body.starts_with(&rebuilt));
    let texts: Option<Vec<Option<&str>>> =
        values.iter().map(|it| it.map(std::str::from_utf8).transpose().ok()).collect();
    if let Some(texts) = texts.filter(|it| i16::try_from(it.len()).is_ok()) {
        let mut written = Vec::new();
        backend::put_data_row(&mut written, texts.into_iter());
        assert_eq!(written[HEADER_LEN..], rebuilt);
    }
}
