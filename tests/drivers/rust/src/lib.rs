//! Nothing: the crate is for its tests, which `tests/drivers/run.sh` runs with a server for them.
