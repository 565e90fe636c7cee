//! `SET`: accepted for the session parameters that drivers set on their own.

use pgherd_session::AdminReply;
use pgherd_wire::ErrorResponse;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};

pub(super) const COMMAND: Command = Command {
    name: "SET",
    help: "Accepted without effect for session parameters, which drivers set unasked.",
    arguments: Arguments::Any,
    run,
};

/// What drivers and connection pools set before the first statement of their user. PgBouncer's
/// console accepts them, too; without that they could not connect. Anything else is an error: in
/// PgBouncer `SET default_pool_size = 30` changes a setting, and whoever types it here must not
/// believe that it did.
const IGNORED: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "names",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "time",
    "timezone",
];

fn run(request: &Request<'_>) -> Outcome {
    request.authorise(Permission::Look)?;
    let name = parameter(request.arguments);
    if IGNORED.contains(&name.as_str()) {
        return Ok(AdminReply::Done("SET"));
    }
    // undefined_object, as Postgres has it for an unknown parameter.
    let error = ErrorResponse::error("42704", "the admin database has no such setting")
        .hint("Settings are changed in the file, then RELOAD, or in the control plane.");
    Err(Box::new(error))
}

/// The name in `SET [SESSION | LOCAL] name { TO | = } value`, in small letters. `SET NAMES` and
/// `SET TIME ZONE` count as names of their own.
fn parameter(arguments: &str) -> String {
    arguments
        .split(|c: char| c.is_whitespace() || c == '=')
        .map(str::to_ascii_lowercase)
        .find(|word| !matches!(word.as_str(), "" | "session" | "local"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::check;

    #[test]
    fn what_drivers_set_is_accepted() {
        check(
            &[
                "SET extra_float_digits=3",
                "SET SESSION DateStyle TO 'ISO'",
                "set application_name = 'x'",
                "SET TIME ZONE 'UTC'",
                "SET NAMES 'utf8'",
            ],
            expect![[r#"
                SET
                SET
                SET
                SET
                SET
            "#]],
        );
    }

    #[test]
    fn a_setting_of_the_proxy_is_not_changed_silently() {
        check(
            &["SET default_pool_size = 30", "SET"],
            expect![[r#"
            42704: the admin database has no such setting
            hint: Settings are changed in the file, then RELOAD, or in the control plane.
            42704: the admin database has no such setting
            hint: Settings are changed in the file, then RELOAD, or in the control plane.
        "#]],
        );
    }
}
