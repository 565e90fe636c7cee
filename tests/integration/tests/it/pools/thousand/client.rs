//! One of the clients: works for a while, vanishes somewhere, comes again.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::raw::frontend::{
    bind, copy_data, copy_done, execute, flush, parse, query, sync,
};
use pgherd_harness::raw::{Client, Login, Message};

use super::random::Random;

/// Longer than a client ever waits for its turn.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a client has done at one go, perhaps with two rows that have these numbers.
#[derive(Debug)]
pub struct Act {
    pub client: u64,
    pub number: u64,
    /// The client has gone in the middle of it.
    pub vanished: bool,
    /// Enough was sent for it to be committed.
    pub may_commit: bool,
}

impl Act {
    /// Whether the client knows that its rows are there.
    pub fn is_committed(&self) -> bool {
        self.may_commit && !self.vanished
    }
}

/// Logs in and waits for the others; works, vanishes, and comes again, until the time is up.
pub fn run(
    addr: SocketAddr,
    id: u64,
    mut random: Random,
    all_there: &Barrier,
    storm: Duration,
) -> Result<Vec<Act>> {
    let mut acts = Vec::new();
    let first = log_in(addr);
    all_there.wait();
    let mut client = first?;
    let until = Instant::now() + storm;
    loop {
        while Instant::now() < until {
            let number = acts.len() as u64;
            let round = Round::new(&mut random, id, number);
            if random.one_in(6) {
                let cut = round.cut(&mut random);
                let bytes = round.bytes();
                client.send(&bytes[..cut])?;
                // Some read a part of the answer, some nothing.
                if random.one_in(2) {
                    client.drain(Duration::from_millis(random.below(30) as u64))?;
                }
                let may_commit = round.writes && cut >= round.committed_at;
                acts.push(Act { client: id, number, vanished: true, may_commit });
                break;
            }
            round.run(&mut client).with_context(|| format!("client {id}"))?;
            acts.push(Act { client: id, number, vanished: false, may_commit: round.writes });
        }
        match random.below(3) {
            0 => client.reset()?,
            1 => drop(client),
            // One that says goodbye, perhaps in the middle of what it was sending.
            _ => client.send(&pgherd_harness::raw::frontend::terminate())?,
        }
        if Instant::now() >= until {
            return Ok(acts);
        }
        client = log_in(addr)?;
    }
}

fn log_in(addr: SocketAddr) -> Result<Client> {
    let mut client = Client::connect(addr)?;
    client.set_deadline(DEADLINE);
    let welcome = client.try_login(&Login::default())?;
    ensure!(welcome.last().is_some_and(|it| it.tag == b'Z'), "no login: {welcome:?}");
    Ok(client)
}

/// What a client does at one go.
struct Round {
    /// Each is sent when all before is answered.
    steps: Vec<(Vec<Vec<u8>>, usize)>,
    /// The value that the answer must contain.
    value: String,
    /// It ends with two rows that are committed.
    writes: bool,
    /// Bytes after which they may be.
    committed_at: usize,
}

impl Round {
    fn new(random: &mut Random, id: u64, number: u64) -> Self {
        let value = format!("{id}-{number}");
        let insert = format!("INSERT INTO w VALUES ({id}, {number}) RETURNING '{value}'");
        let select = format!("SELECT '{value}'");
        let once = |messages: Vec<Vec<u8>>, readies| vec![(messages, readies)];
        let run = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)];
        let kind = random.below(8);
        let steps = match kind {
            0 => once(vec![query(&select)], 1),
            1 => once([&run(&select)[..], &[sync()]].concat(), 1),
            // A named statement, in a pipeline of several batches.
            2 => {
                let sql = format!("SELECT $1 || '-{number}'");
                let own = id.to_string();
                let values = [Some(own.as_bytes())];
                let use_it = [bind("", "s", &values), execute("", 0), sync()].concat();
                let close = pgherd_harness::raw::frontend::close_statement("s");
                let define = [parse("s", &sql, &[25]), sync()].concat();
                once(vec![define, use_it.clone(), use_it, [close, sync()].concat()], 4)
            }
            3 => once(vec![query(&format!("SELECT '{value}' FROM pg_sleep(0.02)"))], 1),
            4 => once(vec![query(&format!("{select} UNION ALL SELECT repeat('x', 30000)"))], 1),
            5 => vec![
                (vec![query("BEGIN")], 1),
                (vec![query(&insert)], 1),
                (vec![query(&insert)], 1),
                (vec![query("COMMIT")], 1),
            ],
            6 => once([&run(&insert)[..], &[flush()], &run(&insert)[..], &[sync()]].concat(), 1),
            _ => vec![
                (vec![query("BEGIN"), query(&insert)], 2),
                (
                    vec![
                        query("COPY w FROM STDIN"),
                        copy_data(format!("{id}\t").as_bytes()),
                        copy_data(format!("{number}\n").as_bytes()),
                        copy_done(),
                    ],
                    1,
                ),
                (vec![query("COMMIT")], 1),
            ],
        };
        let writes = kind >= 5;
        let total: usize = steps.iter().flat_map(|(messages, _)| messages).map(Vec::len).sum();
        // The last message is what commits.
        Self { steps, value, writes, committed_at: total }
    }

    fn bytes(&self) -> Vec<u8> {
        self.steps.iter().flat_map(|(messages, _)| messages.concat()).collect()
    }

    /// Where it is cut off: between two messages, or inside one.
    fn cut(&self, random: &mut Random) -> usize {
        let bytes = self.bytes().len();
        if random.one_in(2) {
            return random.below(bytes + 1);
        }
        let mut ends = vec![0];
        for message in self.steps.iter().flat_map(|(messages, _)| messages) {
            ends.push(ends.last().copied().unwrap_or(0) + message.len());
        }
        ends[random.below(ends.len())]
    }

    /// Does it all and looks at the answers: they are this client's, and no error is among them.
    fn run(&self, client: &mut Client) -> Result<()> {
        let mut answers = Vec::new();
        for (messages, readies) in &self.steps {
            client.send(&messages.concat())?;
            let answer = client.until_ready(*readies)?;
            let error = answer.iter().find(|message| message.tag == b'E');
            ensure!(error.is_none(), "{}: {error:?}", self.value);
            answers.extend(answer);
        }
        let values: Vec<&[u8]> = answers
            .iter()
            .filter_map(Message::data_row)
            .filter_map(|row| row.first().copied().flatten())
            .filter(|value| !value.starts_with(b"x"))
            .collect();
        let own = values.iter().filter(|value| **value == self.value.as_bytes()).count();
        ensure!(own > 0 && own == values.len(), "{}: foreign values {values:?}", self.value);
        Ok(())
    }
}
