//! Makes a failing history shorter by leaving steps out, as long as it still fails.

use anyhow::Result;

use super::history::History;
use super::stand::Stand;

/// The shortest history found and how it fails.
pub fn shrink(
    stand: &mut Stand,
    mut history: History,
    mut difference: String,
) -> Result<(History, String)> {
    let mut try_it = |candidate: &History| stand.difference(candidate);
    // First halves, then ever smaller runs of steps, until no single one can go.
    let mut length = (history.steps.len() / 2).max(1);
    loop {
        let mut start = 0;
        let mut removed = false;
        while start < history.steps.len() {
            let mut candidate = history.clone();
            let end = (start + length).min(candidate.steps.len());
            candidate.steps.drain(start..end);
            match try_it(&candidate)? {
                Some(other) => {
                    (history, difference, removed) = (candidate, other, true);
                }
                None => start += length,
            }
        }
        if length == 1 && !removed {
            break;
        }
        length = (length / 2).max(1);
    }
    for who in 0..history.startup.len() {
        let mut candidate = history.clone();
        candidate.startup[who].clear();
        if let Some(other) = try_it(&candidate)? {
            (history, difference) = (candidate, other);
        }
    }
    Ok((history, difference))
}
