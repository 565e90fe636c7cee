//! `bit` and `bit varying`.

use std::cmp::Ordering;

use crate::Bits;
use crate::binary::Cursor;

impl Bits {
    /// Reads `0101`.
    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let mut bytes = vec![0; text.len().div_ceil(8)];
        for (group, byte) in text.chunks(8).zip(&mut bytes) {
            for (place, digit) in group.iter().enumerate() {
                match digit {
                    b'0' => {}
                    b'1' => *byte |= 0x80 >> place,
                    _ => return None,
                }
            }
        }
        Some(Self { length: text.len(), bytes: bytes.into() })
    }

    pub(crate) fn write_text(&self, out: &mut Vec<u8>) {
        let bits = self.bytes.iter().flat_map(|byte| (0..8).map(move |place| byte << place));
        out.extend(bits.take(self.length).map(|byte| if byte & 0x80 == 0 { b'0' } else { b'1' }));
    }

    pub(crate) fn from_binary(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let length = usize::try_from(cursor.i32()?).ok()?;
        let fits = cursor.0.len() == length.div_ceil(8);
        fits.then(|| Self { length, bytes: cursor.0.into() })
    }

    pub(crate) fn write_binary(&self, out: &mut Vec<u8>) -> Option<()> {
        out.extend(i32::try_from(self.length).ok()?.to_be_bytes());
        out.extend_from_slice(&self.bytes);
        Some(())
    }

    /// `bit_cmp`
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes).then(self.length.cmp(&other.length))
    }

    /// Both through an operation on bytes; `None` when their lengths differ.
    pub(crate) fn zip(&self, other: &Self, operation: fn(u8, u8) -> u8) -> Option<Self> {
        let bytes = self.bytes.iter().zip(&other.bytes).map(|(&a, &b)| operation(a, b)).collect();
        (self.length == other.length).then_some(Self { length: self.length, bytes })
    }
}
