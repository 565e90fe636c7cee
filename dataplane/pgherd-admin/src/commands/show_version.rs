//! `SHOW VERSION`: which release this is.

use super::{Arguments, Command};
use crate::authorise::{Outcome, Permission, Request};
use crate::table::{Field, table, text};

pub(super) const COMMAND: Command = Command {
    name: "SHOW VERSION",
    help: "The version of the proxy.",
    arguments: Arguments::None,
    run,
};

const FIELDS: &[Field<()>] =
    &[text("version", |()| Some(concat!("pgherd ", env!("CARGO_PKG_VERSION")).to_owned()))];

fn run(request: &Request<'_>) -> Outcome {
    request.authorise(Permission::Look)?;
    Ok(table(FIELDS, [()]))
}
