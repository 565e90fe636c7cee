//! Values against a real Postgres, which judges how they are written, ordered, grouped and added.
//!
//! Each test draws values from a seed that it prints; `PGHERD_SEED` repeats one.

mod aggregates;
mod generate;
mod orders;
mod round_trips;
mod server;
