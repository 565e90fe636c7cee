//! Writes while a replica becomes the primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::Client;

use super::stand::{Stand, WHERE};

/// No committed row is lost, and statements that had not begun wait.
#[test]
fn writes_wait_for_the_next_primary() -> Result<()> {
    let mut stand =
        Stand::start(1, |config| config.cluster_setting("checkout_timeout", "\"15s\""))?;
    let toml = stand.config.to_toml();
    let toml = toml.replace("role = \"primary\"", "role = \"auto\"");
    let proxy = Proxy::start(&toml.replace("role = \"replica\"", "role = \"auto\""))?;
    stand.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
    stand.primary.sql("SELECT pg_reload_conf()")?;

    let stop = Arc::new(AtomicBool::new(false));
    let mut writer = Client::login(proxy.addr())?;
    writer.set_deadline(Duration::from_secs(30));
    let stopped = Arc::clone(&stop);
    let writes = std::thread::spawn(move || {
        let (mut written, mut errors) = (Vec::new(), Vec::new());
        let mut n = 1000;
        while !stopped.load(Ordering::Relaxed) && errors.len() < 20 {
            n += 1;
            match writer.rows(&format!("INSERT INTO t VALUES ({n})")) {
                Ok(_) => written.push(n),
                Err(error) => errors.push(format!("{error:#}")),
            }
        }
        (written, errors)
    });
    std::thread::sleep(Duration::from_millis(500));
    stand.primary.kill9()?;
    let promoted = &stand.replicas[0];
    promoted.sql("ALTER SYSTEM SET synchronous_standby_names = ''")?;
    promoted.promote()?;
    let mut client = Client::login(proxy.addr())?;
    client.set_deadline(Duration::from_secs(30));
    let write = "UPDATE t SET word = word WHERE n = 1 RETURNING current_setting('port')";
    assert_eq!(client.value(write)?, promoted.port().to_string());
    assert_eq!(client.value(WHERE)?, promoted.port().to_string());
    std::thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    let (written, errors) = writes.join().expect("no panic");
    // What was under way when the primary died, at most.
    assert!(errors.len() <= 1, "{errors:?}");
    let found = promoted.sql("SELECT n FROM t WHERE n > 1000")?;
    let lost: Vec<_> =
        written.iter().filter(|n| !found.iter().any(|row| row[0] == n.to_string())).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", written.len());
    assert!(written.len() > 20, "{}", written.len());
    Ok(())
}
