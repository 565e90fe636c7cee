//! Starts everything, and ends it in order.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, bail};
use axum::{Router, serve::ListenerExt as _};
use pgherd_api::ApiState;
use pgherd_fleet::Fleet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{bootstrap, database, listener::Reserved, options::Options, page, signals};

/// How long requests in flight may take to end at shutdown.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Runs the control plane until a signal.
pub async fn serve(options: Options) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    signals::watch(shutdown.clone()).await.context("watching for signals")?;
    let reserved = Reserved::bind(&options.listen).await?;
    let Some(store) = database::open(&options, &shutdown).await? else { return Ok(()) };
    if options.new_lineage {
        let lineage = store.start_lineage().await.context("starting a new lineage")?;
        tracing::warn!(%lineage, "the topology starts a new lineage, as asked for");
    }
    bootstrap::bootstrap(&store, options.bootstrap_token_file.as_deref()).await?;
    let fleet = Fleet::load(store.clone(), shutdown.clone())
        .await
        .context("reading the topology from the control plane's database")?;
    let mut following = tokio::spawn(fleet.clone().run());
    let service = fleet.service();
    let router = Router::new()
        .merge(pgherd_api::router(ApiState::new(store.clone(), fleet)))
        .route_service("/pgherd.fleet.v1.Fleet/{*method}", service)
        .fallback(page::serve);

    let address = reserved.address;
    let listener = reserved.open()?.tap_io(|stream| {
        // Replies and pushed topologies are small; the setting fails only on a dead socket.
        let _ = stream.set_nodelay(true);
    });
    announce(&format!("listening on http://{address}"))?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");
    let server =
        axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let mut server = tokio::spawn(server.into_future());

    tokio::select! {
        // The two tasks end soon after a shutdown: that must be seen first.
        biased;
        () = shutdown.cancelled() => {}
        // Neither ends by itself: whatever made it end, a restart is better than half a service.
        ended = &mut following => bail!("following the database ended: {ended:?}"),
        ended = &mut server => bail!("serving ended: {ended:?}"),
    }
    let ended = timeout(END_WITHIN, async {
        following.await.context("following the database")?;
        server.await.context("serving")?.context("serving")
    });
    match ended.await {
        Ok(ended) => ended?,
        Err(_) => tracing::warn!("requests were still open after {END_WITHIN:?}"),
    }
    // Connections that hang must not keep the process from ending.
    let _ = timeout(Duration::from_secs(1), store.close()).await;
    tracing::info!("ended");
    Ok(())
}

/// For people and programs that wait for the start; others may have closed the pipe.
fn announce(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}
