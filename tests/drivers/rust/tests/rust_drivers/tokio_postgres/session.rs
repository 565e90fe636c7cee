//! State that lives as long as the session, which a pool has to keep for the client.

use anyhow::Result;

use crate::fixture::{code, config, connect, connect_with, show, unique, usable};

#[tokio::test]
async fn settings_last() -> Result<()> {
    let client = connect().await?;
    client.batch_execute("SET TIME ZONE 'Asia/Kathmandu'; SET work_mem = '5MB'").await?;
    client.execute("SELECT set_config('pgherd.test', 'kept', false)", &[]).await?;
    for _ in 0..20 {
        assert_eq!(show(&client, "SHOW TimeZone").await?, "Asia/Kathmandu");
        assert_eq!(show(&client, "SHOW work_mem").await?, "5MB");
        assert_eq!(show(&client, "SELECT current_setting('pgherd.test')").await?, "kept");
    }
    client.batch_execute("BEGIN; SET LOCAL work_mem = '6MB'; SET search_path = pg_catalog").await?;
    assert_eq!(show(&client, "SHOW work_mem").await?, "6MB");
    client.batch_execute("ROLLBACK").await?;
    assert_eq!(show(&client, "SHOW work_mem").await?, "5MB");
    assert_eq!(show(&client, "SHOW search_path").await?, "\"$user\", public");
    client.batch_execute("RESET ALL").await?;
    let fresh = connect().await?;
    for name in ["TimeZone", "work_mem"] {
        let show_it = format!("SHOW {name}");
        assert_eq!(show(&client, &show_it).await?, show(&fresh, &show_it).await?);
    }
    Ok(())
}

#[tokio::test]
async fn settings_stay_with_their_client() -> Result<()> {
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut config = config()?;
        config.options(format!("-c search_path=schema_{n} -c DateStyle=German"));
        let (client, _) = connect_with(&config).await?;
        client.batch_execute(&format!("SET application_name = 'client {n}'")).await?;
        clients.push(client);
    }
    for _ in 0..10 {
        for (n, client) in clients.iter().enumerate() {
            assert_eq!(show(client, "SHOW search_path").await?, format!("schema_{n}"));
            assert_eq!(show(client, "SHOW application_name").await?, format!("client {n}"));
            assert_eq!(show(client, "SELECT '2024-02-29'::date").await?, "29.02.2024");
        }
    }
    Ok(())
}

#[tokio::test]
async fn temporary_tables() -> Result<()> {
    let client = connect().await?;
    let table = unique("temporary");
    client.batch_execute(&format!("CREATE TEMP TABLE {table} (n int)")).await?;
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1)")).await?;
    for n in 0..20 {
        client.execute(&insert, &[&n]).await?;
    }
    assert_eq!(show(&client, &format!("SELECT sum(n) FROM {table}")).await?, "190");
    let other = connect().await?;
    let select = format!("SELECT * FROM {table}");
    assert_eq!(code(other.simple_query(&select).await), "42P01");
    client.batch_execute(&format!("DROP TABLE {table}")).await?;
    assert_eq!(code(client.simple_query(&select).await), "42P01");
    usable(&client).await
}

#[tokio::test]
async fn advisory_locks() -> Result<()> {
    let (holder, other) = (connect().await?, connect().await?);
    let key: i64 = rand::random();
    holder.query("SELECT pg_advisory_lock($1)", &[&key]).await?;
    for _ in 0..10 {
        let row = other.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?;
        assert!(!row.get::<_, bool>(0), "the lock is another's");
    }
    // Only the session that holds it can give it back.
    let row = holder.query_one("SELECT pg_advisory_unlock($1)", &[&key]).await?;
    assert!(row.get::<_, bool>(0), "the holder gives it back");
    let row = other.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?;
    assert!(row.get::<_, bool>(0), "free again");
    let row = other.query_one("SELECT pg_advisory_unlock($1)", &[&key]).await?;
    assert!(row.get::<_, bool>(0));
    Ok(())
}

#[tokio::test]
async fn discard_all() -> Result<()> {
    let client = connect().await?;
    let table = unique("discarded");
    let set_up = format!("SET work_mem = '5MB'; CREATE TEMP TABLE {table} (n int)");
    client.batch_execute(&set_up).await?;
    client.batch_execute("PREPARE discarded AS SELECT 1").await?;
    client.batch_execute("DISCARD ALL").await?;
    assert_ne!(show(&client, "SHOW work_mem").await?, "5MB");
    assert_eq!(code(client.simple_query(&format!("SELECT * FROM {table}")).await), "42P01");
    assert_eq!(code(client.simple_query("EXECUTE discarded").await), "26000");
    usable(&client).await
}
