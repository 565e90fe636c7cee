//! `SHUTDOWN`: takes the proxy down, as the signal TERM does.

use pgherd_session::AdminReply;

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};

/// PgBouncer's plain `SHUTDOWN` cuts transactions off; this one lets them finish, which is what
/// PgBouncer calls `SHUTDOWN WAIT_FOR_SERVERS`.
pub(super) const COMMAND: Command = Command {
    name: "SHUTDOWN",
    help: "Take no new clients, let transactions finish, then end the proxy.",
    arguments: Arguments::None,
    run,
};

fn run(request: &Request<'_>) -> Outcome {
    request.authorise(Permission::Operate)?.control.shutdown();
    Ok(AdminReply::Done("SHUTDOWN"))
}

#[cfg(test)]
mod tests {
    use crate::testing::Stand;

    #[test]
    fn the_process_is_asked() {
        let stand = Stand::new();
        assert_eq!(stand.run("shutdown;"), "SHUTDOWN\n");
        assert_eq!(*stand.process.asked.lock(), ["shutdown"]);
    }
}
