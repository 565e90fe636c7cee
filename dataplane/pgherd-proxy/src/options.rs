//! The command line.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use tracing_subscriber::EnvFilter;

/// A PostgreSQL proxy that pools connections.
///
/// It serves the clusters of its file, or those that a control plane gives it. SIGHUP reads the
/// file again, SIGTERM lets transactions finish and ends; a second SIGTERM ends at once.
#[derive(Debug, Parser)]
#[command(name = "pgherd-proxy", version)]
pub struct Options {
    /// File with the settings; with --control-plane only those of the process itself count.
    #[arg(
        long,
        value_name = "FILE",
        env = "PGHERD_CONFIG",
        required_unless_present = "control_plane"
    )]
    pub config: Option<PathBuf>,

    /// Check the file and exit.
    #[arg(long, requires = "config")]
    pub check: bool,

    /// URL of the control plane; may be given several times.
    #[arg(
        long,
        value_name = "URL",
        env = "PGHERD_CONTROL_PLANE",
        value_delimiter = ',',
        requires = "token_file"
    )]
    pub control_plane: Vec<String>,

    /// File with the token for the control plane.
    #[arg(long, value_name = "FILE", env = "PGHERD_TOKEN_FILE", requires = "control_plane")]
    pub token_file: Option<PathBuf>,

    /// Folder for the last good topologies, with which the proxy starts while the control plane is away.
    #[arg(long, value_name = "DIR", env = "PGHERD_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Name of this proxy in its fleet, the same after a restart; by default the host name.
    #[arg(long, value_name = "NAME", env = "PGHERD_ID")]
    pub id: Option<String>,

    /// Something that the fleet should know of this proxy, such as zone=a.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,

    /// Address for clients, instead of the file's; may be given several times.
    #[arg(long, value_name = "ADDRESS", env = "PGHERD_LISTEN", value_delimiter = ',')]
    pub listen: Vec<String>,

    /// Address for /metrics, /healthz and /readyz, instead of the file's; "" for none.
    #[arg(long, value_name = "ADDRESS", env = "PGHERD_METRICS_LISTEN")]
    pub metrics_listen: Option<String>,

    /// Where other proxies reach this one, for cancel requests.
    #[arg(long, value_name = "ADDRESS", env = "PGHERD_ADVERTISE_ADDRESS")]
    pub advertise_address: Option<String>,

    #[command(flatten)]
    pub log: LogOptions,
}

/// What is logged, and how.
#[derive(Debug, Args)]
pub struct LogOptions {
    /// What is logged: error, warn, info, debug, trace, or by module (pgherd_pool=debug).
    #[arg(long, value_name = "FILTER", env = "PGHERD_LOG", default_value = "info")]
    pub log: String,

    /// How it is written.
    #[arg(long, value_enum, env = "PGHERD_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogOptions {
    /// From now on what is logged goes to standard error.
    pub fn init(&self) {
        let filter = EnvFilter::try_new(&self.log).unwrap_or_else(|error| {
            eprintln!("pgherd-proxy: --log {:?} is not understood ({error}); using info", self.log);
            EnvFilter::new("info")
        });
        let builder =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
            LogFormat::Json => builder.json().init(),
        }
    }
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_proxy_needs_a_file_or_a_control_plane() {
        assert!(Options::try_parse_from(["pgherd-proxy"]).is_err());
        assert!(Options::try_parse_from(["pgherd-proxy", "--config", "f"]).is_ok());
        let fleet = ["pgherd-proxy", "--control-plane", "http://c:1", "--token-file", "t"];
        assert!(Options::try_parse_from(fleet).is_ok());
        assert!(Options::try_parse_from(&fleet[..3]).is_err());
    }
}
