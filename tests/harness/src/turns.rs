//! How long the threads of a test, and of everything that it has started, waited for a processor.
//!
//! On a machine that is shared, one backend of Postgres may stand in the kernel's queue for most of
//! a second while its neighbours run: what waits for its answer is not slow by a fault of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// How often new threads and processes are looked for.
const SEARCH: Duration = Duration::from_millis(200);

/// Watches until it is asked.
#[derive(Debug)]
pub struct Turns {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Turns {
    /// Watches this process and all that descend from it.
    pub fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, thread: std::thread::spawn(move || look(&stopped)) }
    }

    /// The longest that one of them has waited; nothing where the kernel does not say.
    pub fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.thread.join().unwrap_or_default();
        println!("no thread waited for a processor longer than {longest:?}");
        longest
    }
}

fn look(stopped: &AtomicBool) -> Duration {
    let (mut known, mut longest) = (HashMap::<PathBuf, Duration>::new(), Duration::ZERO);
    let mut searched = None;
    while !stopped.load(Ordering::Relaxed) {
        if searched.is_none_or(|at: Instant| at.elapsed() > SEARCH) {
            searched = Some(Instant::now());
            let mut found = Vec::new();
            search(std::process::id(), &mut found);
            for path in found {
                if !known.contains_key(&path)
                    && let Some(waited) = waited(&path)
                {
                    known.insert(path, waited);
                }
            }
        }
        // The kernel counts a wait when it is over.
        known.retain(|path, before| {
            let Some(now) = waited(path) else { return false };
            longest = longest.max(now.saturating_sub(*before));
            *before = now;
            true
        });
        std::thread::sleep(PAUSE);
    }
    longest
}

/// The threads of a process and of its descendants.
fn search(process: u32, found: &mut Vec<PathBuf>) {
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten()
    {
        let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.push(thread.path().join("schedstat"));
        children.split_whitespace().flat_map(str::parse).for_each(|child| search(child, found));
    }
}

/// How long a thread has waited so far: the second of the numbers, in nanoseconds.
fn waited(path: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(path).ok()?;
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_children_are_found() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let mut found = Vec::new();
        search(std::process::id(), &mut found);
        let of_child = format!("/proc/{0}/task/{0}/schedstat", child.id());
        assert!(found.iter().any(|path| path.as_os_str() == &*of_child), "{found:?}");
        assert!(found.len() >= 2, "{found:?}");
        child.kill().expect("it lives");
        child.wait().expect("it ends");
    }
}
