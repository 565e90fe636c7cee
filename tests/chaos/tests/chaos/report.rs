//! What the clients saw of a fault, and whether they may.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pgherd_harness::raw::Client;

use crate::workload::{Done, Failure, Operation, Workload};

/// On a machine that is shared, what is promised may take so many times longer as a client waits
/// that has nothing to do with pgherd: on the way through the proxies so many more have their turn.
const TURNS: u32 = 4;
/// How long it may take until everyone works again before the case is given up.
const GIVE_UP: Duration = Duration::from_secs(40);
/// So many operations of each client after the fault say that it is over.
const AFTERWARDS: usize = 4;

/// What clients of one sort may see.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Failed operations of each client.
    pub failures: usize,
    /// The longest operation.
    pub stall: Duration,
}

/// What a case promises.
#[derive(Clone, Copy, Debug)]
pub struct May {
    pub reads: Limits,
    pub writes: Limits,
    /// What failures may say, beside `08006` (the server connection broke).
    pub codes: &'static [&'static str],
    /// No read fails that another instance could have answered instead.
    pub retried: bool,
    /// When everyone is served again after the end of the fault.
    pub back: Duration,
}

impl May {
    /// Nothing is told but `08006`, and everyone is served within a second of the fault's end.
    pub fn see(reads: Limits, writes: Limits) -> Self {
        Self { reads, writes, codes: &[], retried: false, back: Duration::from_secs(1) }
    }
}

/// What was seen of one sort.
#[derive(Debug, Default)]
struct Seen {
    done: usize,
    /// How often, and what the first one was.
    codes: BTreeMap<String, (usize, String)>,
    by_client: BTreeMap<u64, usize>,
    longest: Duration,
}

/// What was seen of all.
struct Report {
    reads: Seen,
    writes: Seen,
    back: Duration,
    late: usize,
}

impl Seen {
    fn of<'a>(operations: impl Iterator<Item = &'a Operation>, warm: Instant) -> Self {
        let mut seen = Self::default();
        for operation in operations {
            if operation.ended > warm {
                seen.longest = seen.longest.max(operation.took());
            }
            match &operation.failure {
                None => seen.done += 1,
                Some(failure) => {
                    let first = || (0, format!("{operation:?}"));
                    seen.codes.entry(failure.code().to_owned()).or_insert_with(first).0 += 1;
                    *seen.by_client.entry(operation.client).or_default() += 1;
                }
            }
        }
        seen
    }

    fn failures(&self) -> usize {
        self.codes.values().map(|(count, _)| count).sum()
    }

    fn check(&self, limits: Limits, codes: &[&str], slack: Duration) -> Vec<String> {
        let mut wrong = Vec::new();
        let most = self.by_client.values().max().copied().unwrap_or(0);
        if most > limits.failures {
            let may = limits.failures;
            wrong.push(format!("a client had {most} failures and may have {may}"));
            wrong.extend(self.codes.values().map(|(_, first)| format!("one was {first}")));
        }
        if self.longest > limits.stall + slack {
            let may = limits.stall;
            wrong.push(format!("one took {:?} and may take {may:?} and {slack:?}", self.longest));
        }
        for (code, (_, first)) in &self.codes {
            if code != "08006" && !codes.contains(&code.as_str()) {
                wrong.push(format!("a client was told {code}: {first}"));
            }
        }
        wrong
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} done, {} failed", self.done, self.failures())?;
        for (code, (count, _)) in &self.codes {
            write!(f, " ({code} {count})")?;
        }
        write!(f, ", longest {:?}", rounded(self.longest))
    }
}

fn rounded(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis().try_into().unwrap_or(u64::MAX))
}

/// How much longer than promised things may take where a client beside pgherd waited so long.
pub fn slack(noise: Duration) -> Duration {
    noise * TURNS
}

/// Waits until everyone works again after `healed`, ends the clients, and judges. The last argument
/// looks at what is committed. Gives what the clients did.
pub fn judge(
    workload: Workload,
    healed: Instant,
    may: May,
    auditor: impl FnOnce() -> Result<Client>,
) -> Result<Vec<Operation>> {
    let back = workload.wait_done_since(healed, AFTERWARDS, GIVE_UP)?;
    let Done { operations, books, warm, noise } = workload.stop()?;
    let slack = slack(noise);
    let settled = healed + back.max(may.back);
    let late = |it: &&Operation| it.failure.is_some() && it.begun > settled;
    let report = Report {
        reads: Seen::of(operations.iter().filter(|it| it.kind.is_read()), warm),
        writes: Seen::of(operations.iter().filter(|it| !it.kind.is_read()), warm),
        back,
        late: operations.iter().filter(late).count(),
    };
    println!("  reads:  {}", report.reads);
    println!("  writes: {}", report.writes);
    println!("  all served again {:?} after the end", rounded(report.back));
    println!("  beside pgherd nobody waited longer than {:?}", rounded(noise));
    for operation in &operations {
        if let Some(Failure::Wrong(what)) = &operation.failure {
            anyhow::bail!("{:?}: {what}", operation.kind);
        }
    }
    let audit = books.audit(&mut auditor()?)?;
    println!("  books:  {audit:?}");
    let mut wrong = report.reads.check(may.reads, may.codes, slack);
    wrong.iter_mut().for_each(|text| text.insert_str(0, "reads: "));
    let writes = report.writes.check(may.writes, may.codes, slack);
    wrong.extend(writes.iter().map(|text| format!("writes: {text}")));
    if report.back > may.back + slack {
        wrong.push(format!("everyone was served again only after {:?}", report.back));
    }
    let lost = operations.iter().find(|it| it.could_be_retried());
    if let (true, Some(lost)) = (may.retried, lost) {
        wrong.push(format!("a read was not sent to another instance: {lost:?}"));
    }
    if report.late > 0 {
        wrong.push(format!("{} failures when it should have been over", report.late));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(operations)
}
