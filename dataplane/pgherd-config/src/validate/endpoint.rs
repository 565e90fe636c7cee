//! Rules for hosts, ports and addresses to listen on.

use std::net::Ipv6Addr;

use crate::{Instance, Listen};

use super::{Findings, rule::Rule};

/// What `sun_path` holds on Linux, without its final NUL.
const SOCKET_PATH_BYTES: usize = 107;
/// Longest DNS name.
const HOST_BYTES: usize = 253;

pub(super) fn check(instance: &Instance, pointer: &str, findings: &mut Findings) {
    findings.reject_if(instance.port == 0, format!("{pointer}/port"), Rule::PortZero);
    let host = instance.host.as_str();
    let rule = if host.is_empty() {
        Some(Rule::HostEmpty)
    } else if host.starts_with('/') {
        let bytes = format!("{host}/.s.PGSQL.{}", instance.port).len();
        let control = host.chars().any(char::is_control);
        control
            .then(|| Rule::HostMalformed { host: host.escape_debug().to_string() })
            .or((bytes > SOCKET_PATH_BYTES).then_some(Rule::SocketPathTooLong { bytes }))
    } else if is_host(host) {
        None
    } else if split(host).is_some() {
        Some(Rule::HostWithPort { host: host.to_owned() })
    } else if host.starts_with('[') {
        Some(Rule::HostInBrackets { host: host.escape_debug().to_string() })
    } else {
        Some(Rule::HostMalformed { host: host.escape_debug().to_string() })
    };
    if let Some(rule) = rule {
        findings.reject(format!("{pointer}/host"), rule);
    }
}

/// Checks where clients are accepted: `host:port`, or the directory of a Unix socket.
pub(super) fn check_listen_or_directory(listen: &str, pointer: &str, findings: &mut Findings) {
    match Listen::parse(listen) {
        Listen::Tcp(address) => check_listen(address, pointer, findings),
        Listen::Unix { directory, port } => {
            findings.reject_if(port == Some(0), pointer, Rule::PortZero);
            // A port that is not given can have five digits.
            let bytes = format!("{directory}/.s.PGSQL.{}", port.unwrap_or(u16::MAX)).len();
            let rule = Rule::SocketPathTooLong { bytes };
            findings.reject_if(bytes > SOCKET_PATH_BYTES, pointer, rule);
            let address = listen.escape_debug().to_string();
            let control = listen.chars().any(char::is_control);
            findings.reject_if(control, pointer, Rule::AddressMalformed { address });
        }
    }
}

/// Checks `host:port`, with an IPv6 address in brackets; port 0 lets the system choose.
pub(super) fn check_listen(address: &str, pointer: &str, findings: &mut Findings) {
    if split(address).is_none() {
        let address = address.escape_debug().to_string();
        findings.reject(pointer, Rule::AddressMalformed { address });
    }
}

/// Checks an address to which others connect, so that its port cannot be 0.
pub(super) fn check_advertised(address: &str, pointer: &str, findings: &mut Findings) {
    check_listen(address, pointer, findings);
    findings.reject_if(matches!(split(address), Some((_, 0))), pointer, Rule::PortZero);
}

fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    match host.strip_prefix('[') {
        Some(host) => is_ipv6(host.strip_suffix(']')?).then_some((host, port)),
        None => (is_host(host) && !host.contains(':')).then_some((host, port)),
    }
}

fn is_host(host: &str) -> bool {
    is_ipv6(host)
        || (!host.is_empty()
            && host.len() <= HOST_BYTES
            && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
            && !host.starts_with(['-', '.']))
}

fn is_ipv6(host: &str) -> bool {
    let address = host.split_once('%').map_or(host, |(address, _scope)| address);
    address.parse::<Ipv6Addr>().is_ok()
}
