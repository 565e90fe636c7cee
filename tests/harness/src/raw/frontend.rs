//! Frontend messages as bytes, right or wrong as the caller wants them.

/// A message with any tag and body.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(length(body.len()));
    bytes.extend_from_slice(body);
    bytes
}

/// A startup-like packet: no tag.
pub fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = length(body.len() + 4).to_vec();
    bytes.extend(code.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// StartupMessage; the protocol version is `major << 16 | minor`.
pub fn startup(protocol: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parameters {
        text(&mut body, name);
        text(&mut body, value);
    }
    body.push(0);
    packet(protocol, &body)
}

/// SSLRequest.
pub fn ssl_request() -> Vec<u8> {
    packet(80_877_103, &[])
}

/// GSSENCRequest.
pub fn gssenc_request() -> Vec<u8> {
    packet(80_877_104, &[])
}

/// CancelRequest for the body of a BackendKeyData.
pub fn cancel_request(key: &[u8]) -> Vec<u8> {
    packet(80_877_102, key)
}

/// Query.
pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &terminated(sql))
}

/// Parse with the OIDs of its parameters.
pub fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = terminated(name);
    text(&mut body, sql);
    body.extend(count(types.len()));
    for oid in types {
        body.extend(oid.to_be_bytes());
    }
    message(b'P', &body)
}

/// Bind with text parameters and text results.
pub fn bind(portal: &str, statement: &str, values: &[Option<&[u8]>]) -> Vec<u8> {
    bind_formats(portal, statement, values, 0, 0)
}

/// Bind with one format for all parameters and one for all results (0 text, 1 binary).
pub fn bind_formats(
    portal: &str,
    statement: &str,
    values: &[Option<&[u8]>],
    parameters: u16,
    results: u16,
) -> Vec<u8> {
    let mut body = terminated(portal);
    text(&mut body, statement);
    body.extend([1_u16.to_be_bytes(), parameters.to_be_bytes()].concat());
    body.extend(count(values.len()));
    for value in values {
        match value {
            Some(value) => {
                body.extend((value.len() as u32).to_be_bytes());
                body.extend_from_slice(value);
            }
            None => body.extend((-1_i32).to_be_bytes()),
        }
    }
    body.extend([1_u16.to_be_bytes(), results.to_be_bytes()].concat());
    message(b'B', &body)
}

/// Describe of a statement.
pub fn describe_statement(name: &str) -> Vec<u8> {
    message(b'D', &[b"S".as_slice(), &terminated(name)].concat())
}

/// Describe of a portal.
pub fn describe_portal(name: &str) -> Vec<u8> {
    message(b'D', &[b"P".as_slice(), &terminated(name)].concat())
}

/// Close of a statement.
pub fn close_statement(name: &str) -> Vec<u8> {
    message(b'C', &[b"S".as_slice(), &terminated(name)].concat())
}

/// Close of a portal.
pub fn close_portal(name: &str) -> Vec<u8> {
    message(b'C', &[b"P".as_slice(), &terminated(name)].concat())
}

/// Execute; 0 rows means all.
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    let mut body = terminated(portal);
    body.extend(rows.to_be_bytes());
    message(b'E', &body)
}

/// Sync.
pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// Flush.
pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

/// CopyData.
pub fn copy_data(data: &[u8]) -> Vec<u8> {
    message(b'd', data)
}

/// CopyDone.
pub fn copy_done() -> Vec<u8> {
    message(b'c', &[])
}

/// CopyFail.
pub fn copy_fail(reason: &str) -> Vec<u8> {
    message(b'f', &terminated(reason))
}

/// FunctionCall with text arguments and a text result.
pub fn function_call(oid: u32, arguments: &[&[u8]]) -> Vec<u8> {
    let mut body = oid.to_be_bytes().to_vec();
    body.extend([1_u16.to_be_bytes(), 0_u16.to_be_bytes()].concat());
    body.extend(count(arguments.len()));
    for argument in arguments {
        body.extend((argument.len() as u32).to_be_bytes());
        body.extend_from_slice(argument);
    }
    body.extend(0_u16.to_be_bytes());
    message(b'F', &body)
}

/// Terminate.
pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

fn terminated(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    text(&mut bytes, value);
    bytes
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(0);
}

/// Tests never come near these limits; a wrong length would fail loudly at the server.
fn length(body: usize) -> [u8; 4] {
    (body as u32 + 4).to_be_bytes()
}

fn count(items: usize) -> [u8; 2] {
    (items as u16).to_be_bytes()
}
