//! Cancel requests: a key reaches the client that it was told to, and nobody else.

use pgherd_session::fuzzing::CancelKeys;
use pgherd_wire::startup::{self, StartupPacket, VERSION_3_0, VERSION_3_2};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut clients = CancelKeys::default();
    let count = 1 + input.below(6);
    for _ in 0..count {
        let version = if input.below(2) == 0 { VERSION_3_0 } else { VERSION_3_2 };
        clients.log_in(version, u16::from(input.byte()) * 8);
    }
    let gone = input.below(count + 1);
    let told_before = clients.told(gone);
    clients.log_out(gone);
    if let Some((pid, key)) = told_before {
        assert_eq!(clients.reached(pid, &key), None, "who has gone cannot be cancelled");
    }
    while !input.is_empty() {
        let client = input.below(count);
        let Some((pid, key)) = clients.told(client) else { continue };
        let mut packet = Vec::new();
        startup::put_cancel(&mut packet, pid, &key);
        let heard = input.alter(&packet[4..]);
        let Ok(StartupPacket::Cancel { pid: pid_heard, key: key_heard }) =
            StartupPacket::parse(&heard)
        else {
            continue;
        };
        let reached = clients.reached(pid_heard, key_heard);
        let is_the_same = pid_heard == pid && key_heard == key;
        assert_eq!(reached, is_the_same.then_some(client), "{pid:#x} and {pid_heard:#x}");
    }
}
