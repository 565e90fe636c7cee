//! Checks what a proxy says of itself and turns messages into what is kept.

use chrono::{DateTime, Utc};
use pgherd_proto::v1;
use pgherd_store::{NackRecord, ProxyHello};

use crate::status::{InstanceHealth, PoolStatistics, Statistics};

/// Longest id, version, label and the like; they end up in the database and on the page.
const MAX_TEXT: usize = 200;
const MAX_LABELS: usize = 32;
/// Longest text of a refusal or of a health report that is kept.
const MAX_MESSAGE: usize = 2_000;

/// Why a greeting cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHello {
    /// A name is missing.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A name is too long.
    #[error("{0} is longer than {MAX_TEXT} bytes")]
    TooLong(&'static str),
    /// A line break, a NUL or the like.
    #[error("{0} has control characters")]
    Control(&'static str),
    /// Too many labels.
    #[error("there are more than {MAX_LABELS} labels")]
    TooManyLabels,
}

/// Checks a greeting.
pub fn hello(hello: &v1::Hello) -> Result<ProxyHello, BadHello> {
    let checked = |name, text: &str| match text {
        _ if text.len() > MAX_TEXT => Err(BadHello::TooLong(name)),
        _ if text.contains(char::is_control) => Err(BadHello::Control(name)),
        _ => Ok(text.to_owned()),
    };
    let present = |name, text: &str| {
        if text.is_empty() { Err(BadHello::Empty(name)) } else { checked(name, text) }
    };
    if hello.labels.len() > MAX_LABELS {
        return Err(BadHello::TooManyLabels);
    }
    let mut labels = std::collections::BTreeMap::new();
    for (key, value) in &hello.labels {
        labels.insert(present("the name of a label", key)?, checked("a label", value)?);
    }
    let address = checked("the advertised address", &hello.advertise_address)?;
    Ok(ProxyHello {
        id: present("the proxy's id", &hello.proxy_id)?,
        incarnation: present("the incarnation", &hello.incarnation)?,
        version: checked("the version", &hello.version)?,
        labels,
        address: (!address.is_empty()).then_some(address),
    })
}

/// What is kept of a refusal.
pub fn nack(nack: &v1::Nack, at: DateTime<Utc>) -> NackRecord {
    NackRecord {
        generation: nack.snapshot.as_ref().map_or(0, |id| id.generation),
        code: shortened(&nack.code),
        pointer: shortened(&nack.pointer),
        message: shortened(&nack.message),
        retriable: nack.retriable,
        at,
    }
}

/// What is kept of a proxy's numbers.
pub fn statistics(from: v1::Statistics, at: DateTime<Utc>) -> Statistics {
    let pool = |pool: v1::PoolStatistics| PoolStatistics {
        cluster: pool.cluster,
        user: pool.user,
        shard: pool.shard,
        instance: pool.instance,
        active: pool.active,
        idle: pool.idle,
        waiting: pool.waiting,
        transactions: pool.transactions,
    };
    Statistics {
        at,
        clients: from.clients,
        server_connections: from.server_connections,
        waiting_clients: from.waiting_clients,
        transactions: from.transactions,
        queries: from.queries,
        bytes_received: from.bytes_received,
        bytes_sent: from.bytes_sent,
        pools: from.pools.into_iter().map(pool).collect(),
    }
}

/// What is kept of a health report.
pub fn health(from: v1::InstanceHealth, at: DateTime<Utc>) -> InstanceHealth {
    InstanceHealth {
        cluster: from.cluster,
        shard: from.shard,
        instance: from.instance,
        reachable: from.reachable,
        detail: shortened(&from.detail),
        at,
    }
}

/// At most `MAX_MESSAGE` bytes, cut between characters; Postgres takes no NUL in a text.
pub fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_MESSAGE);
    text[..end].replace('\0', "")
}

#[cfg(test)]
mod tests {
    use pgherd_proto::v1::Hello;

    use super::{BadHello, hello};

    #[test]
    fn a_greeting_is_checked() {
        let good = Hello {
            proxy_id: "a".to_owned(),
            incarnation: "1".to_owned(),
            advertise_address: String::new(),
            ..Hello::default()
        };
        assert_eq!(hello(&good).unwrap().address, None);
        let empty = Hello { proxy_id: String::new(), ..good.clone() };
        assert_eq!(hello(&empty), Err(BadHello::Empty("the proxy's id")));
        let long = Hello { version: "x".repeat(201), ..good.clone() };
        assert_eq!(hello(&long), Err(BadHello::TooLong("the version")));
        let nul = Hello { proxy_id: "a\0".to_owned(), ..good.clone() };
        assert_eq!(hello(&nul), Err(BadHello::Control("the proxy's id")));
        let labels = (0..33).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(hello(&Hello { labels, ..good }), Err(BadHello::TooManyLabels));
    }
}
