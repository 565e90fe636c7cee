//! Shards that the client names: by comment, by settings, in pgcat's words, over both protocols.

use anyhow::{Result, ensure};
use pgherd_harness::raw::frontend::{bind, describe_statement, execute, parse, sync};
use pgherd_harness::raw::{Client, Message};
use pgherd_harness::sharded::ShardedCluster;

const COUNT: &str = "SELECT count(*) FROM users";

/// The last value of the answer, or the SQLSTATE of the error.
fn word(messages: &[Message]) -> String {
    if let Some(code) = messages.iter().find_map(Message::sqlstate) {
        return code;
    }
    let row = messages.iter().rev().find_map(Message::data_row);
    let value = row.and_then(|it| it.first().copied().flatten().map(<[u8]>::to_vec));
    value.map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default()
}

fn run(client: &mut Client, sql: &str, extended: bool) -> Result<Vec<Message>> {
    if !extended {
        return client.simple(sql);
    }
    let batch = [parse("", sql, &[]), describe_statement(""), bind("", "", &[]), execute("", 0)];
    client.send(&[batch.concat(), sync()].concat())?;
    client.until_ready(1)
}

#[test]
fn shards_are_named_over_both_protocols() -> Result<()> {
    let cluster = ShardedCluster::start(3)?;
    let proxy = cluster.proxy()?;
    let mut counts = Vec::new();
    for shard in 0..3 {
        counts.push(cluster.shard(shard)?.value(COUNT)?);
    }
    let of_key = counts[cluster.place(42)?].clone();
    for extended in [false, true] {
        let mut client = Client::login(proxy.addr())?;
        let rows: Vec<(&str, String)> = vec![
            (COUNT, "60".into()),
            ("/* pgherd: shard=2 */ SELECT count(*) FROM users", counts[2].clone()),
            ("/* pgherd: key=42 */ SELECT count(*) FROM users", of_key.clone()),
            ("/* pgherd: key='42' */ SELECT count(*) FROM users", of_key.clone()),
            ("/* pgherd: shard=3 */ SELECT count(*) FROM users", "22023".into()),
            ("SET pgherd.shard = 1", String::new()),
            (COUNT, counts[1].clone()),
            ("SHOW pgherd.shard", "1".into()),
            ("SHOW SHARD", "1".into()),
            ("SET pgherd.shard = 7", "22023".into()),
            ("SHOW SHARD", "1".into()),
            ("RESET pgherd.shard", String::new()),
            (COUNT, "60".into()),
            ("SET pgherd.sharding_key = '42'", String::new()),
            (COUNT, of_key.clone()),
            ("SHOW SHARDING KEY", "42".into()),
            ("SET pgherd.sharding_key = 'forty-two'", String::new()),
            (COUNT, "22023".into()),
            ("SET pgherd.sharding_key TO DEFAULT", String::new()),
            ("SET SHARD TO 2", String::new()),
            (COUNT, counts[2].clone()),
            ("SET SHARD TO '0'", String::new()),
            (COUNT, counts[0].clone()),
            ("SET SHARD TO 'x'", "22023".into()),
            ("SET SHARD TO any", String::new()),
            ("SET SHARDING KEY TO '42'", String::new()),
            (COUNT, of_key.clone()),
            ("RESET ALL", String::new()),
            (COUNT, "60".into()),
            ("SET SERVER ROLE TO 'primary'", String::new()),
            ("SHOW SERVER ROLE", "primary".into()),
            ("SET SERVER ROLE TO 'nobody'", "22023".into()),
            (COUNT, "60".into()),
            ("BEGIN", String::new()),
            ("SET LOCAL pgherd.shard = 1", String::new()),
            (COUNT, counts[1].clone()),
            ("COMMIT", String::new()),
            (COUNT, "60".into()),
            ("BEGIN", String::new()),
            ("SET pgherd.shard = 1", String::new()),
            ("ROLLBACK", String::new()),
            (COUNT, "60".into()),
            ("SET pgherd.nothing = 1", "42704".into()),
        ];
        for (sql, expected) in rows {
            let messages = run(&mut client, sql, extended)?;
            let found = word(&messages);
            ensure!(found == expected, "{sql} (extended {extended}): {found}, not {expected}");
        }
    }
    let mut client = Client::login(proxy.addr())?;
    let text = format!("SET pgherd.shard = 1; {COUNT}");
    ensure!(word(&client.simple(&text)?) == counts[1], "several statements in one text");
    ensure!(client.value("SHOW pgherd.shard")? == "1");
    Ok(())
}

#[test]
fn keys_are_texts_as_well() -> Result<()> {
    let cluster = ShardedCluster::builder(3)
        .schema(
            "CREATE TABLE words (word text PRIMARY KEY);
             INSERT INTO words SELECT 'it''s ' || i FROM generate_series(1, 30) i",
        )
        .sharded_as("words", "word", "text")
        .start()?;
    let proxy = cluster.proxy()?;
    for extended in [false, true] {
        let mut client = Client::login(proxy.addr())?;
        for sql in [
            "SET pgherd.sharding_key = 'it''s 7'",
            "SET SHARDING KEY TO 'it''s 7'",
            "SET SHARDING KEY TO $$it's 7$$",
        ] {
            run(&mut client, sql, extended)?;
            let found =
                run(&mut client, "SELECT count(*) FROM words WHERE word LIKE '%7'", extended)?;
            let mut expected = String::new();
            for shard in 0..3 {
                let mut of_shard = cluster.shard(shard)?;
                if of_shard.value("SELECT count(*) FROM words WHERE word = 'it''s 7'")? == "1" {
                    expected = of_shard.value("SELECT count(*) FROM words WHERE word LIKE '%7'")?;
                }
            }
            ensure!(word(&found) == expected, "{sql}: {found:?}");
        }
    }
    Ok(())
}
