//! Bob Jenkins's lookup3 as Postgres uses it (`hash_bytes_extended`), on little-endian machines.

const INITIAL: u32 = 0x9e37_79b9_u32.wrapping_add(3_923_095);

/// The three words of the state.
struct State(u32, u32, u32);

impl State {
    /// `length` is that of the key.
    fn new(length: usize, seed: u64) -> Self {
        // Postgres truncates it, too: values are below 1 GB.
        let start = INITIAL.wrapping_add(length as u32);
        let mut state = Self(start, start, start);
        if seed != 0 {
            state.0 = state.0.wrapping_add((seed >> 32) as u32);
            state.1 = state.1.wrapping_add(seed as u32);
            state.mix();
        }
        state
    }

    fn add(&mut self, a: u32, b: u32, c: u32) {
        self.0 = self.0.wrapping_add(a);
        self.1 = self.1.wrapping_add(b);
        self.2 = self.2.wrapping_add(c);
    }

    fn mix(&mut self) {
        let Self(mut a, mut b, mut c) = *self;
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
        *self = Self(a, b, c);
    }

    fn finish(self) -> u64 {
        let Self(mut a, mut b, mut c) = self;
        c = (c ^ b).wrapping_sub(b.rotate_left(14));
        a = (a ^ c).wrapping_sub(c.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        c = (c ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ c).wrapping_sub(c.rotate_left(4));
        b = (b ^ a).wrapping_sub(a.rotate_left(14));
        c = (c ^ b).wrapping_sub(b.rotate_left(24));
        u64::from(b) << 32 | u64::from(c)
    }
}

/// `hash_bytes_extended`
pub(crate) fn hash_bytes(key: &[u8], seed: u64) -> u64 {
    let mut state = State::new(key.len(), seed);
    let word =
        |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |word, &byte| word << 8 | u32::from(byte));
    let mut blocks = key.chunks_exact(12);
    for block in &mut blocks {
        let (a, rest) = block.split_at(4);
        let (b, c) = rest.split_at(4);
        state.add(word(a), word(b), word(c));
        state.mix();
    }
    let rest = blocks.remainder();
    let part = |from: usize| word(rest.get(from..rest.len().min(from + 4)).unwrap_or_default());
    // The lowest byte of the third word is left to the length.
    state.add(part(0), part(4), part(8) << 8);
    state.finish()
}

/// `hash_bytes_uint32_extended`
pub(crate) fn hash_u32(key: u32, seed: u64) -> u64 {
    let mut state = State::new(4, seed);
    state.add(key, 0, 0);
    state.finish()
}

/// `hash_combine64`
pub(crate) fn combine(a: u64, b: u64) -> u64 {
    let mixed = b.wrapping_add(0x49a0_f4dd_15e5_a8e3).wrapping_add(a << 54).wrapping_add(a >> 7);
    a ^ mixed
}
