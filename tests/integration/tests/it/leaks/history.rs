//! A history: the steps of two clients in one order.

use std::fmt;

use pgherd_harness::raw::frontend::{
    bind, close_statement, describe_portal, describe_statement, execute, parse, query, sync,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::construct::Construct;
use super::grammar::{self, Writer};

/// One of the two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    One,
    Two,
}

/// What a client does, and all of it answered by one ReadyForQuery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A simple query.
    Simple(String),
    /// Parse, Bind, Describe, Execute for each statement, one Sync.
    Batch(Vec<String>),
    /// Parse of a statement, the unnamed one with an empty name.
    Parse { name: String, sql: String },
    /// Bind, Describe, Execute.
    Run(String),
    /// Describe of a statement.
    Describe(String),
    /// Close of a statement.
    Close(String),
    /// Looks at the whole state in the simple protocol, or with a named statement.
    Probe { simple: bool },
    /// Leaves and comes again with these startup parameters; `Terminate` is said when `polite`.
    Reconnect { polite: bool, startup: Vec<(String, String)> },
}

/// What both do.
#[derive(Clone, Debug)]
pub struct History {
    pub superuser: bool,
    /// Startup parameters.
    pub startup: [Vec<(String, String)>; 2],
    pub steps: Vec<(Who, Step)>,
}

// === impl Who ===

impl Who {
    pub const BOTH: [Self; 2] = [Self::One, Self::Two];

    pub fn index(self) -> usize {
        self as usize
    }
}

// === impl Step ===

impl Step {
    /// What is sent; nothing for a new connection.
    pub fn bytes(&self) -> Vec<u8> {
        let run = |name: &str| [bind("", name, &[]), describe_portal(""), execute("", 0)].concat();
        match self {
            Self::Simple(sql) => query(sql),
            Self::Batch(statements) => {
                let mut bytes = Vec::new();
                for sql in statements {
                    bytes.extend(parse("", sql, &[]));
                    bytes.extend(run(""));
                }
                bytes.extend(sync());
                bytes
            }
            Self::Parse { name, sql } => [parse(name, sql, &[]), sync()].concat(),
            Self::Run(name) => [run(name), sync()].concat(),
            Self::Describe(name) => [describe_statement(name), sync()].concat(),
            Self::Close(name) => [close_statement(name), sync()].concat(),
            Self::Probe { simple: true } => query(&grammar::probe()),
            Self::Probe { simple: false } => [
                parse("probe", &grammar::probe(), &[]),
                run("probe"),
                close_statement("probe"),
                sync(),
            ]
            .concat(),
            Self::Reconnect { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(sql) => write!(f, "query    {sql}"),
            Self::Batch(statements) => write!(f, "batch    {}", statements.join(" | ")),
            Self::Parse { name, sql } => write!(f, "parse    {name:?} {sql}"),
            Self::Run(name) => write!(f, "run      {name:?}"),
            Self::Describe(name) => write!(f, "describe {name:?}"),
            Self::Close(name) => write!(f, "close    {name:?}"),
            Self::Probe { simple } => {
                write!(f, "probe    {}", if *simple { "(query)" } else { "(statement)" })
            }
            Self::Reconnect { polite, startup } => {
                let way = if *polite { "leaves" } else { "vanishes" };
                write!(f, "{way} and comes back with {startup:?}")
            }
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.superuser {
            writeln!(f, "  as superuser")?;
        }
        for who in Who::BOTH {
            let startup = &self.startup[who.index()];
            if !startup.is_empty() {
                writeln!(f, "  {who:?} starts with {startup:?}")?;
            }
        }
        self.steps
            .iter()
            .enumerate()
            .try_for_each(|(number, (who, step))| writeln!(f, "  {number:3} {who:?}: {step}"))
    }
}

/// The history of a seed, out of these constructs.
pub fn history(seed: u64, constructs: &[Construct]) -> History {
    let mut rng = StdRng::seed_from_u64(seed);
    let has = |construct| constructs.contains(&construct);
    let superuser = has(Construct::Superuser) && rng.random_ratio(1, 4);
    let reconnects = has(Construct::Reconnects);
    let begins = |rng: &mut StdRng| match rng.random_range(0..10) {
        0..5 if has(Construct::Startup) => grammar::startup(rng),
        6 if has(Construct::StartupText) => grammar::startup_text(),
        5 if has(Construct::StartupRole) => grammar::startup_role(),
        _ => Vec::new(),
    };
    // Few kinds in one history, so that what they do to each other happens.
    let kinds: Vec<Construct> = constructs
        .iter()
        .copied()
        .filter(|kind| {
            use Construct::{Reconnects, Startup, StartupRole, StartupText, Superuser};
            !matches!(kind, Startup | StartupRole | StartupText | Reconnects | Superuser)
        })
        .collect();
    let count = rng.random_range(2..=5).min(kinds.len());
    let chosen: Vec<Construct> = kinds.sample(&mut rng, count).copied().collect();
    let mut writers = Who::BOTH.map(|who| Writer::new(who, superuser, &chosen));
    let mut steps = Vec::new();
    let mut who = Who::One;
    let startup = [(); 2].map(|()| begins(&mut rng));
    for _ in 0..rng.random_range(8..40) {
        if rng.random_ratio(1, 2) {
            who = if who == Who::One { Who::Two } else { Who::One };
        }
        let writer = &mut writers[who.index()];
        let step = match rng.random_range(0..20) {
            0 if reconnects => {
                writer.reconnected();
                Step::Reconnect { polite: rng.random_ratio(1, 2), startup: begins(&mut rng) }
            }
            1..8 => Step::Probe { simple: rng.random_ratio(1, 3) },
            _ => writer.step(&mut rng),
        };
        steps.push((who, step));
    }
    for who in Who::BOTH {
        steps.push((who, Step::Probe { simple: true }));
    }
    History { superuser, startup, steps }
}
