//! `PgListener`, which keeps a connection of the pool for itself.

use anyhow::Result;
use sqlx::postgres::{PgListener, PgPool};
use tokio::time::timeout;

use crate::fixture::{PATIENCE, pool, unique};

async fn notify(pool: &PgPool, channel: &str, payload: &str) -> Result<()> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload).execute(pool).await?;
    Ok(())
}

async fn heard(listener: &mut PgListener) -> Result<(String, String)> {
    let notification = timeout(PATIENCE, listener.recv()).await??;
    Ok((notification.channel().to_owned(), notification.payload().to_owned()))
}

#[tokio::test]
async fn listens_to_several_channels() -> Result<()> {
    let pool = pool().await?;
    let (first, second, third) = (unique("channel"), unique("channel"), unique("channel"));
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen_all([&*first, &*second]).await?;
    for n in 0..20 {
        let channel = if n % 2 == 0 { &first } else { &second };
        notify(&pool, channel, &n.to_string()).await?;
        assert_eq!(heard(&mut listener).await?, (channel.clone(), n.to_string()));
    }
    listener.listen(&third).await?;
    listener.unlisten(&first).await?;
    notify(&pool, &first, "unheard").await?;
    notify(&pool, &third, "third").await?;
    assert_eq!(heard(&mut listener).await?, (third.clone(), "third".to_owned()));
    // A listener runs statements as well.
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut listener).await?;
    assert_eq!(one, 1);
    listener.unlisten_all().await?;
    Ok(())
}

/// Many at once, in order; the listener is dropped with some unread, and its connection goes back.
#[tokio::test]
async fn a_burst() -> Result<()> {
    let pool = pool().await?;
    let channel = unique("channel");
    for _ in 0..3 {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&channel).await?;
        let all = "SELECT pg_notify($1, g::text) FROM generate_series(1, 500) g";
        sqlx::query(all).bind(&channel).execute(&pool).await?;
        for n in 1..=250 {
            assert_eq!(heard(&mut listener).await?.1, n.to_string());
        }
    }
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&pool).await?;
    assert_eq!(one, 1);
    Ok(())
}

/// The listener says that it lost its connection, connects again and listens again.
#[tokio::test]
async fn reconnects() -> Result<()> {
    let pool = pool().await?;
    let channel = unique("channel");
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(&channel).await?;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut listener).await?;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&pool).await?;
    let lost = timeout(PATIENCE, listener.try_recv()).await??;
    assert!(lost.is_none(), "told that the connection was lost, not {lost:?}");
    // `None` comes before the new LISTEN unless this asks for the next.
    let waiting = listener.try_recv();
    let (again, sent) = tokio::join!(timeout(PATIENCE, waiting), async {
        for _ in 0..200 {
            notify(&pool, &channel, "again").await?;
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND query LIKE $1";
            let listening: i64 =
                sqlx::query_scalar(sql).bind(format!("%{channel}%")).fetch_one(&pool).await?;
            if listening > 0 {
                notify(&pool, &channel, "again").await?;
                break;
            }
        }
        anyhow::Ok(())
    });
    sent?;
    assert_eq!(again??.map(|it| it.payload().to_owned()).as_deref(), Some("again"));
    Ok(())
}
