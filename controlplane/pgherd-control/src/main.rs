//! The control plane of pgherd: REST API, dashboard, and the stream of the proxies on one port.

mod bootstrap;
mod database;
mod listener;
mod options;
mod page;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::options::{LogFormat, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    start_log(&options);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(serve::serve(options)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(options: &Options) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .parse_lossy(&options.log)
        // "relation already exists, skipping" at every start.
        .add_directive("sqlx::postgres::notice=warn".parse().expect("a constant directive"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => {
            log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init()
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
