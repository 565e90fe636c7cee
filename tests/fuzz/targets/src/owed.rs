//! The queue of owed replies, against a server that follows the manual and against one that says
//! anything: no reply passes that is not owed.

mod anything;
mod server;

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.below(2) {
        0 => server::run(input),
        _ => anything::run(input),
    }
}
