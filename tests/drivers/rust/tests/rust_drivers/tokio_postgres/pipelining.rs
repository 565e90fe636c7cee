//! Requests that do not wait for each other's replies.

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};
use futures_util::{FutureExt, TryStreamExt, join, pin_mut};

use crate::fixture::{code, connect, unique, usable};

#[tokio::test]
async fn joined_queries_get_their_own_replies() -> Result<()> {
    let client = connect().await?;
    let statement = client.prepare("SELECT $1::int, repeat('x', $1)").await?;
    for _ in 0..5 {
        let replies = try_join_all((0..200).map(|n| {
            let (client, statement) = (&client, &statement);
            async move { client.query_one(statement, &[&n]).await }
        }))
        .await?;
        for (n, row) in (0..).zip(replies) {
            assert_eq!(row.get::<_, i32>(0), n);
            assert_eq!(row.get::<_, &str>(1).len(), n as usize);
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_error_in_the_middle_is_one_reply() -> Result<()> {
    let client = connect().await?;
    let statement = client.prepare("SELECT 100 / $1::int").await?;
    let replies = join_all((-20..20).map(|n| {
        let (client, statement) = (&client, &statement);
        async move { (n, client.query_one(statement, &[&n]).await) }
    }))
    .await;
    for (n, reply) in replies {
        match n {
            0 => assert_eq!(code(reply), "22012"),
            n => assert_eq!(reply?.get::<_, i32>(0), 100 / n),
        }
    }
    usable(&client).await
}

/// Prepare, simple queries, statements and errors of each, all at once.
#[tokio::test]
async fn all_kinds_together() -> Result<()> {
    let client = connect().await?;
    let kept = client.prepare("SELECT 'kept'").await?;
    for _ in 0..20 {
        let (prepared, failed, simple, syntax, queried, dropped) = join!(
            client.prepare("SELECT $1::text"),
            client.prepare("SELECT nothing FROM nowhere"),
            client.simple_query("SELECT 1; SELECT 2"),
            client.batch_execute("SELEC"),
            client.query_one(&kept, &[]),
            client.prepare("SELECT 'dropped'").map(|statement| statement.map(drop)),
        );
        assert_eq!(code(failed), "42P01");
        assert_eq!(code(syntax), "42601");
        assert!(simple?.len() >= 4);
        assert_eq!(queried?.get::<_, &str>(0), "kept");
        dropped?;
        let row = client.query_one(&prepared?, &[&"fresh"]).await?;
        assert_eq!(row.get::<_, &str>(0), "fresh");
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_in_one_write() -> Result<()> {
    let client = connect().await?;
    let table = unique("pipelined");
    client.batch_execute(&format!("CREATE TABLE {table} (n int PRIMARY KEY)")).await?;
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1)")).await?;
    let count = client.prepare(&format!("SELECT count(*) FROM {table}")).await?;

    let (begun, first, second, committed) = join!(
        client.batch_execute("BEGIN"),
        client.execute(&insert, &[&1]),
        client.execute(&insert, &[&2]),
        client.batch_execute("COMMIT"),
    );
    begun?;
    committed?;
    assert_eq!((first?, second?), (1, 1));

    // The duplicate fails the transaction; what was sent behind it fails as well.
    let (_, _, duplicate, after, ended) = join!(
        client.batch_execute("BEGIN"),
        client.execute(&insert, &[&3]),
        client.execute(&insert, &[&1]),
        client.execute(&insert, &[&4]),
        client.batch_execute("COMMIT"),
    );
    assert_eq!(code(duplicate), "23505");
    assert_eq!(code(after), "25P02");
    ended?;
    assert_eq!(client.query_one(&count, &[]).await?.get::<_, i64>(0), 2);
    client.batch_execute(&format!("DROP TABLE {table}")).await?;
    Ok(())
}

/// Futures that are dropped before their reply has come: the driver reads and forgets it.
#[tokio::test]
async fn forgotten_replies() -> Result<()> {
    let client = connect().await?;
    let statement = client.prepare("SELECT g FROM generate_series(1, $1::int) g").await?;
    for round in 1..30_i32 {
        let limit = round * 100;
        for _ in 0..3 {
            let stream = client.query_raw(&statement, [&limit]).await?;
            pin_mut!(stream);
            stream.try_next().await?;
        }
        // Polled once, so that it is sent, and dropped.
        client.query(&statement, &[&limit]).now_or_never();
        let rows = client.query(&statement, &[&limit]).await?;
        assert_eq!(rows.len(), limit as usize);
    }
    usable(&client).await
}

#[tokio::test]
async fn streams_side_by_side() -> Result<()> {
    let client = connect().await?;
    let statement = client.prepare("SELECT g * $1 FROM generate_series(1, 20000) g").await?;
    let sum = async |factor: i32| {
        let rows = client.query_raw(&statement, [&factor]).await?;
        rows.try_fold(0_i64, async |sum, row| Ok(sum + i64::from(row.get::<_, i32>(0)))).await
    };
    let (first, second) = futures_util::future::try_join(sum(1), sum(-1)).await?;
    assert_eq!((first, second), (200_010_000, -200_010_000));
    let simple = client.simple_query_raw("SELECT 1; SELECT 2; SELECT 1/0; SELECT 3").await?;
    assert_eq!(code(simple.try_collect::<Vec<_>>().await), "22012");
    usable(&client).await
}
