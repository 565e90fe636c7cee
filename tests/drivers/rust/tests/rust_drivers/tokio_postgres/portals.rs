//! Portals with a row limit, and cursors of SQL.

use anyhow::Result;
use futures_util::TryStreamExt;

use crate::fixture::{code, column, connect, usable};

#[tokio::test]
async fn a_portal_is_read_in_portions() -> Result<()> {
    let mut client = connect().await?;
    let transaction = client.transaction().await?;
    let portal = transaction.bind("SELECT generate_series(1, $1::int)", &[&250]).await?;
    let mut got = Vec::new();
    for expected in [100, 100, 50, 0] {
        let rows = transaction.query_portal(&portal, 100).await?;
        assert_eq!(rows.len(), expected);
        got.extend(column::<i32>(&rows));
    }
    assert!(got.into_iter().eq(1..=250));
    transaction.commit().await?;
    usable(&client).await
}

#[tokio::test]
async fn portals_in_turn() -> Result<()> {
    let mut client = connect().await?;
    let transaction = client.transaction().await?;
    let statement = transaction.prepare("SELECT g * $1 FROM generate_series(1, 30) g").await?;
    let mut portals = Vec::new();
    for factor in 1..=5_i32 {
        portals.push((factor, transaction.bind(&statement, &[&factor]).await?));
    }
    for portion in 0..3 {
        for (factor, portal) in &portals {
            let rows = transaction.query_portal(portal, 10).await?;
            let expected: Vec<_> = (portion * 10 + 1..=portion * 10 + 10).collect();
            let expected: Vec<_> = expected.iter().map(|n| n * factor).collect();
            assert_eq!(column::<i32>(&rows), expected);
        }
    }
    let all = transaction.query_portal_raw(&portals[0].1, 0).await?;
    assert_eq!(all.try_collect::<Vec<_>>().await?.len(), 0);
    transaction.rollback().await?;
    usable(&client).await
}

/// Dropping one sends Close; statements in between do not disturb those that are open.
#[tokio::test]
async fn portals_dropped_half_way() -> Result<()> {
    let mut client = connect().await?;
    let transaction = client.transaction().await?;
    let kept = transaction.bind("SELECT generate_series(1, 1000)", &[]).await?;
    for n in 0..20_i32 {
        let portal = transaction.bind("SELECT generate_series($1::int, 100000)", &[&n]).await?;
        assert_eq!(column::<i32>(&transaction.query_portal(&portal, 2).await?), [n, n + 1]);
        drop(portal);
        let rows = transaction.query_portal(&kept, 3).await?;
        assert_eq!(column::<i32>(&rows), [n * 3 + 1, n * 3 + 2, n * 3 + 3]);
        transaction.batch_execute("SELECT 1").await?;
    }
    transaction.commit().await?;
    usable(&client).await
}

#[tokio::test]
async fn a_portal_that_fails_half_way() -> Result<()> {
    let mut client = connect().await?;
    let mut transaction = client.transaction().await?;
    {
        let nested = transaction.transaction().await?;
        let portal = nested.bind("SELECT 1 / (5 - g) FROM generate_series(1, 9) g", &[]).await?;
        assert_eq!(nested.query_portal(&portal, 3).await?.len(), 3);
        assert_eq!(code(nested.query_portal(&portal, 3).await), "22012");
        assert_eq!(code(nested.query_portal(&portal, 3).await), "25P02");
        nested.rollback().await?;
    }
    let portal = transaction.bind("SELECT 'after'", &[]).await?;
    assert_eq!(column::<String>(&transaction.query_portal(&portal, 0).await?), ["after"]);
    transaction.commit().await?;
    usable(&client).await
}

#[tokio::test]
async fn a_portal_ends_with_its_transaction() -> Result<()> {
    let mut client = connect().await?;
    for commit in [true, false] {
        let transaction = client.transaction().await?;
        let portal = transaction.bind("SELECT generate_series(1, 10)", &[]).await?;
        transaction.query_portal(&portal, 1).await?;
        if commit {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        let next = client.transaction().await?;
        assert_eq!(code(next.query_portal(&portal, 1).await), "34000");
        next.rollback().await?;
    }
    usable(&client).await
}

#[tokio::test]
async fn cursors_of_sql() -> Result<()> {
    let mut client = connect().await?;
    let transaction = client.transaction().await?;
    let cursor = "DECLARE c SCROLL CURSOR FOR SELECT generate_series(1, 10) AS n";
    transaction.batch_execute(cursor).await?;
    let fetch = async |what: &str| {
        let rows = transaction.query(&format!("FETCH {what} FROM c"), &[]).await?;
        anyhow::Ok(column::<i32>(&rows))
    };
    assert_eq!(fetch("3").await?, [1, 2, 3]);
    assert_eq!(fetch("BACKWARD 1").await?, [2]);
    assert_eq!(fetch("LAST").await?, [10]);
    assert_eq!(fetch("ABSOLUTE 5").await?, [5]);
    assert_eq!(transaction.execute("MOVE FORWARD 2 IN c", &[]).await?, 2);
    assert_eq!(fetch("NEXT").await?, [8]);
    transaction.batch_execute("CLOSE c").await?;
    assert_eq!(code(transaction.batch_execute("FETCH 1 FROM c").await), "34000");
    transaction.rollback().await?;
    usable(&client).await
}

#[tokio::test]
async fn a_cursor_with_hold() -> Result<()> {
    let mut client = connect().await?;
    let transaction = client.transaction().await?;
    let cursor = "DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 10)";
    transaction.batch_execute(cursor).await?;
    transaction.commit().await?;
    for n in 1..=10 {
        let row = client.query_one("FETCH 1 FROM held", &[]).await?;
        assert_eq!(row.get::<_, i32>(0), n);
    }
    client.batch_execute("CLOSE held").await?;
    assert_eq!(code(client.batch_execute("FETCH 1 FROM held").await), "34000");
    Ok(())
}
