//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The control plane of pgherd: keeps the topology in Postgres and hands it to the proxies.
///
/// Serves the REST API (/api/docs), the dashboard (/) and the proxies' gRPC stream on one port.
/// Prints "listening on http://ADDRESS" on standard output once it does; logs to standard error.
#[derive(Debug, Parser)]
#[command(name = "pgherd-control", version)]
pub struct Options {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, env = "PGHERD_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: String,

    /// The control plane's own database, as postgres://user:password@host:port/name
    #[arg(long, env = "PGHERD_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,

    /// File with the key that passwords are encrypted with in the database (32 bytes in base64)
    ///
    /// Keep a copy: without it the stored passwords are lost.
    #[arg(long, env = "PGHERD_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: PathBuf,

    /// Make the secret key file with a new key when it does not exist
    #[arg(long, env = "PGHERD_CREATE_KEY")]
    pub create_key: bool,

    /// Where to write the first tokens of a new database, as {"admin": "…", "proxy": "…"}
    ///
    /// Without it they are printed on standard output, once.
    #[arg(long, env = "PGHERD_BOOTSTRAP_TOKEN_FILE", value_name = "FILE")]
    pub bootstrap_token_file: Option<PathBuf>,

    /// Start a new lineage of generations, after the database's files were put back from a copy
    ///
    /// A restored dump, a point-in-time recovery and a failover are noticed without it.
    #[arg(long)]
    pub new_lineage: bool,

    /// Format of the log
    #[arg(long, env = "PGHERD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What to log, as in "info" or "pgherd_fleet=debug,info"
    #[arg(long, env = "PGHERD_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object on each line
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Options::command().debug_assert();
    }
}
