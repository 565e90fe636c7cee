//! Faults under load: see `tests/chaos/main.rs`.
