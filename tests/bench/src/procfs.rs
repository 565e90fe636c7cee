//! What the kernel tells about a process: CPU time and memory.

use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of all threads of a process so far, user and system, in steps of a clock tick.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("{path} is not understood: {stat}"))?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_micros(ticks * 1_000_000 / per_second))
}

/// Memory of a process in bytes, what it shares with others counted in proportion (PSS).
pub fn proportional_memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    pss(&text).with_context(|| format!("{path} has no Pss line"))
}

/// What a process has now is the most that it has had from now on; clear_refs in proc(5).
pub fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
}

/// The most memory that a process has had at a time since [`forget_peak`], in bytes.
pub fn peak_memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(line.with_context(|| format!("{path} has no VmHWM line"))? * 1024)
}

/// Fields 14 and 15 of proc(5); the name in field 2 may contain spaces and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn pss(smaps_rollup: &str) -> Option<u64> {
    let line = smaps_rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 120 34 0 0 20 0 3 0 99";
        assert_eq!(cpu_ticks(stat), Some(154));
        assert_eq!(cpu_ticks("nonsense"), None);
    }

    #[test]
    fn pss_is_the_line_of_that_very_name() {
        let text = "Rss:   100 kB\nPss:    42 kB\nPss_Dirty:   7 kB\n";
        assert_eq!(pss(text), Some(42 * 1024));
    }

    #[test]
    fn our_own_process_can_be_read() {
        let pid = std::process::id();
        assert!(proportional_memory(pid).unwrap() > 0);
        cpu_time(pid).unwrap();
    }
}
