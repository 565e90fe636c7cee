//! Runs of plain literals with one separator between them, 64 bytes at a time: what long texts are
//! full of.
//!
//! For each byte of a block a bit says whether it may stand where it stands, by the byte before it.

use wide::u8x16;

const BLOCK: usize = 64;
/// The last byte of the block before.
const LAST: u64 = 1 << 63;

/// What a run is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Numbers of up to nine digits: integers, whatever they are.
    Short,
    /// Of eleven digits and more, the first of which is not 0: too large for an integer.
    Long,
    /// Strings without a quote in them.
    Strings,
}

/// Literals that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub count: usize,
    /// Where the last one ends.
    pub end: usize,
}

/// How many literals of one kind follow one that ends at `at`, each behind a comma, with a blank
/// behind it if they are `spaced`, and before another comma or a bracket. There may be more.
pub fn run(text: &[u8], at: usize, listed: Listed, spaced: bool) -> Run {
    let nothing = Run { count: 0, end: at };
    if text.get(at) != Some(&b',') {
        return nothing;
    }
    let mut scan = Scan::new(listed, spaced);
    let (mut base, mut commas, mut last_comma) = (at, 0, at);
    loop {
        let rest = text.get(base..).unwrap_or_default();
        let found = match rest.first_chunk::<BLOCK>() {
            Some(block) => scan.block(block),
            None => {
                let mut block = [0; BLOCK];
                block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                let found = scan.block(&block);
                Found { stop: found.stop.min(rest.len() as u32), ..found }
            }
        };
        let here = found.commas & below(found.stop);
        commas += here.count_ones() as usize;
        if here != 0 {
            last_comma = base + here.ilog2() as usize;
        }
        if found.stop < BLOCK as u32 {
            let end = base + found.stop as usize;
            return match commas {
                _ if found.ends_literal && text.get(end) == Some(&b')') => {
                    Run { count: commas, end }
                }
                // What stands behind the last comma is something else, or goes on.
                0 => nothing,
                _ => Run { count: commas - 1, end: last_comma },
            };
        }
        base += BLOCK;
    }
}

/// The bits below one.
fn below(bit: u32) -> u64 {
    1_u64.checked_shl(bit).map_or(u64::MAX, |bit| bit - 1)
}

/// What one block says.
struct Found {
    commas: u64,
    /// The first byte that does not belong there; 64 when all do.
    stop: u32,
    /// A literal may end before it.
    ends_literal: bool,
}

/// What is known of the block before: a bit for each of its bytes.
struct Scan {
    listed: Listed,
    spaced: bool,
    digits: u64,
    /// Where literals may end.
    ends: u64,
    commas: u64,
    blanks: u64,
    /// All ones behind a quote that opens.
    in_string: u64,
}

impl Scan {
    /// Behind a literal.
    fn new(listed: Listed, spaced: bool) -> Self {
        Self { listed, spaced, digits: LAST, ends: LAST, commas: 0, blanks: 0, in_string: 0 }
    }

    fn block(&mut self, block: &[u8; BLOCK]) -> Found {
        let mut commas = are(block, b',');
        let mut blanks = if self.spaced { are(block, b' ') } else { 0 };
        let (inside, begins, ends);
        match self.listed {
            Listed::Short | Listed::Long => {
                let digits = bits(block, |part| {
                    let value = part - u8x16::splat(b'0');
                    value.simd_eq(value.min(u8x16::splat(9)))
                });
                let goes_on = digits & behind(digits, self.digits);
                let ten = ten_digits(digits, self.digits);
                if self.listed == Listed::Short {
                    (inside, begins, ends) = (goes_on & !ten, digits & !goes_on, digits);
                } else {
                    // The eleventh and later ones.
                    ends = digits & behind(ten, ten_digits(self.digits, 0));
                    (inside, begins) = (goes_on, digits & !goes_on & !are(block, b'0'));
                }
                self.digits = digits;
            }
            Listed::Strings => {
                let quotes = are(block, b'\'');
                // From a quote that opens up to before the one that closes.
                let open = parity(quotes) ^ self.in_string;
                self.in_string = if open & LAST == 0 { 0 } else { u64::MAX };
                commas &= !open;
                blanks &= !open;
                (inside, begins, ends) = (open ^ quotes, quotes & open, quotes & !open);
            }
        }
        let may_end = behind(ends, self.ends);
        let behind_comma = behind(commas, self.commas);
        let separated = if self.spaced { behind(blanks, self.blanks) } else { behind_comma };
        let fits = inside | begins & separated | commas & may_end | blanks & behind_comma;
        (self.ends, self.commas, self.blanks) = (ends, commas, blanks);
        let stop = (!fits).trailing_zeros();
        Found {
            commas,
            stop,
            ends_literal: may_end.checked_shr(stop).is_some_and(|it| it & 1 == 1),
        }
    }
}

/// A bit for each byte of which this is so.
fn bits(block: &[u8; BLOCK], is: impl Fn(u8x16) -> u8x16) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    parts
        .iter()
        .rev()
        .fold(0, |bits, part| bits << 16 | u64::from(is(u8x16::new(*part)).to_bitmask()))
}

fn are(block: &[u8; BLOCK], byte: u8) -> u64 {
    bits(block, |part| part.simd_eq(u8x16::splat(byte)))
}

/// The bytes behind those of these bits.
fn behind(bits: u64, before: u64) -> u64 {
    bits << 1 | before >> 63
}

/// Where at least ten digits end.
fn ten_digits(digits: u64, before: u64) -> u64 {
    let one = u128::from(digits) << 64 | u128::from(before);
    let two = one & one << 1;
    let four = two & two << 2;
    let eight = four & four << 4;
    ((eight & two << 8) >> 64) as u64
}

/// For each bit whether the number of bits up to it is odd.
fn parity(mut bits: u64) -> u64 {
    for by in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << by;
    }
    bits
}

#[cfg(test)]
mod tests;
