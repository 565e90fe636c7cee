//! From the text of a statement to the command that it names.

use std::sync::Arc;

use pgherd_session::{AdminConsole, AdminReply, Shared};
use pgherd_wire::{ErrorResponse, sqlstate};

use crate::authorise::{Outcome, Refusal, Request};
use crate::commands::{Arguments, COMMANDS, Command};
use crate::control::Control;

/// The console of one proxy.
#[derive(Debug)]
pub struct Console {
    control: Arc<dyn Control>,
}

/// As much of an unknown statement as an error repeats.
const MAX_ECHO: usize = 64;

impl Console {
    /// A console that acts on this process.
    pub fn new(control: Arc<dyn Control>) -> Self {
        Self { control }
    }

    fn dispatch(&self, shared: &Shared, admin: &str, statement: &str) -> Outcome {
        let statement = statement.trim_matches(|c: char| c.is_whitespace() || c == ';');
        let Some((command, arguments)) =
            COMMANDS.iter().find_map(|it| Some((it, arguments_of(it, statement)?)))
        else {
            return Err(unknown(statement));
        };
        if command.arguments == Arguments::None && !arguments.is_empty() {
            let message = format!("{} takes no arguments", command.name);
            return Err(Box::new(ErrorResponse::error(sqlstate::SYNTAX_ERROR, message)));
        }
        (command.run)(&Request::new(arguments, admin, shared, &*self.control))
    }
}

impl AdminConsole for Console {
    fn run(&self, shared: &Shared, admin: &str, statement: &str) -> AdminReply {
        match self.dispatch(shared, admin, statement) {
            Ok(reply) => reply,
            Err(refusal) => AdminReply::Refused(*refusal),
        }
    }
}

/// What follows the name of the command, if the statement begins with it. Case and the amount of
/// white space do not matter.
fn arguments_of<'s>(command: &Command, statement: &'s str) -> Option<&'s str> {
    let mut rest = statement;
    for word in command.name.split(' ') {
        let (first, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if !first.eq_ignore_ascii_case(word) {
            return None;
        }
        rest = after.trim_start();
    }
    Some(rest)
}

fn unknown(statement: &str) -> Refusal {
    let mut echo: String = statement.chars().take(MAX_ECHO).collect();
    if echo.len() < statement.len() {
        echo.push('…');
    }
    let hint = match nearest(&echo) {
        Some(command) => {
            format!("Did you mean {}? SHOW HELP lists the commands.", command.name)
        }
        None => "SHOW HELP lists the commands.".to_owned(),
    };
    let message = format!("the admin database has no command \"{echo}\"");
    Box::new(ErrorResponse::error(sqlstate::SYNTAX_ERROR, message).hint(hint))
}

/// The command that was most likely meant: at most a third of its letters differ. `SHOW` may have
/// been left out.
fn nearest(statement: &str) -> Option<&'static Command> {
    let asked = statement.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase();
    COMMANDS
        .iter()
        .filter_map(|command| {
            let spellings = [Some(command.name), command.name.strip_prefix("SHOW ")];
            let distance = spellings
                .into_iter()
                .flatten()
                .filter_map(|name| {
                    let distance = strsim::osa_distance(&asked, name);
                    // The word SHOW, which is right more often than not, says nothing.
                    let telling = name.strip_prefix("SHOW ").unwrap_or(name).len();
                    (distance <= telling / 3).then_some(distance)
                })
                .min()?;
            Some((distance, command))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, command)| command)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::testing::Stand;

    #[track_caller]
    fn check(statement: &str, expected: Expect) {
        expected.assert_eq(&Stand::new().run(statement));
    }

    #[test]
    fn case_white_space_and_semicolons_do_not_matter() {
        check(
            "  show\n\tVersion ;; ",
            expect![[r#"
            version:text
            pgherd 0.1.0
        "#]],
        );
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        check(
            "show pols",
            expect![[r#"
            42601: the admin database has no command "show pols"
            hint: Did you mean SHOW POOLS? SHOW HELP lists the commands.
        "#]],
        );
        check(
            "POOLS",
            expect![[r#"
            42601: the admin database has no command "POOLS"
            hint: Did you mean SHOW POOLS? SHOW HELP lists the commands.
        "#]],
        );
        check(
            "relaod",
            expect![[r#"
            42601: the admin database has no command "relaod"
            hint: Did you mean RELOAD? SHOW HELP lists the commands.
        "#]],
        );
    }

    #[test]
    fn what_resembles_nothing_gets_no_guess() {
        check(
            "SELECT 1",
            expect![[r#"
            42601: the admin database has no command "SELECT 1"
            hint: SHOW HELP lists the commands.
        "#]],
        );
        check(
            "",
            expect![[r#"
            42601: the admin database has no command ""
            hint: SHOW HELP lists the commands.
        "#]],
        );
    }

    #[test]
    fn a_long_statement_is_not_repeated_in_full() {
        check(
            &"ä".repeat(100),
            expect![[r#"
            42601: the admin database has no command "ääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääää…"
            hint: SHOW HELP lists the commands.
        "#]],
        );
    }

    #[test]
    fn arguments_that_mean_nothing_are_refused() {
        check(
            "SHOW POOLS app",
            expect![[r#"
            42601: SHOW POOLS takes no arguments
        "#]],
        );
    }
}
