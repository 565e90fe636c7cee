//! Advisory locks of the session, with sqlx's guard.

use anyhow::Result;
use sqlx::Either;
use sqlx::postgres::{PgAdvisoryLock, PgPool};

use crate::fixture::{pool, unique};

async fn is_free(pool: &PgPool, lock: &PgAdvisoryLock) -> Result<bool> {
    match lock.try_acquire(pool.acquire().await?).await? {
        Either::Left(guard) => {
            guard.release_now().await?;
            Ok(true)
        }
        Either::Right(_) => Ok(false),
    }
}

#[tokio::test]
async fn held_and_released() -> Result<()> {
    let pool = pool().await?;
    let lock = PgAdvisoryLock::new(unique("lock"));
    assert!(is_free(&pool, &lock).await?);
    let guard = lock.acquire(pool.acquire().await?).await?;
    for _ in 0..5 {
        assert!(!is_free(&pool, &lock).await?, "held by the guard");
    }
    let connection = guard.release_now().await?;
    assert!(is_free(&pool, &lock).await?, "released");

    // Dropped: the unlock goes out with the connection's next use.
    let guard = lock.acquire(connection).await?;
    assert!(!is_free(&pool, &lock).await?);
    drop(guard);
    let deadline = std::time::Instant::now() + crate::fixture::PATIENCE;
    while !is_free(&pool, &lock).await? {
        assert!(std::time::Instant::now() < deadline, "never released");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    pool.close().await;
    Ok(())
}

/// What a migration does: everybody takes the lock, works, gives it back.
#[tokio::test]
async fn one_after_the_other() -> Result<()> {
    let lock = PgAdvisoryLock::new(unique("lock"));
    let inside = std::sync::atomic::AtomicI32::new(0);
    let pool = pool().await?;
    let work = (0..10).map(async |_| {
        let guard = lock.acquire(pool.acquire().await?).await?;
        let now = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(now, 0, "somebody else is inside");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        guard.release_now().await?;
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(work).await?;
    Ok(())
}
