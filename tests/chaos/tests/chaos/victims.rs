//! A client that is in a known place when the fault strikes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use pgherd_harness::faults::{Armed, At, Direction, FaultProxy, Position, Scope, Set, Strike};
use pgherd_harness::raw::frontend::{bind, copy_data, copy_done, execute, parse, query, sync};

use crate::stand::{SOON, Stand, VICTIM};
use crate::workload::{Failure, Session, ask};

/// Where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its login makes a connection to the server.
    Login,
    Idle,
    Query,
    Transaction,
    Copy,
    Pipeline,
}

/// In every row that the victim asks for.
const TOKEN: &str = "victim";

impl Phase {
    /// When to strike.
    fn strike(self, writes: bool, blow: &Set) -> Option<Strike> {
        let (direction, tag, containing, position) = match self {
            Self::Idle => return None,
            Self::Login => (Direction::ToServer, 0, VICTIM, Position::After),
            Self::Query => (Direction::ToServer, b'Q', TOKEN, Position::After),
            Self::Transaction => (Direction::ToServer, b'Q', "COMMIT /* it */", Position::Before),
            Self::Copy if writes => (Direction::ToServer, b'd', "victim-10", Position::Within),
            Self::Copy => (Direction::ToClient, b'd', "victim\t2000\n", Position::Within),
            Self::Pipeline => (Direction::ToServer, b'B', "victim-5", Position::Within),
        };
        let at = At::Message { tag, containing: containing.as_bytes().to_vec() };
        let scope = Scope::All;
        Some(Strike { direction, at, position, blow: blow.clone(), scope })
    }

    /// What the victim says; all of it can be served by a replica unless it writes.
    fn act(self, session: &mut Session, writes: bool) -> Result<(), Failure> {
        let client = session.client()?;
        match (self, writes) {
            (Self::Login | Self::Idle, _) => {
                ask(client, &query("SELECT 'victim'"), 1)?;
            }
            (Self::Query, true) => {
                let sql = "WITH it AS (INSERT INTO victims VALUES ('victim') RETURNING token) \
                           SELECT token, pg_sleep(0.1) FROM it";
                ask(client, &query(sql), 1)?;
            }
            (Self::Query, false) => {
                let sql = "SELECT 'victim', count(*) FROM generate_series(1, 200000)";
                ask(client, &query(sql), 1)?;
            }
            (Self::Transaction, _) => {
                ask(client, &query(if writes { "BEGIN" } else { "BEGIN READ ONLY" }), 1)?;
                let sql = if writes { "INSERT INTO victims VALUES ('v')" } else { "SELECT 'v'" };
                ask(client, &query(sql), 1)?;
                ask(client, &query("COMMIT /* it */"), 1)?;
            }
            (Self::Copy, true) => {
                let rows = (1..=20).flat_map(|n| copy_data(format!("victim-{n}\n").as_bytes()));
                let messages = [query("COPY victims FROM STDIN"), rows.collect(), copy_done()];
                ask(client, &messages.concat(), 1)?;
            }
            (Self::Copy, false) => {
                let sql = "COPY (SELECT 'victim', n FROM generate_series(1, 4000) n) TO STDOUT";
                ask(client, &query(sql), 1)?;
            }
            (Self::Pipeline, _) => {
                let sql = if writes {
                    "INSERT INTO victims VALUES ($1) RETURNING token"
                } else {
                    "SELECT $1::text"
                };
                let one = |n: u32| {
                    let value = format!("victim-{n}");
                    let bind = bind("", "", &[Some(value.as_bytes())]);
                    [parse("", sql, &[]), bind, execute("", 0)].concat()
                };
                let messages: Vec<u8> = (1..=10).flat_map(one).collect();
                ask(client, &[messages, sync()].concat(), 1)?;
            }
        }
        Ok(())
    }
}

/// The victim, and the strikes that wait for it.
pub struct Victim {
    phase: Phase,
    writes: bool,
    session: Session,
    armed: Vec<Armed>,
}

impl Victim {
    /// Brings it to where it is at rest, and arms.
    pub fn ready(stand: &Stand, phase: Phase, writes: bool) -> Result<Self> {
        let mut session = Session::new(stand.front.addr(), Stand::victim());
        if phase != Phase::Login
            && let Err(failure) = Phase::Idle.act(&mut session, writes)
        {
            bail!("the victim cannot work before the fault: {failure}");
        }
        Ok(Self { phase, writes, session, armed: Vec::new() })
    }

    /// Acts in a thread of its own, again until the blow has fallen on one of the targets: which
    /// instance serves it is not its choice.
    pub fn strike<'a>(
        mut self,
        targets: impl IntoIterator<Item = &'a FaultProxy>,
        blow: &Set,
    ) -> Result<std::thread::JoinHandle<Result<(), Failure>>> {
        let targets: Vec<&FaultProxy> = targets.into_iter().collect();
        if let Some(strike) = self.phase.strike(self.writes, blow) {
            self.armed = targets.iter().map(|faults| faults.arm(strike.clone())).collect();
        } else {
            targets.iter().for_each(|faults| faults.apply(blow));
        }
        let armed = std::mem::take(&mut self.armed);
        let struck = Arc::new(AtomicBool::new(armed.is_empty()));
        let seen = Arc::clone(&struck);
        let thread = std::thread::spawn(move || {
            loop {
                self.phase.act(&mut self.session, self.writes)?;
                if seen.load(Ordering::Relaxed) {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        if !armed.is_empty() {
            pgherd_harness::poll::until(SOON, "the victim to come where it is struck", || {
                Ok(armed.iter().any(|armed| armed.wait(Duration::ZERO).is_ok()).then_some(()))
            })?;
        }
        struck.store(true, Ordering::Relaxed);
        // The others of the same fault.
        targets.iter().for_each(|faults| faults.apply(blow));
        Ok(thread)
    }
}
