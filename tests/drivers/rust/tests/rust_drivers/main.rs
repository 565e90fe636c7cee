//! tokio-postgres and sqlx, used as programs use them: `tests/drivers/run.sh rust` runs these with
//! a server in the environment (`PGHOST`, …), directly and through the proxy.

mod fixture;
mod sqlx;
mod tokio_postgres;
