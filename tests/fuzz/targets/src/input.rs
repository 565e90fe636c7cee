//! Takes numbers and texts off the bytes that a fuzzer gives.

/// What is left of the bytes. Behind their end there are zeros, so that short inputs do something.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `limit`, which is at most 256.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// The bytes up to the next `end`, which is taken too.
    pub(crate) fn until(&mut self, end: u8) -> &'a [u8] {
        let mut parts = self.0.splitn(2, |&byte| byte == end);
        let part = parts.next().unwrap_or_default();
        self.0 = parts.next().unwrap_or_default();
        part
    }

    /// As [`Self::until`] a zero, as text.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.until(0)).into_owned()
    }

    /// Alters some bytes of a message, cuts it, or leaves it as it is.
    pub(crate) fn alter(&mut self, message: &[u8]) -> Vec<u8> {
        let mut altered = message.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(256) * (altered.len() + 1) / 256;
            match self.below(4) {
                0 => altered.truncate(at),
                1 => altered.insert(at, self.byte()),
                2 if at < altered.len() => {
                    altered.remove(at);
                }
                _ => {
                    if let Some(byte) = altered.get_mut(at) {
                        *byte = self.byte();
                    }
                }
            }
        }
        altered
    }
}
