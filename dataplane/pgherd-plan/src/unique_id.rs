//! `pgherd.unique_id()`: numbers that no two calls on any shard, by whatever way, have in common.
//!
//! 63 bits, so that they are positive as `bigint`: 31 bits of seconds since 2024-01-01 (until
//! 2092), 10 bits of the shard, 22 bits of a counter that the shard has as a sequence. Later ones are
//! greater, to the second. A number comes again only if a shard's clock is set back and just then
//! the counter comes to the same value, which takes four million calls since.

/// The schema of it, and its name.
pub const FUNCTION: &str = "pgherd.unique_id";

/// The statements that make it on a shard; good to be repeated.
pub fn install(shard: usize) -> String {
    let shard = shard & 1023;
    format!(
        "CREATE SCHEMA IF NOT EXISTS pgherd; \
         CREATE SEQUENCE IF NOT EXISTS pgherd.unique_ids; \
         CREATE OR REPLACE FUNCTION pgherd.unique_id() RETURNS bigint LANGUAGE sql VOLATILE \
         SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT \
         ((floor(extract(epoch FROM clock_timestamp()))::bigint - 1704067200) << 32) \
         | ({shard}::bigint << 22) | (nextval(''pgherd.unique_ids'') & 4194303)'; \
         GRANT USAGE ON SCHEMA pgherd TO PUBLIC"
    )
}
