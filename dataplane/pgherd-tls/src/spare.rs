//! Buffers for records, kept by each thread for its next connection that has bytes.
//!
//! A worker is a thread, and a connection holds such a buffer only while bytes are under way.

use std::cell::RefCell;

/// Room for one record of each kind and the beginning of the next (a record has at most 16 KiB and
/// some 300 bytes around it).
pub(crate) const SIZE: usize = 32 * 1024;

/// Buffers that a thread keeps.
const MAX_SPARE: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`SIZE`] bytes, whatever stands in them.
pub(crate) fn take() -> Vec<u8> {
    // While a thread ends its spares are gone already.
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    spare.unwrap_or_else(|| vec![0; SIZE])
}

/// Gives a buffer back; one that has grown is let go.
pub(crate) fn put(buffer: Vec<u8>) {
    if buffer.len() == SIZE {
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MAX_SPARE {
                spare.push(buffer);
            }
        });
    }
}
