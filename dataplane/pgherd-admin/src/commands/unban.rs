//! `UNBAN`: lets reads go to an instance again.

use pgherd_balance::Lifted;
use pgherd_session::AdminReply;
use pgherd_wire::{ErrorResponse, sqlstate};

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::words::named_instances;

pub(super) const COMMAND: Command = Command {
    name: "UNBAN",
    help: "UNBAN host[:port]: lifts the bans of an instance, whoever made them on this proxy.",
    arguments: Arguments::Any,
    run,
};

fn run(request: &Request<'_>) -> Outcome {
    let directory = &request.authorise(Permission::Operate)?.shared.directory;
    let [name] = request.arguments.split_whitespace().collect::<Vec<_>>()[..] else {
        let error = ErrorResponse::error(sqlstate::SYNTAX_ERROR, "UNBAN needs an instance");
        return Err(Box::new(error.hint("UNBAN host[:port]; SHOW BANS lists what is banned.")));
    };
    let mut lifted: Vec<Lifted> = Vec::new();
    for key in named_instances(directory, name)? {
        lifted.extend(directory.unban(&key));
    }
    if lifted.iter().any(|it| it.manual || it.local) {
        return Ok(AdminReply::Done("UNBAN"));
    }
    let error = match lifted.iter().any(|it| it.fleet_remains) {
        // object_not_in_prerequisite_state
        true => ErrorResponse::error("55000", format!("{name} is banned by the fleet"))
            .hint("Bans of the fleet are lifted in the control plane."),
        // undefined_object
        false => ErrorResponse::error("42704", format!("{name} is not banned"))
            .hint("SHOW BANS lists what is banned."),
    };
    Err(Box::new(error))
}
