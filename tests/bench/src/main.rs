//! `pgherd-bench`: pgherd beside PgBouncer, HAProxy and no pooler at all, measured in one run.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod bars;
mod contender;
mod idle;
mod machine;
mod options;
mod pgbench;
mod pgbouncer;
mod procfs;
mod report;
mod rounds;
mod sharding;
mod summary;
mod window;

use contender::Contenders;
use options::Options;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pgherd-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if options.sharding {
        return sharding::run(options);
    }
    let plan = options.plan()?;
    let directory = options.output_directory()?;
    let mut machine = machine::look();
    raise_file_limit();

    eprintln!("bench: starting Postgres");
    let postgres = contender::start_postgres()?;
    pgbench::initialize(&postgres, options.scale)?;
    let contenders = Contenders::start(&postgres, &plan, options)?;
    machine.add_versions(&postgres, &contenders);

    let runs = rounds::all(options, &plan, &postgres, &contenders)?;
    let idle = if plan.memory { idle::all(options, &plan, &postgres)? } else { Vec::new() };

    let summary = summary::Summary::new(machine, options, &contenders, &runs, idle);
    let markdown = report::markdown(&summary);
    std::fs::create_dir_all(&directory).context("cannot make the output directory")?;
    std::fs::write(directory.join("result.md"), &markdown)?;
    std::fs::write(directory.join("result.json"), serde_json::to_string_pretty(&summary)?)?;
    println!("{markdown}");
    eprintln!("bench: written to {}/result.md and result.json", directory.display());
    Ok(())
}

/// As many file descriptors as we may have; the poolers inherit it.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        eprintln!("bench: the limit of open files stays at {:?}: {error}", limit.current);
    }
}
