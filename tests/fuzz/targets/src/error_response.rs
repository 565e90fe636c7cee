//! A server's errors: what is read of them, and what the client is told where the proxy has
//! exchanged names in the text that they are about.

use bytes::Bytes;
use pgherd_pool::{Exchanged, SqlUse, SqlVerb};
use pgherd_session::fuzzing::with_names_of_client;
use pgherd_wire::error_response::ServerError;
use pgherd_wire::frame::HEADER_LEN;
use pgherd_wire::{ErrorResponse, Severity};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let exchanged: Vec<SqlUse> = (0..input.below(4)).map(|_| exchanged(&mut input)).collect();
    let body = input.0;

    let read = ServerError::parse(body);
    let mut told = if read.is_fatal() {
        ErrorResponse::fatal(&read.code, read.message.clone())
    } else {
        ErrorResponse::error(&read.code, read.message.clone())
    };
    told.detail = read.detail.clone().map(Into::into);
    told.hint = read.hint.clone().map(Into::into);
    assert!(read.is_fatal() || matches!(told.severity, Severity::Error));
    let mut written = Vec::new();
    told.put(&mut written);
    let severity = if read.is_fatal() { "FATAL" } else { "ERROR" }.to_owned();
    assert_eq!(ServerError::parse(&written[HEADER_LEN..]), ServerError { severity, ..read });

    match with_names_of_client(body, &exchanged) {
        None => assert!(exchanged.iter().all(|it| it.exchanged.is_none())),
        Some(told) => {
            let zeros = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == 0).count();
            assert_eq!(zeros(&told), zeros(body), "it has as many fields");
        }
    }
}

fn exchanged(input: &mut Input<'_>) -> SqlUse {
    let exchanged = (input.below(4) > 0).then(|| Exchanged {
        at: input.below(100) + 1,
        written: input.below(64),
        put: input.below(64),
        server_name: Bytes::from(format!("pgherd_{}", input.below(20))),
    });
    let name = Bytes::copy_from_slice(input.until(0));
    SqlUse { verb: SqlVerb::Execute, name, at: 0..0, exchanged }
}
