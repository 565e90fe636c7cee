//! Where statements go by what they do.

use anyhow::Result;
use pgherd_harness::raw::frontend;

use super::stand::{Stand, WHERE};

const READS: &[&str] = &[
    WHERE,
    "SELECT port FROM place",
    "SELECT port FROM place, t WHERE n = 1",
    "WITH x AS (SELECT port FROM place) SELECT * FROM x",
    "VALUES (current_setting('port'))",
    "SELECT port FROM place UNION ALL SELECT port FROM place",
    "SELECT lower(port), count(*), now() FROM place GROUP BY 1",
];

const WRITES: &[&str] = &[
    "INSERT INTO t VALUES (10) ON CONFLICT DO NOTHING; SELECT port FROM place",
    "UPDATE t SET word = word RETURNING current_setting('port')",
    "DELETE FROM t WHERE n > 1000; SELECT port FROM place",
    "WITH x AS (UPDATE t SET word = word RETURNING n) SELECT port FROM place, x",
    "SELECT port FROM place, t FOR UPDATE OF t",
    "SELECT current_setting('port') FROM t FOR KEY SHARE",
    "SELECT current_setting('port'), nextval('s')",
    "SELECT current_setting('port'), pg_advisory_xact_lock(1)",
    "SELECT current_setting('port'), txid_current()",
    "SELECT volatile_port()",
    "SELECT current_setting('port') INTO TEMP x; DROP TABLE x; SELECT port FROM place",
    "DO $$BEGIN END$$; SELECT port FROM place",
    "CALL nothing(); SELECT port FROM place",
    "EXPLAIN ANALYZE UPDATE t SET word = word; SELECT port FROM place",
    "BEGIN; SELECT port FROM place; COMMIT",
    // Nothing of these is to be seen in their texts: a replica refuses them.
    "SELECT port FROM hidden",
    "SELECT * FROM hidden WHERE port IS NOT NULL",
];

/// What is one statement, as the extended protocol wants it.
fn is_one(sql: &str) -> bool {
    !sql.contains(';')
}

#[test]
fn statements_go_where_they_can_be_executed() -> Result<()> {
    let stand = Stand::start(2, |config| config)?;
    let mut client = stand.client()?;
    let mut wrong = Vec::new();
    for (rows, expected) in [(READS, "replica"), (WRITES, "primary")] {
        for sql in rows {
            let place = stand.place(&mut client, sql);
            if !place.as_ref().is_ok_and(|place| place == expected) {
                wrong.push(format!("{sql}: {place:?}, not {expected}"));
            }
            if is_one(sql) {
                let place = stand.place_extended(&mut client, sql);
                if !place.as_ref().is_ok_and(|place| place == expected) {
                    wrong.push(format!("{sql}, extended: {place:?}, not {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_transaction_stays_where_it_began() -> Result<()> {
    let stand = Stand::start(2, |config| config)?;
    let mut client = stand.client()?;
    client.rows("BEGIN")?;
    for _ in 0..4 {
        assert_eq!(stand.place(&mut client, WHERE)?, "primary");
        assert_eq!(stand.place_extended(&mut client, WHERE)?, "primary");
    }
    client.rows("INSERT INTO t VALUES (20); COMMIT")?;

    for begin in ["BEGIN READ ONLY", "START TRANSACTION READ ONLY", "BEGIN TRANSACTION READ ONLY"] {
        client.rows(begin)?;
        let first = client.value(WHERE)?;
        assert!(stand.name_of(&first).starts_with("replica"), "{begin}: {first}");
        for _ in 0..8 {
            assert_eq!(client.value(WHERE)?, first);
        }
        let refused = client.simple("INSERT INTO t VALUES (21)")?;
        let error = refused.iter().find(|message| message.tag == b'E').expect("an error");
        assert_eq!(error.sqlstate().as_deref(), Some("25006"));
        client.rows("ROLLBACK")?;
    }
    // A session whose transactions only read by default.
    client.rows("SET default_transaction_read_only = on")?;
    client.rows("BEGIN")?;
    assert_eq!(stand.place(&mut client, WHERE)?, "replica");
    client.rows("COMMIT")?;
    client.rows("RESET default_transaction_read_only")?;
    client.rows("BEGIN")?;
    assert_eq!(stand.place(&mut client, WHERE)?, "primary");
    client.rows("COMMIT")?;
    // A hot standby has no serializable transactions.
    client.rows("SET default_transaction_isolation = 'serializable'")?;
    assert_eq!(stand.place(&mut client, WHERE)?, "primary");
    Ok(())
}

#[test]
fn the_statement_that_is_bound_decides() -> Result<()> {
    let stand = Stand::start(2, |config| config)?;
    let mut client = stand.client()?;
    let write = "UPDATE t SET word = word WHERE n = 1 RETURNING current_setting('port')";
    client.send(
        &[
            frontend::parse("read", WHERE, &[]),
            frontend::parse("write", write, &[]),
            frontend::parse("", WHERE, &[]),
            frontend::sync(),
        ]
        .concat(),
    )?;
    client.until_ready(1)?;
    let run = |name: &str| {
        [frontend::bind("", name, &[]), frontend::execute("", 0), frontend::sync()].concat()
    };
    for (name, expected) in
        [("read", "replica"), ("write", "primary"), ("", "replica"), ("read", "replica")].repeat(3)
    {
        client.send(&run(name))?;
        assert_eq!(stand.place_of(&client.until_ready(1)?)?, expected, "{name:?}");
        if name.is_empty() {
            client.send(&[frontend::parse("", write, &[]), frontend::sync()].concat())?;
            client.until_ready(1)?;
            client.send(&run(""))?;
            assert_eq!(stand.place_of(&client.until_ready(1)?)?, "primary", "unnamed");
            client.send(&[frontend::parse("", WHERE, &[]), frontend::sync()].concat())?;
            client.until_ready(1)?;
        }
    }
    // One batch that does both.
    let both = [
        frontend::bind("a", "read", &[]),
        frontend::bind("b", "write", &[]),
        frontend::execute("b", 0),
        frontend::execute("a", 0),
        frontend::sync(),
    ];
    client.send(&both.concat())?;
    assert_eq!(stand.place_of(&client.until_ready(1)?)?, "primary");
    // Pipelines of many Syncs in one write, in which each batch is right.
    for names in [["read", "write", "read", "write"], ["write", "read", "read", "write"]] {
        let pipeline: Vec<u8> = names.iter().flat_map(|name| run(name)).collect();
        client.send(&pipeline)?;
        for name in names {
            let place = stand.place_of(&client.until_ready(1)?)?;
            assert!(name == "read" || place == "primary", "{name} on {place}");
        }
    }
    // Byte by byte, too.
    for (name, expected) in [("read", "replica"), ("write", "primary")] {
        for byte in run(name) {
            client.send(&[byte])?;
        }
        assert_eq!(stand.place_of(&client.until_ready(1)?)?, expected);
    }
    Ok(())
}

#[test]
fn an_answer_that_is_wanted_before_the_end_of_a_batch_comes() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let mut client = stand.client()?;
    for sql in [WHERE, "UPDATE t SET word = word RETURNING current_setting('port')"] {
        let parse =
            [frontend::parse("", sql, &[]), frontend::describe_statement(""), frontend::flush()];
        client.send(&parse.concat())?;
        client.until_tag(b'T')?;
        let run = [frontend::bind("", "", &[]), frontend::execute("", 0), frontend::sync()];
        client.send(&run.concat())?;
        assert_eq!(stand.place_of(&client.until_ready(1)?)?, "primary");
    }
    // No Sync for a while: it goes to the primary then, and an error comes at once.
    client.send(&frontend::parse("", "SELECT nonsense FROM nowhere", &[]))?;
    client.until_tag(b'E')?;
    client.send(&frontend::sync())?;
    client.until_ready(1)?;
    assert_eq!(stand.place(&mut client, WHERE)?, "replica");
    Ok(())
}

#[test]
fn where_nothing_is_split_everything_goes_to_the_primary() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    let toml = stand.config.to_toml().replace("reads = \"replicas\"", "reads = \"primary\"");
    let mut proxy = pgherd_harness::proxy::Proxy::start(&toml)?;
    let mut client = pgherd_harness::raw::Client::login(proxy.addr())?;
    for sql in [WHERE, "SELECT port FROM place"] {
        assert_eq!(stand.place(&mut client, sql)?, "primary");
    }
    let asked = "/* pgherd: role=replica */ SELECT port FROM place";
    assert_eq!(stand.place(&mut client, asked)?, "replica");
    assert_eq!(stand.place(&mut client, WHERE)?, "primary");
    proxy.term()
}
