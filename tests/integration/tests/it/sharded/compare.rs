//! The same messages to one Postgres and to a sharded cluster, and what comes back from both.

use anyhow::{Context, Result};
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Message};
use pgherd_harness::sharded::ShardedCluster;

/// A cluster, a proxy before it, and one client of each side.
pub struct Twins {
    pub cluster: ShardedCluster,
    proxy: Proxy,
    pub whole: Client,
    pub sharded: Client,
}

impl Twins {
    /// With the schema of the harness.
    pub fn start(shards: usize) -> Result<Self> {
        Self::of(ShardedCluster::start(shards)?)
    }

    pub fn of(cluster: ShardedCluster) -> Result<Self> {
        let proxy = cluster.proxy()?;
        let whole = cluster.whole()?;
        let sharded = Client::login(proxy.addr())?;
        Ok(Self { cluster, proxy, whole, sharded })
    }

    /// One more client of the cluster.
    pub fn another(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// Sends the same to both, and compares all up to so many ReadyForQuery.
    #[track_caller]
    pub fn same(&mut self, what: &str, bytes: &[u8], readies: usize) {
        let (expected, given) = self.both(bytes, readies).expect(what);
        let expected = said(&expected);
        let given = said(&given);
        assert_eq!(given, expected, "{what}");
    }

    fn both(&mut self, bytes: &[u8], readies: usize) -> Result<(Vec<Message>, Vec<Message>)> {
        self.whole.send(bytes)?;
        self.sharded.send(bytes)?;
        let expected = self.whole.until_ready(readies).context("one Postgres")?;
        let given = self.sharded.until_ready(readies).context("the cluster")?;
        Ok((expected, given))
    }

    /// A simple query.
    #[track_caller]
    pub fn same_query(&mut self, sql: &str) {
        self.same(sql, &pgherd_harness::raw::frontend::query(sql), 1);
    }

    /// A simple query that only the cluster refuses: `0A000`, and its message has this in it.
    #[track_caller]
    pub fn refuses(&mut self, sql: &str, construct: &str) {
        let messages = self.sharded.simple(sql).expect(sql);
        let error = messages.iter().find(|it| it.tag == b'E').unwrap_or_else(|| panic!("{sql}"));
        assert_eq!(error.sqlstate().as_deref(), Some("0A000"), "{sql}: {error:?}");
        let message = error.field(b'M').unwrap_or_default();
        assert!(message.contains(construct), "{sql}: {message}");
    }
}

/// What a client can tell apart: all but where in Postgres's source an error was made. Rows that
/// come in no order are put into one.
pub fn said(messages: &[Message]) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    let mut rows: Vec<String> = Vec::new();
    for message in messages {
        let text = match message.tag {
            b'E' | b'N' => {
                let fields = message.body.split(|&byte| byte == 0);
                let kept =
                    fields.filter(|it| !matches!(it.first(), None | Some(b'F' | b'L' | b'R')));
                let kept: Vec<_> = kept.map(String::from_utf8_lossy).collect();
                format!("{} {}", char::from(message.tag), kept.join(" | "))
            }
            b'T' => format!("T {:?}", String::from_utf8_lossy(&without_tables(&message.body))),
            tag => format!("{} {:?}", char::from(tag), String::from_utf8_lossy(&message.body)),
        };
        if message.tag == b'D' {
            rows.push(text);
            continue;
        }
        rows.sort();
        said.append(&mut rows);
        said.push(text);
    }
    rows.sort();
    said.append(&mut rows);
    said
}

/// A RowDescription without the OIDs of tables: another database gives others to new ones.
fn without_tables(body: &[u8]) -> Vec<u8> {
    let mut out = body.to_vec();
    let mut at = 2;
    while let Some(end) = out.get(at..).and_then(|it| it.iter().position(|&byte| byte == 0)) {
        if let Some(oid) = out.get_mut(at + end + 1..at + end + 5) {
            oid.fill(0);
        }
        at += end + 19;
    }
    out
}
