//! A client straight on a server, which tells what the machine does to everybody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::raw::Client;
use pgherd_harness::turns::Turns;

/// On the way through a proxy so many more threads and processes have their turn.
const TURNS: u32 = 4;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// It asks the server again and again until it is asked itself.
pub struct Beside {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Duration>>,
    turns: Turns,
}

impl Beside {
    /// On a server that no fault hits.
    pub fn start(server: SocketAddr) -> Result<Self> {
        let mut client = Client::login(server)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.value("SELECT 1")?;
                longest = longest.max(begun.elapsed());
                std::thread::sleep(PAUSE);
            }
            Ok(longest)
        });
        Ok(Self { stop, thread, turns: Turns::watch() })
    }

    /// How much longer than promised things may have taken meanwhile.
    pub fn slack(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.thread.join().expect("its thread does not panic")?;
        println!("beside pgherd nobody waited longer than {longest:?}");
        // The kernel keeps some longer than others.
        Ok((longest * TURNS).max(self.turns.longest() * 2))
    }
}
