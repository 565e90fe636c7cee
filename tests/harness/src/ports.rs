//! Free TCP ports for servers that cannot be asked to choose one themselves.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below the kernel's ephemeral range, so that no outgoing connection takes the port meanwhile.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// Where this process goes on looking; only spreads the choices.
static OFFSET: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that nobody listens on now. Another process may still take it first, so
/// callers try again when their server cannot bind it.
pub fn free_port() -> Result<u16> {
    let start = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = OFFSET.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}
