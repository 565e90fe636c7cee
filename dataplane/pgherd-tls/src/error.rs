//! Why TLS cannot be set up from what is configured.

use std::io;

/// Why settings of TLS cannot be used. Each says which setting and which file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is missing, or may not be read.
    #[error("{setting}: cannot read {path}")]
    Unreadable {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file is no PEM, or has not got what is looked for in it.
    #[error("{setting}: {path} has no {wanted} in PEM form")]
    Empty {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: String,
        /// What was looked for.
        wanted: &'static str,
    },
    /// What stands in the file cannot be used.
    #[error("{setting}: {path} cannot be used")]
    Unusable {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// No CA of the operating system was found.
    #[error("ca: the operating system has no CA certificates (Debian: ca-certificates)")]
    NoSystemCa,
    /// A setting that must be there is not; validation says so before.
    #[error("{setting} is missing")]
    Missing {
        /// The setting.
        setting: &'static str,
    },
    /// The settings contradict each other in a way that only rustls knows.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

impl TlsError {
    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
