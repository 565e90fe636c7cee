//! Random scripts of messages, cut at a random byte.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use pgherd_harness::raw::Client;
use pgherd_harness::raw::frontend::{
    bind, close_statement, copy_data, copy_done, describe_portal, describe_statement, execute,
    flush, parse, query, sync,
};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Beyond this length the proxy passes a message on before all of it has come.
const AWAITED: usize = 8 * 1024;
/// How long a client that reads listens before it goes on.
const LISTEN: Duration = Duration::from_millis(3);

/// What a client sends before it vanishes.
#[derive(Debug)]
pub struct Script {
    /// Whole messages, each with a name to print.
    messages: Vec<(String, Vec<u8>)>,
    /// So many bytes of them are sent.
    cut: usize,
    /// Whether it reads between the messages.
    reads: bool,
    /// Part of a message may have been passed on: then the server connection is beyond help.
    pub may_cost_connection: bool,
}

// === impl Script ===

impl Script {
    /// Whether it ends in the middle of a message, so that anything more would belong to it.
    pub fn ends_in_message(&self) -> bool {
        let mut end = 0;
        let mut ends = self.messages.iter().map(|(_, message)| {
            end += message.len();
            end
        });
        self.cut > 0 && !ends.any(|end| end == self.cut)
    }

    /// Whether it asks for something that takes forever.
    pub fn sleeps(&self) -> bool {
        self.messages.iter().any(|(name, _)| name == "sleep")
    }

    /// Sends it up to the cut.
    pub fn play(&self, client: &mut Client) -> Result<()> {
        let mut left = self.cut;
        let mut sent = Vec::new();
        for (_, message) in &self.messages {
            let part = &message[..message.len().min(left)];
            left -= part.len();
            sent.extend_from_slice(part);
            if self.reads {
                // The proxy may have hung up already, after something that it does not take.
                if client.send(&std::mem::take(&mut sent)).is_err() {
                    return Ok(());
                }
                client.drain(LISTEN)?;
            }
        }
        // Somebody who does not read blocks in the end; what fits is enough.
        client.send_some(&sent).map(drop)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.cut;
        for (name, message) in &self.messages {
            let sent = message.len().min(left);
            left -= sent;
            writeln!(f, "    {sent:6} of {:6} bytes: {name}", message.len())?;
        }
        writeln!(f, "    reads: {}", self.reads)
    }
}

/// A random script.
pub fn script(rng: &mut StdRng) -> Script {
    let mut messages = Vec::new();
    for _ in 0..rng.random_range(1..6) {
        let last = add_fragment(rng, &mut messages);
        if last {
            break;
        }
    }
    let total: usize = messages.iter().map(|(_, message)| message.len()).sum();
    let mut ends = vec![0];
    for (_, message) in &messages {
        ends.push(ends.last().copied().unwrap_or_default() + message.len());
    }
    // Large messages would otherwise take all the cuts.
    let cut = match rng.random_range(0..3) {
        0 => ends.choose(rng).copied().unwrap_or_default(),
        1 => {
            let end = ends.choose(rng).copied().unwrap_or_default();
            (end + rng.random_range(0..12)).min(total)
        }
        _ => rng.random_range(0..=total),
    };
    // Whoever closes with replies unread resets the connection: the rest of what was sent may be lost.
    let mut begun = ends.windows(2).filter(|ends| ends[0] < cut);
    let large = begun.any(|ends| ends[1] - ends[0] > AWAITED);
    // What ends a batch is no message that may stand in a COPY: when it turns out too late that one
    // has begun, Postgres hangs up.
    let copy = messages.iter().any(|(name, _)| name == "copy in by batch");
    let may_cost_connection = copy || large;
    Script { messages, cut, reads: rng.random_ratio(1, 2), may_cost_connection }
}

/// Adds messages that belong together; `true` when nothing may follow them.
fn add_fragment(rng: &mut StdRng, messages: &mut Vec<(String, Vec<u8>)>) -> bool {
    let mut add = |name: &str, message: Vec<u8>| messages.push((name.to_owned(), message));
    match rng.random_range(0..12) {
        0 => add("query", query("SELECT 1")),
        1 => {
            add("begin", query("BEGIN"));
            add("insert", query("INSERT INTO t VALUES (1)"));
        }
        2 => {
            let end = rng.random_range(0..3);
            add("parse", parse("", "INSERT INTO u VALUES ($1)", &[23]));
            add("describe statement", describe_statement(""));
            add("bind", bind("", "", &[Some(b"7")]));
            add("describe portal", describe_portal(""));
            add("execute", execute("", 0));
            match end {
                0 => add("flush", flush()),
                1 => add("sync", sync()),
                _ => {}
            }
        }
        3 => {
            let name = ["s1", "s2"].choose(rng).copied().unwrap_or_default();
            add("parse named", parse(name, "SELECT $1::int", &[]));
            add("bind named", bind("", name, &[Some(b"7")]));
            add("execute", execute("", 1));
            add("sync", sync());
            add("close named", close_statement(name));
            add("sync", sync());
        }
        4 => {
            // Only in a transaction, so that it is undone in any case.
            add("begin", query("BEGIN"));
            add("copy in", query("COPY t FROM STDIN"));
            add_copy(rng, &mut add, Vec::new());
            return true;
        }
        5 => {
            add("begin", query("BEGIN"));
            let batch = [parse("", "COPY t FROM STDIN", &[]), bind("", "", &[]), execute("", 0)];
            add("copy in by batch", batch.concat());
            add_copy(rng, &mut add, sync());
            return true;
        }
        6 => add("sleep", query("SELECT pg_sleep(600)")),
        7 => add("large reply", query("SELECT repeat('x', 9000) FROM generate_series(1, 900)")),
        8 => add("large query", query(&format!("SELECT 1 /* {} */", "y".repeat(60_000)))),
        9 => {
            let sql = [
                "SET work_mem = '9MB'",
                "CREATE TEMP TABLE IF NOT EXISTS mine (n int)",
                "LISTEN here",
                "SELECT pg_advisory_lock(5)",
                "SET application_name = 'vanished'",
                "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
            ];
            let sql = sql.choose(rng).copied().unwrap_or_default();
            add(sql, query(sql));
        }
        10 => add("error", query("SELECT 1/0")),
        _ => add("copy out", query("COPY (SELECT generate_series(1, 90000)) TO STDOUT")),
    }
    false
}

fn add_copy(rng: &mut StdRng, add: &mut impl FnMut(&str, Vec<u8>), end: Vec<u8>) {
    for _ in 0..rng.random_range(0..4) {
        let lines = if rng.random_ratio(1, 4) { 20_000 } else { 3 };
        add("copy data", copy_data("1\n".repeat(lines).as_bytes()));
    }
    if rng.random_ratio(1, 2) {
        add("copy done", copy_done());
        if !end.is_empty() {
            add("sync", end);
        }
    }
}
