//! `SHOW LISTS`: how many there are of everything.

use std::collections::HashSet;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, count, int8, table, text};

pub(super) const COMMAND: Command = Command {
    name: "SHOW LISTS",
    help: "How many databases, users, pools, clients and server connections there are.",
    arguments: Arguments::None,
    run,
};

const FIELDS: &[Field<(&'static str, u64)>] =
    &[text("list", |(name, _)| Some((*name).to_owned())), int8("items", |(_, items)| *items)];

fn run(request: &Request<'_>) -> Outcome {
    let shared = request.authorise(Permission::Look)?.shared;
    let (mut databases, mut users) = (0, HashSet::new());
    shared.directory.for_each_cluster(|cluster| {
        databases += 1;
        users.extend(cluster.users.iter().map(|user| user.name.clone()));
    });
    let pools = shared.directory.pools();
    let (mut free, mut used) = (0, 0);
    for counts in pools.iter().map(|pool| pool.counts()) {
        free += counts.idle;
        used += counts.active;
    }
    used += shared.directory.replications().len();
    let rows = [
        ("databases", databases),
        ("users", count(users.len())),
        ("pools", count(pools.len())),
        ("used_clients", count(shared.clients.len())),
        ("free_servers", count(free)),
        ("used_servers", count(used)),
    ];
    Ok(table(FIELDS, rows))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::Stand;

    #[test]
    fn everything_is_counted_once() {
        expect![[r#"
            list:text | items:int8
            databases | 3
            users | 2
            pools | 5
            used_clients | 0
            free_servers | 0
            used_servers | 0
        "#]]
        .assert_eq(&Stand::with_pools().run("SHOW LISTS"));
    }
}
