//! Names of parameters that a statement sets and resets.

use pgherd_session::fuzzing::setting_names::{
    begins_with_reset, begins_with_set, find, has_several, may_reset,
};

pub(crate) fn run(text: &[u8]) {
    let found = find(text);
    assert!(found.names.iter().all(|name| name.contains('.') && !name.is_empty()));
    // Names that are not known come from set_config, or stand too far away.
    assert!(!found.unknown || found.outlives || text.len() > 4096);
    assert!(found.resets.iter().chain(&found.set_again).all(|name| !name.is_empty()));
    // No RESET is overlooked by the cheap look.
    assert!(found.resets.is_empty() || may_reset(text) || begins_with_set(text) || is_inside(text));
    assert!(!begins_with_reset(text) || may_reset(text));
    assert!(!has_several(text) || text.contains(&b';'));

    // What stands in a comment before it changes nothing.
    let commented = [b"/* x */ -- y\n", text].concat();
    assert_eq!(begins_with_set(&commented), begins_with_set(text));
    assert_eq!(begins_with_reset(&commented), begins_with_reset(text));
}

/// Words that only look like a statement, in the middle of another one.
fn is_inside(text: &[u8]) -> bool {
    !begins_with_reset(text)
}
