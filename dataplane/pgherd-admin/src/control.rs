//! What the console may ask of the process that it is part of.

use std::fmt;

use pgherd_wire::sqlstate;

/// The process, as the console sees it. Neither call waits for its effect.
pub trait Control: fmt::Debug + Send + Sync {
    /// Reads the settings again. What it was before stays in force when this fails.
    fn reload(&self) -> Result<(), ReloadError>;

    /// Takes the process down as TERM does: transactions finish, then clients are told goodbye.
    fn shutdown(&self);
}

/// Why the settings are what they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The file is not valid, or cannot be read. The text says where and why, written for whoever
    /// wrote the file.
    #[error("the settings stay as they were: {0}")]
    Invalid(String),
    /// The process is ending.
    #[error("the proxy is shutting down")]
    Ending,
}

impl ReloadError {
    /// The SQLSTATE that the admin sees.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            // config_file_error
            Self::Invalid(_) => "F0000",
            Self::Ending => sqlstate::ADMIN_SHUTDOWN,
        }
    }
}
