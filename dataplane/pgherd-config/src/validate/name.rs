//! Rules for names of clusters and users.

use super::{Findings, limits, rule::Rule};

/// Names that lead to the admin database, whatever the clusters are called.
const RESERVED: [&str; 2] = ["pgherd", "pgbouncer"];

pub(super) fn check_cluster(name: &str, pointer: &str, findings: &mut Findings) {
    check(name, pointer, findings);
    if RESERVED.contains(&name) {
        findings.reject(pointer, Rule::NameReserved { name: name.to_owned() });
    }
}

pub(super) fn check(name: &str, pointer: &str, findings: &mut Findings) {
    let bytes = name.len();
    if name.is_empty() {
        findings.reject(pointer, Rule::NameEmpty);
    } else if bytes > limits::NAME_BYTES {
        findings.reject(pointer, Rule::NameTooLong { bytes });
    } else if name.chars().any(char::is_control) {
        findings.reject(pointer, Rule::NameControl);
    }
}
