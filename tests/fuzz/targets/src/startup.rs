//! What a client sends before anything else, in clear or behind a TLS handshake.

use pgherd_wire::startup::{self, MAX_PACKET_LEN, StartupPacket, VERSION_3_0, VERSION_3_2};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    options(data);
    let Ok(Some(length)) = startup::packet_len(data) else { return };
    assert!((8..=MAX_PACKET_LEN).contains(&length));
    let Some(packet) = data.get(4..length) else { return };
    let mut written = Vec::new();
    match StartupPacket::parse(packet) {
        Ok(StartupPacket::Ssl) => {
            startup::put_ssl_request(&mut written);
            assert_eq!(written, data[..length]);
        }
        Ok(StartupPacket::Cancel { pid, key }) => {
            startup::put_cancel(&mut written, pid, key);
            assert_eq!(written, data[..length]);
        }
        Ok(StartupPacket::Startup(read)) => {
            assert!((VERSION_3_0..=VERSION_3_2).contains(&read.spoken_version()));
            assert!(read.replication().is_ok() || read.param("replication").is_some());
            assert!(read.protocol_options().len() <= read.params.len());
            for (name, _) in &read.params {
                assert!(!name.is_empty() && read.param(name).is_some());
            }
            startup::put_startup(&mut written, read.params.iter().copied());
            // All but the version, which is 3.0 here.
            assert_eq!(written[8..], data[8..length]);
            assert!(StartupPacket::parse(&packet[..packet.len() - 1]).is_err(), "without a byte");
        }
        Ok(StartupPacket::GssEnc) | Err(_) => {}
    }
}

/// Settings that were read from `options` are the same when they are written anew.
fn options(data: &[u8]) {
    let text = Input(data).text();
    let Some(settings) = startup::parse_options(&text) else { return };
    let mut written = String::new();
    for (name, value) in &settings {
        written.push_str(" -c ");
        for c in format!("{name}={value}").chars() {
            if c == '\\' || c.is_ascii_whitespace() {
                written.push('\\');
            }
            written.push(c);
        }
    }
    assert_eq!(startup::parse_options(&written), Some(settings));
}
