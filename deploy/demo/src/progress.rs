//! What is being done now, and how long each step took.

use std::io::{Write, stdout};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::stop::Stop;

/// Width of the column before the duration.
const WIDTH: usize = 58;

/// Counts and prints the steps of the demo.
#[derive(Debug)]
pub struct Progress<'a> {
    stop: &'a Stop,
    steps: usize,
    done: usize,
}

// === impl Progress ===

impl<'a> Progress<'a> {
    /// For `steps` calls of [`Self::step`].
    pub fn new(stop: &'a Stop, steps: usize) -> Self {
        Self { stop, steps, done: 0 }
    }

    /// Does one step; its name is part of the error when it fails.
    pub fn step<T>(&mut self, what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.stop.requested() {
            bail!("interrupted before: {what}");
        }
        self.done += 1;
        let label = format!("[{}/{}] {what}", self.done, self.steps);
        print!("{label:<WIDTH$}");
        // Not more than a picture: nobody to tell when standard output is gone.
        let _ = stdout().flush();
        let start = Instant::now();
        let result = act().with_context(|| what.to_owned());
        match &result {
            Ok(_) => println!("{:6.1} s", start.elapsed().as_secs_f64()),
            Err(_) => println!("failed after {:.1} s", start.elapsed().as_secs_f64()),
        }
        result
    }
}
