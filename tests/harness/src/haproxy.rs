//! HAProxy in TCP mode, the load balancer in front of a fleet.

use std::fmt::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::binaries::of_machine;
use crate::ports::free_port;
use crate::process::Process;
use crate::scratch::Scratch;

const START: Duration = Duration::from_secs(10);
const PORT_ATTEMPTS: usize = 5;

/// Where connections are sent.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// The server.
    pub addr: SocketAddr,
    /// Where `/readyz` answers 200 while the server takes clients; without it, a connect decides.
    pub ready: Option<SocketAddr>,
}

impl From<SocketAddr> for Backend {
    fn from(addr: SocketAddr) -> Self {
        Self { addr, ready: None }
    }
}

/// A running HAProxy; dropping it ends it.
#[derive(Debug)]
pub struct HaProxy {
    process: Process,
    addr: SocketAddr,
    _scratch: Scratch,
}

impl HaProxy {
    /// Starts one on a free port.
    pub fn start(backends: &[Backend]) -> Result<Self> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::start_at(SocketAddr::from(([127, 0, 0, 1], free_port()?)), backends) {
                Ok(started) => return Ok(started),
                Err(error) if attempt == PORT_ATTEMPTS => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Starts one on a given address.
    pub fn start_at(addr: SocketAddr, backends: &[Backend]) -> Result<Self> {
        let program = of_machine("haproxy")
            .context("HAProxy is missing (Debian: apt-get install haproxy)")?;
        let scratch = Scratch::new("haproxy")?;
        let config = scratch.write("haproxy.cfg", &config(addr, backends))?;
        let arguments = ["-db", "-f", &config.display().to_string()].map(str::to_owned);
        let log = scratch.path().join("haproxy.log");
        let mut process = Process::spawn("haproxy", &program, &arguments, log)?;
        process.wait_until(START, "listening", |_| Ok(TcpStream::connect(addr).ok().map(drop)))?;
        Ok(Self { process, addr, _scratch: scratch })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it printed.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn config(addr: SocketAddr, backends: &[Backend]) -> String {
    let mut text = format!(
        "global\n  # maxconn follows from the limit of file descriptors\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
         timeout client 1h\n  timeout server 1h\n  timeout check 2s\n  option clitcpka\n  \
         option redispatch 1\n\
         listen pgherd\n  bind {addr}\n  balance roundrobin\n"
    );
    let checked = backends.iter().any(|backend| backend.ready.is_some());
    if checked {
        text.push_str("  option httpchk GET /readyz\n");
    }
    for (number, Backend { addr, ready }) in backends.iter().enumerate() {
        let check = match ready {
            Some(ready) => {
                format!("check addr {} port {} inter 200ms fall 2 rise 1", ready.ip(), ready.port())
            }
            None => String::new(),
        };
        writeln!(text, "  server s{number} {addr} {check}").expect("a String takes everything");
    }
    text
}
