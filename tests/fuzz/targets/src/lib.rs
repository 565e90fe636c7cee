//! What is fuzzed: each parser of network bytes, with what must hold whatever it is given.
//!
//! A target is one file here and one line in [`TARGETS`] and in `tests/fuzz/Cargo.toml`. `make fuzz`
//! runs them with libFuzzer; `make test` gives them what lies in `tests/fuzz/corpus`.

mod backend;
mod cancel_keys;
mod certificates;
mod error_response;
mod framing;
mod frontend;
mod input;
mod mentions;
mod owed;
mod params;
mod scram_client;
mod scram_server;
mod setting_names;
mod snapshot;
mod sql_names;
mod startup;
mod tls_stream;
mod verifiers;

/// A target takes any bytes and panics when something does not hold.
pub type Target = fn(&[u8]);

/// All targets by their names.
pub const TARGETS: &[(&str, Target)] = &[
    ("backend", backend::run),
    ("cancel_keys", cancel_keys::run),
    ("certificates", certificates::run),
    ("error_response", error_response::run),
    ("frontend", frontend::run),
    ("mentions", mentions::run),
    ("owed", owed::run),
    ("params", params::run),
    ("scram_client", scram_client::run),
    ("scram_server", scram_server::run),
    ("setting_names", setting_names::run),
    ("snapshot", snapshot::run),
    ("sql_names", sql_names::run),
    ("startup", startup::run),
    ("tls_stream", tls_stream::run),
    ("verifiers", verifiers::run),
];

/// Runs one target.
///
/// # Panics
/// When there is no target of that name, or when something does not hold.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    let (_, target) = target.expect("TARGETS and tests/fuzz/Cargo.toml name the same");
    target(data);
}
