//! Ports that are easy to remember when they are free, and any other when not.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Result;
use pgherd_harness::ports::free_port;

/// `wanted` if nobody listens there, else a free one. Somebody may still take it before its
/// server does; the server then says so.
pub fn prefer(wanted: u16) -> Result<u16> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)) {
        Ok(_) => Ok(wanted),
        Err(_) => free_port(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(prefer(port).unwrap(), port);
        drop(taken);
        assert_eq!(prefer(port).unwrap(), port);
    }
}
