//! The proxy: reads its settings, starts its workers, and takes them down in order.

mod fleet;
mod limits;
mod listener;
mod metrics;
mod options;
mod placement;
mod run;
mod settings;
mod unix_socket;
mod watch;
mod workers;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = options::Options::parse();
    options.log.init();
    match run::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line for each cause: this is for whoever has started the program.
            eprintln!("pgherd-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}
