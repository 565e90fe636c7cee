//! Values of 50 MB, statements of megabytes, many rows, many parameters, COPY of much.

use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt, pin_mut};
use tokio_postgres::types::{ToSql, Type};

use crate::fixture::{column, connect, show, unique, usable};

const LARGE: usize = 50_000_000;

#[tokio::test]
async fn a_value_there_and_back() -> Result<()> {
    let client = connect().await?;
    let value = b"0123456789".repeat(LARGE / 10);
    let row = client.query_one("SELECT $1::bytea, length($1)", &[&value]).await?;
    assert_eq!(row.get::<_, i32>(1) as usize, LARGE);
    assert!(row.get::<_, &[u8]>(0) == value, "the value has changed on the way");
    usable(&client).await
}

#[tokio::test]
async fn a_value_out_as_text() -> Result<()> {
    let client = connect().await?;
    let text = show(&client, &format!("SELECT repeat('abcdefghij', {})", LARGE / 10)).await?;
    assert_eq!(text.len(), LARGE);
    assert!(text.as_bytes().chunks(10).all(|chunk| chunk == b"abcdefghij"), "garbled");
    usable(&client).await
}

#[tokio::test]
async fn a_statement_of_megabytes() -> Result<()> {
    let client = connect().await?;
    let padding = "x".repeat(5_000_000);
    let length = show(&client, &format!("SELECT length('{padding}')")).await?;
    assert_eq!(length, "5000000");
    let row = client.query_one(&format!("SELECT length('{padding}'), $1::int"), &[&7]).await?;
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (5_000_000, 7));
    usable(&client).await
}

#[tokio::test]
async fn many_rows() -> Result<()> {
    let client = connect().await?;
    let sql = "SELECT g, g::text FROM generate_series(1, $1::int) g";
    let rows = client.query_raw(sql, [&100_000_i32]).await?;
    pin_mut!(rows);
    let mut next = 1_i32;
    while let Some(row) = rows.try_next().await? {
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (next, &*next.to_string()));
        next += 1;
    }
    assert_eq!(next, 100_001);
    usable(&client).await
}

#[tokio::test]
async fn many_columns_and_parameters() -> Result<()> {
    let client = connect().await?;
    let columns: Vec<_> = (0..1600).map(|n| format!("{n}::int8 AS c{n}")).collect();
    let row = client.query_one(&format!("SELECT {}", columns.join(", ")), &[]).await?;
    assert_eq!(row.len(), 1600);
    assert_eq!(row.get::<_, i64>("c1599"), 1599);

    // As many as the protocol counts.
    let values: Vec<i32> = (0..65_535).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|it| it as _).collect();
    let places: Vec<_> = (1..=values.len()).map(|n| format!("(${n}::int)")).collect();
    let sql = format!("SELECT sum(n) FROM (VALUES {}) v (n)", places.join(","));
    let row = client.query_one(&sql, &parameters).await?;
    assert_eq!(row.get::<_, i64>(0), 65_534 * 65_535 / 2);
    usable(&client).await
}

#[tokio::test]
async fn copy_of_much() -> Result<()> {
    let client = connect().await?;
    let table = unique("much");
    client.batch_execute(&format!("CREATE UNLOGGED TABLE {table} (t text)")).await?;
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await?;
    pin_mut!(sink);
    let line = Bytes::from("0123456789abcde\n".repeat(65_536));
    for _ in 0..16 {
        sink.feed(line.clone()).await?;
    }
    sink.flush().await?;
    assert_eq!(sink.finish().await?, 16 * 65_536);
    let out = client.copy_out(&format!("COPY {table} TO STDOUT (FORMAT binary)")).await?;
    let size = out.try_fold(0, async |size, chunk: Bytes| Ok(size + chunk.len())).await?;
    assert_eq!(size, 16 * 65_536 * (2 + 4 + 15) + 19 + 2);
    client.batch_execute(&format!("DROP TABLE {table}")).await?;
    usable(&client).await
}

/// Small ones after a large one, on connections that change hands.
#[tokio::test]
async fn small_after_large() -> Result<()> {
    let client = connect().await?;
    for size in [1, 8_000, 70_000, 1_100_000, 3, 20_000_000, 5] {
        let text = "y".repeat(size);
        let rows =
            client.query_typed("SELECT length($1), right($1, 1)", &[(&text, Type::TEXT)]).await?;
        assert_eq!(column::<i32>(&rows), [size as i32]);
        assert_eq!(rows[0].get::<_, &str>(1), "y");
        usable(&client).await?;
    }
    Ok(())
}
