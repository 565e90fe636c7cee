//! Messages that break the protocol.

use pgherd_harness::raw::frontend::{message, parse, query, sync};

use crate::twin::script::{Row, row};

pub fn rows() -> Vec<Row> {
    vec![
        row("an unknown message type").ready([query("SELECT 1")]).closed([message(b'z', b"")]),
        row("an unknown message type as the first one").closed([message(b'\x01', b"")]),
        row("an unknown message type in a transaction")
            .ready([query("BEGIN")])
            .closed([message(b'z', b"body")]),
        row("a Sync with a body")
            .ready([query("SELECT 1")])
            .readies(2, [message(b'S', b"body"), sync()]),
        row("a query without its final zero")
            .ready([message(b'Q', b"SELECT 1")])
            .ready([query("SELECT 2")]),
        row("a query with bytes after its final zero")
            .ready([message(b'Q', b"SELECT 1\0more\0")])
            .ready([query("SELECT 2")]),
        row("an empty Parse").ready([message(b'P', b""), sync()]).ready([query("SELECT 1")]),
        row("a Parse that is cut short")
            .ready([message(b'P', b"s1\0SELECT 1\0\0"), sync()])
            .ready([query("SELECT 1")]),
        row("a Parse that counts more types than it has")
            .ready([message(b'P', b"s1\0SELECT 1\0\0\x05\0\0\0\x17"), sync()])
            .ready([parse("s1", "SELECT 1", &[]), sync()]),
        row("an empty Bind").ready([message(b'B', b""), sync()]).ready([query("SELECT 1")]),
        row("a Bind whose parameter is longer than the message")
            .ready([
                parse("", "SELECT $1::text", &[]),
                message(b'B', b"\0\0\0\0\0\x01\0\0\xff\xffab"),
                sync(),
            ])
            .ready([query("SELECT 1")]),
        row("an Execute that is cut short")
            .ready([message(b'E', b"\0\0"), sync()])
            .ready([query("SELECT 1")]),
        row("a Describe of neither statement nor portal")
            .ready([message(b'D', b"x\0"), sync()])
            .ready([query("SELECT 1")]),
        row("a Close of neither statement nor portal")
            .ready([message(b'C', b"x\0"), sync()])
            .ready([query("SELECT 1")]),
        row("an empty FunctionCall").ready([message(b'F', b"")]).ready([query("SELECT 1")]),
        row("a password message out of turn").closed([message(b'p', b"secret\0")]),
        row("a backend's message from a client").closed([message(b'T', b"\0\0")]),
        row("a query that is not UTF-8")
            .ready([message(b'Q', b"SELECT '\xff\xfe'\0")])
            .ready([query("SELECT 1")]),
    ]
}
