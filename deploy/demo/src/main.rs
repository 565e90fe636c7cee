//! `make demo`: a whole fleet from nothing, shown at work, and removed again.

mod fleet;
mod pgbench;
mod ports;
mod progress;
mod showing;
mod stop;
mod traces;
mod welcome;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use fleet::Fleet;
use progress::Progress;
use stop::Stop;

/// Starts Postgres servers, a control plane, two proxies and HAProxy in a scratch directory.
///
/// Everything listens on 127.0.0.1 only, and everything is removed at the end.
#[derive(Debug, Parser)]
#[command(name = "pgherd-demo", version)]
pub struct Arguments {
    /// End after the benchmark, with an exit status, instead of waiting for Ctrl-C.
    #[arg(long)]
    once: bool,
    /// How long pgbench runs, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Clients of pgbench.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=300))]
    clients: u32,
    /// Scale of pgbench's tables: 100,000 accounts each.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    scale: u32,
    /// Also a sharded cluster, `shop`, with so many shards.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=64))]
    shards: Option<u32>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let stop = match Stop::on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("pgherd-demo: cannot listen for signals: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut fleet = match Fleet::new() {
        Ok(fleet) => fleet,
        Err(error) => {
            eprintln!("pgherd-demo: no place to work in: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = run(&arguments, &stop, &mut fleet);
    let interrupted = stop.requested();
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupted => {
            eprintln!("\nInterrupted.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            fleet.print_logs();
            ExitCode::FAILURE
        }
    };
    println!("Stopping what was started and removing what was written.");
    drop(fleet);
    println!("Done.");
    code
}

/// The demo itself: start, show, wait.
fn run(arguments: &Arguments, stop: &Stop, fleet: &mut Fleet) -> Result<()> {
    println!("A fleet of pgherd, from nothing, in {}\n", fleet.pattern());
    let sharded = usize::from(arguments.shards.is_some());
    let mut progress = Progress::new(stop, fleet::STEPS + sharded + 1);
    fleet.start(&mut progress, arguments.scale)?;
    if let Some(shards) = arguments.shards {
        fleet.add_shards(&mut progress, usize::try_from(shards)?)?;
    }
    welcome::print(fleet)?;
    let report = progress.step("pgbench through the load balancer", || {
        let time = Duration::from_secs(arguments.seconds.into());
        showing::run(fleet, arguments.clients, time)
    })?;
    println!("\n{}", report.text());
    if arguments.once {
        return Ok(());
    }
    println!("Ctrl-C ends it and removes everything.");
    while !stop.wait(Duration::from_millis(500)) {
        fleet.report_ended();
    }
    println!();
    Ok(())
}
