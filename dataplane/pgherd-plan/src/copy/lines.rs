//! Which line of the client a line on a shard was.

/// For each row of a shard how many lines further it ends than the one before, there and at the
/// client's: about two bytes a row.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    steps: Vec<u8>,
    here: u64,
    of_client: u64,
}

// === impl Lines ===

impl Lines {
    /// A row of so many lines that ends at this line of the client's.
    pub fn add(&mut self, lines: u64, of_client: u64) {
        put(&mut self.steps, lines);
        put(&mut self.steps, of_client.saturating_sub(self.of_client));
        self.here += lines;
        self.of_client = of_client;
    }

    /// The client's line of a line here, counted from 1; that of the row for lines within.
    pub fn of_client(&self, line: u64) -> Option<u64> {
        let mut rest = self.steps.as_slice();
        let (mut here, mut client) = (0, 0);
        while !rest.is_empty() {
            here += take(&mut rest)?;
            client += take(&mut rest)?;
            if here >= line {
                return Some(client - (here - line));
            }
        }
        None
    }
}

/// Seven bits a byte, the lowest first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_again() {
        let mut lines = Lines::default();
        lines.add(1, 3);
        lines.add(3, 500);
        lines.add(1, 100_000);
        let found: Vec<_> = (1..=6).map(|it| lines.of_client(it)).collect();
        assert_eq!(found, [Some(3), Some(498), Some(499), Some(500), Some(100_000), None]);
    }
}
