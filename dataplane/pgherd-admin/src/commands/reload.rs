//! `RELOAD`: reads the settings file again, as the signal HUP does.

use pgherd_session::AdminReply;
use pgherd_wire::ErrorResponse;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};

pub(super) const COMMAND: Command = Command {
    name: "RELOAD",
    help: "Read the settings file again; what is wrong with it is said, and nothing changes.",
    arguments: Arguments::None,
    run,
};

fn run(request: &Request<'_>) -> Outcome {
    let authorised = request.authorise(Permission::Operate)?;
    match authorised.control.reload() {
        Ok(()) => Ok(AdminReply::Done("RELOAD")),
        Err(error) => Err(Box::new(ErrorResponse::error(error.sqlstate(), error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::ReloadError;
    use crate::testing::{Process, Stand};

    #[track_caller]
    fn check(refuse: Option<ReloadError>, expected: Expect) {
        let stand = Stand::with(Process { refuse, ..Process::default() });
        expected.assert_eq(&stand.run("RELOAD"));
        assert_eq!(*stand.process.asked.lock(), ["reload"]);
    }

    #[test]
    fn the_process_is_asked_and_its_answer_told() {
        check(
            None,
            expect![[r#"
            RELOAD
        "#]],
        );
        check(
            Some(ReloadError::Invalid("line 3: unknown key".into())),
            expect![[r#"
            F0000: the settings stay as they were: line 3: unknown key
        "#]],
        );
        check(
            Some(ReloadError::Ending),
            expect![[r#"
            57P01: the proxy is shutting down
        "#]],
        );
    }
}
