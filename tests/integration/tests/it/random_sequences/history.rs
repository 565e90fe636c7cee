//! Random sequences of frontend messages of two clients, which can be made shorter.

use std::fmt;

use pgherd_harness::raw::frontend;

/// OID of `abs(int4)`.
const INT4ABS: u32 = 1397;
/// OID of `int4div`.
const INT4DIV: u32 = 154;
/// So few names that they meet: two namespaces, and one that the proxy uses itself.
const NAMES: [&str; 4] = ["", "a", "b", "pgherd_2"];
const PORTALS: [&str; 3] = ["", "p", "a"];

/// What statements there are. `{}` is a number, so that texts are shared by some and not by all.
const TEXTS: [&str; 15] = [
    "SELECT $1::int + {}",
    "SELECT 'x{}' || $1",
    "SELECT n FROM generate_series(1, 4) n WHERE n <> $1::int",
    "SELECT 1 / $1::int",
    "SELECT n, $1::text FROM generate_series(1, 3) n",
    "INSERT INTO sink SELECT $1::int RETURNING n",
    "SELEC",
    "",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "SELECT nothing FROM nowhere WHERE $1 = 1",
    "SELECT {} AS one; SELECT 2",
];

/// Simple queries without SQL-level prepared statements.
const QUERIES: [&str; 10] = [
    "SELECT 1",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1; SELECT 1/0",
    "",
    "SELECT 1; BEGIN; SELECT 2",
    "SELEC",
    "SAVEPOINT s",
    "ROLLBACK TO s",
];

/// What SQL can do to prepared statements.
const SQL_LEVEL: [&str; 14] = [
    "PREPARE a AS SELECT $1::int + 7",
    "PREPARE b(text) AS SELECT 'sql' || $1",
    "EXECUTE a(1)",
    "EXECUTE b('2')",
    "EXECUTE \"a\" (3); SELECT 1",
    "DEALLOCATE a",
    "DEALLOCATE PREPARE b",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "BEGIN; EXECUTE a(4)",
    "SELECT 1; DEALLOCATE a; SELECT 2",
    "DEALLOCATE a; PREPARE a AS SELECT $1::int + 8",
    "EXPLAIN (COSTS off) EXECUTE a(5)",
    "EXECUTE a(1); EXECUTE b(2); DEALLOCATE a; DEALLOCATE b",
];

/// One message, with what the oracle must know of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    what: String,
}

/// What answers a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of these, or an error.
    Extended(&'static [u8]),
    Sync,
    /// Up to ReadyForQuery.
    Query,
    /// Nothing.
    Flush,
    CopyData {
        good: bool,
    },
    CopyDone,
    CopyFail,
}

/// What one client sends in one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub client: usize,
    pub items: Vec<Item>,
}

/// What may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The protocol's own statements alone.
    Protocol,
    /// SQL-level PREPARE, EXECUTE, DEALLOCATE and DISCARD as well.
    SqlLevel,
    /// COPY as well.
    Copy,
}

/// Numbers that a seed decides.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// A history from a seed.
pub fn generate(seed: u64, flavour: Flavour) -> Vec<Step> {
    let mut random = Random(seed);
    let count = 4 + random.below(12);
    (0..count).map(|_| step(&mut random, flavour)).collect()
}

fn step(random: &mut Random, flavour: Flavour) -> Step {
    let client = random.below(2);
    let mut items = Vec::new();
    for _ in 0..random.below(7) {
        push_some(&mut items, random, flavour);
    }
    items.push(match random.below(8) {
        0 => flush(),
        1 => simple(random, flavour),
        _ => sync(),
    });
    Step { client, items }
}

fn push_some(items: &mut Vec<Item>, random: &mut Random, flavour: Flavour) {
    let name = random.of(&NAMES);
    let portal = random.of(&PORTALS);
    match random.below(if flavour == Flavour::Copy { 27 } else { 22 }) {
        0..5 => items.push(parse(name, &text(random, name, flavour))),
        5 | 6 => {
            items.extend([
                parse(name, &text(random, name, flavour)),
                bind(portal, name, random),
                execute(portal, 0),
            ]);
        }
        7..10 => items.push(bind(portal, name, random)),
        10..13 => {
            let rows = random.below(3) as u32;
            items.extend([bind(portal, name, random), execute(portal, rows)]);
        }
        13 => items.push(execute(portal, random.below(3) as u32)),
        14 | 15 => items.push(describe(b'S', name)),
        16 => items.push(describe(b'P', portal)),
        17 => items.push(close(b'S', name)),
        18 => items.push(close(b'P', portal)),
        19 => items.push(if random.below(3) == 0 { flush() } else { sync() }),
        20 => items.push(simple(random, flavour)),
        21 => items.push(function_call(random)),
        _ => copy(items, random),
    }
}

fn text(random: &mut Random, name: &str, flavour: Flavour) -> String {
    // In the text of a named statement the proxy exchanges no names.
    if flavour == Flavour::SqlLevel && name.is_empty() && random.below(4) == 0 {
        return random.of(&SQL_LEVEL).to_owned();
    }
    let number = random.below(3).to_string();
    // Those that do something are more interesting than those that fail at once.
    let which = if random.below(3) > 0 { random.below(6) } else { random.below(TEXTS.len()) };
    TEXTS[which].replace("{}", &number)
}

/// A whole COPY, or what would be one if the statement came so far.
fn copy(items: &mut Vec<Item>, random: &mut Random) {
    let sql = "COPY sink FROM STDIN";
    if random.below(3) == 0 {
        items.push(item(Kind::Query, frontend::query(sql), format!("Query {sql:?}")));
    } else {
        items.extend([parse("", sql), item_bind("", "", None), execute("", 0)]);
    }
    for _ in 0..random.below(5) {
        items.push(match random.below(6) {
            0 => sync(),
            1 => flush(),
            2 => {
                item(Kind::CopyData { good: false }, frontend::copy_data(b"bad\n"), "CopyData bad")
            }
            _ => item(Kind::CopyData { good: true }, frontend::copy_data(b"5\n"), "CopyData"),
        });
    }
    items.push(if random.below(3) == 0 {
        item(Kind::CopyFail, frontend::copy_fail("enough"), "CopyFail")
    } else {
        item(Kind::CopyDone, frontend::copy_done(), "CopyDone")
    });
}

// === items ===

fn item(kind: Kind, bytes: Vec<u8>, what: impl Into<String>) -> Item {
    Item { kind, bytes, what: what.into() }
}

pub fn sync() -> Item {
    item(Kind::Sync, frontend::sync(), "Sync")
}

fn flush() -> Item {
    item(Kind::Flush, frontend::flush(), "Flush")
}

pub fn query(sql: &str) -> Item {
    item(Kind::Query, frontend::query(sql), format!("Query {sql:?}"))
}

fn simple(random: &mut Random, flavour: Flavour) -> Item {
    if flavour == Flavour::SqlLevel && random.below(2) == 0 {
        query(random.of(&SQL_LEVEL))
    } else {
        query(random.of(&QUERIES))
    }
}

fn parse(name: &str, sql: &str) -> Item {
    item(Kind::Extended(b"1"), frontend::parse(name, sql, &[]), format!("Parse {name:?} {sql:?}"))
}

fn bind(portal: &str, name: &str, random: &mut Random) -> Item {
    // Statements without parameters want none, and some values are none for a number.
    let value = match random.below(8) {
        0 => None,
        1 => Some("0"),
        2 => Some("word"),
        _ => Some("2"),
    };
    item_bind(portal, name, value)
}

fn item_bind(portal: &str, name: &str, value: Option<&str>) -> Item {
    let values: Vec<Option<&[u8]>> = value.iter().map(|value| Some(value.as_bytes())).collect();
    let bytes = frontend::bind(portal, name, &values);
    item(Kind::Extended(b"2"), bytes, format!("Bind {portal:?} {name:?} {value:?}"))
}

fn execute(portal: &str, rows: u32) -> Item {
    let bytes = frontend::execute(portal, rows);
    item(Kind::Extended(b"CIs"), bytes, format!("Execute {portal:?} {rows}"))
}

fn describe(target: u8, name: &str) -> Item {
    let bytes = if target == b'S' {
        frontend::describe_statement(name)
    } else {
        frontend::describe_portal(name)
    };
    item(Kind::Extended(b"Tn"), bytes, format!("Describe {} {name:?}", target.escape_ascii()))
}

fn close(target: u8, name: &str) -> Item {
    let bytes =
        if target == b'S' { frontend::close_statement(name) } else { frontend::close_portal(name) };
    item(Kind::Extended(b"3"), bytes, format!("Close {} {name:?}", target.escape_ascii()))
}

fn function_call(random: &mut Random) -> Item {
    if random.below(2) == 0 {
        item(Kind::Query, frontend::function_call(INT4ABS, &[b"-42"]), "FunctionCall abs")
    } else {
        item(Kind::Query, frontend::function_call(INT4DIV, &[b"1", b"0"]), "FunctionCall 1/0")
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Every history that is this one with something left out: whole steps first, then messages.
pub fn shorter(history: &[Step]) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    for at in 0..history.len() {
        let mut less = history.to_vec();
        less.remove(at);
        all.push(less);
    }
    for (at, step) in history.iter().enumerate() {
        for item in 0..step.items.len() {
            let mut less = history.to_vec();
            less[at].items.remove(item);
            // Nothing else makes the server answer.
            let last = less[at].items.last().map(|item| item.kind);
            if !matches!(last, Some(Kind::Sync | Kind::Flush | Kind::Query)) {
                continue;
            }
            all.push(less);
        }
    }
    all
}
