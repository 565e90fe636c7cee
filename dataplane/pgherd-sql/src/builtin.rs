//! The functions of `pg_catalog`: which of them a replica may answer.
//!
//! Names and volatilities come from the catalogs of real servers (`builtins.tsv`, all majors from
//! 13 to 18, the most volatile overload of each name); `tests/integration` compares and adds to
//! them. Volatility alone does not decide: what is VOLATILE without writing is listed here, and
//! what a hot standby refuses or answers otherwise though it is not.

use std::collections::HashMap;
use std::sync::LazyLock;

/// VOLATILE, but they only read, and a replica's answer is as good. What is not listed here stays
/// with the primary: session state (`setseed`, `currval`), signals, files, slots, large objects,
/// functions that run SQL given as text.
const READS: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "bernoulli",
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "pg_collation_actual_version",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_indexes_size",
    "pg_jit_available",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_stat_have_stats",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "random",
    "random_normal",
    // State of the session, but the session's parameters follow the client.
    "set_config",
    // The sampling method, beside `bernoulli`.
    "system",
    "timeofday",
    "timezone",
    "uuidv4",
    "uuidv7",
];
/// Statistics of the instance that answers.
const READS_PREFIX: &str = "pg_stat_get_";

/// Not VOLATILE, but for the primary: a hot standby refuses them, or they tell of the very
/// connection or instance.
const FOR_THE_PRIMARY: &[&str] = &[
    "pg_backend_pid",
    "pg_current_xact_id",
    "pg_cursor",
    "pg_get_replication_slots",
    "pg_listening_channels",
    "pg_prepared_statement",
    "pg_stat_get_wal_receiver",
    "pg_stat_get_wal_senders",
    "txid_current",
];

/// What is known of a name in `pg_catalog`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    Reads,
    MayWrite,
}

/// What servers say of each name: its most volatile overload, as in `pg_proc.provolatile`.
pub fn volatilities() -> impl Iterator<Item = (&'static str, char)> {
    include_str!("builtins.tsv")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(name, volatility)| Some((name, volatility.chars().next()?)))
}

fn judge(name: &str, volatility: char) -> Builtin {
    let reads = match volatility {
        _ if FOR_THE_PRIMARY.contains(&name) => false,
        'i' | 's' => true,
        _ => READS.contains(&name) || name.starts_with(READS_PREFIX),
    };
    if reads { Builtin::Reads } else { Builtin::MayWrite }
}

/// Made once: the data is part of the program.
static BUILTINS: LazyLock<HashMap<&'static str, Builtin, ahash::RandomState>> =
    LazyLock::new(|| volatilities().map(|(name, it)| (name, judge(name, it))).collect());

/// What is known of a function of `pg_catalog`, with its name as the catalog has it.
pub fn builtin(name: &str) -> Option<(&'static str, Builtin)> {
    BUILTINS.get_key_value(name).map(|(&name, &builtin)| (name, builtin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<Builtin>) {
        assert_eq!(builtin(name).map(|(_, it)| it), expected, "{name}");
    }

    #[test]
    fn what_writes_or_fails_on_a_standby_is_for_the_primary() {
        let names = "nextval setval currval lastval lo_import lo_create lowrite pg_advisory_lock \
             pg_try_advisory_xact_lock pg_notify pg_create_physical_replication_slot \
             pg_logical_emit_message pg_switch_wal pg_is_in_recovery pg_current_wal_lsn \
             pg_last_wal_replay_lsn txid_current pg_current_xact_id pg_export_snapshot \
             query_to_xml ts_stat ts_rewrite pg_cancel_backend pg_terminate_backend pg_backend_pid \
             pg_stat_reset pg_stat_clear_snapshot pg_promote pg_reload_conf setseed pg_read_file";
        for name in names.split_whitespace() {
            check(name, Some(Builtin::MayWrite));
        }
    }

    #[test]
    fn what_only_reads_is_for_everyone() {
        let names = "now clock_timestamp random gen_random_uuid uuidv7 version count sum lower \
             generate_series pg_sleep pg_stat_get_activity pg_table_size current_setting set_config \
             to_char jsonb_agg timezone row_number pg_get_indexdef array_agg coalesce_is_no_function";
        for name in names.split_whitespace().take_while(|name| !name.starts_with("coalesce")) {
            check(name, Some(Builtin::Reads));
        }
    }

    #[test]
    fn other_names_are_not_known() {
        check("dblink", None);
        check("my_function", None);
        check("NOW", None);
    }

    #[test]
    fn the_lists_name_only_what_exists() {
        for name in READS.iter().chain(FOR_THE_PRIMARY) {
            let volatility = volatilities().find(|(it, _)| it == name).map(|(_, it)| it);
            let expected = if READS.contains(name) { 'v' } else { 's' };
            assert_eq!(volatility, Some(expected), "{name}");
        }
    }
}
