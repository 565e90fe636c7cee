//! The text of arrays, ranges and composite values: where their parts begin and end.

use bytes::Bytes;

use crate::Dimension;

/// A part of a container's text: unquoted ones share its buffer.
pub(crate) struct Part {
    pub(crate) text: Bytes,
    pub(crate) quoted: bool,
}

/// Walks over the text of a container.
pub(crate) struct Walker<'a> {
    whole: &'a Bytes,
    place: usize,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(whole: &'a Bytes) -> Self {
        Self { whole, place: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.whole.get(self.place).copied()
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.place += usize::from(found);
        found
    }

    pub(crate) fn at_end(&self) -> bool {
        self.place == self.whole.len()
    }

    /// The next part up to one of `stops`, which stays. Within quotes a doubled quote is one, and a
    /// backslash takes the next byte as it is; so it does outside.
    pub(crate) fn part(&mut self, stops: &[u8]) -> Option<Part> {
        let start = self.place;
        let mut owned: Option<Vec<u8>> = None;
        let (mut quoted, mut inside) = (false, false);
        while let Some(byte) = self.peek() {
            if !inside && stops.contains(&byte) {
                break;
            }
            self.place += 1;
            match byte {
                b'"' => {
                    let before = self.whole.slice(start..self.place - 1);
                    let text = owned.get_or_insert_with(|| before.to_vec());
                    if inside && self.peek() == Some(b'"') {
                        text.push(b'"');
                        self.place += 1;
                    } else {
                        inside = !inside;
                        quoted = true;
                    }
                }
                b'\\' => {
                    let before = self.whole.slice(start..self.place - 1);
                    let next = self.peek()?;
                    owned.get_or_insert_with(|| before.to_vec()).push(next);
                    self.place += 1;
                }
                _ => {
                    if let Some(text) = &mut owned {
                        text.push(byte);
                    }
                }
            }
        }
        if inside {
            return None;
        }
        let text = owned.map_or_else(|| self.whole.slice(start..self.place), Bytes::from);
        Some(Part { text, quoted })
    }

    /// The part from here to the `]` or `)` that ends a range, for ranges within multiranges.
    pub(crate) fn range(&mut self) -> Option<Bytes> {
        let start = self.place;
        let mut inside = false;
        while let Some(byte) = self.peek() {
            self.place += 1;
            match byte {
                b'"' => inside = !inside,
                b'\\' => self.place += 1,
                b']' | b')' if !inside => return Some(self.whole.slice(start..self.place)),
                _ => {}
            }
        }
        None
    }
}

/// The dimensions and elements of an array's text; `None` elements are NULL.
pub(crate) fn split_array(
    text: &Bytes,
    delimiter: u8,
) -> Option<(Vec<Dimension>, Vec<Option<Bytes>>)> {
    /// Postgres's `MAXDIM`.
    const MOST: usize = 6;
    let mut walker = Walker::new(text);
    let mut lower_bounds = Vec::new();
    while walker.eat(b'[') {
        let bounds = walker.part(b"]")?.text;
        let bounds = std::str::from_utf8(&bounds).ok()?;
        lower_bounds.push(bounds.split_once(':')?.0.parse::<i32>().ok()?);
        walker.eat(b']');
    }
    if !lower_bounds.is_empty() && !walker.eat(b'=') {
        return None;
    }
    let mut lengths: Vec<i32> = Vec::new();
    let mut counts = [0_i32; MOST];
    let (mut elements, mut depth) = (Vec::new(), 0_usize);
    let stops = [delimiter, b'}', b'{'];
    loop {
        if walker.eat(b'{') {
            depth += 1;
            *counts.get_mut(depth - 1)? = 0;
            if lengths.len() < depth {
                lengths.push(-1);
            }
            if walker.eat(b'}') {
                return (depth == 1 && walker.at_end()).then_some((Vec::new(), Vec::new()));
            }
            continue;
        }
        let part = walker.part(&stops)?;
        let is_null = !part.quoted && part.text.eq_ignore_ascii_case(b"NULL");
        elements.push((!is_null).then_some(part.text));
        *counts.get_mut(depth.checked_sub(1)?)? += 1;
        while walker.eat(b'}') {
            let (length, count) = (lengths.get_mut(depth - 1)?, *counts.get(depth - 1)?);
            if *length >= 0 && *length != count {
                return None;
            }
            *length = count;
            depth -= 1;
            if depth == 0 {
                break;
            }
            *counts.get_mut(depth - 1)? += 1;
        }
        if depth == 0 {
            break;
        }
        if !walker.eat(delimiter) {
            return None;
        }
    }
    let bounds = lower_bounds.into_iter().chain(std::iter::repeat(1));
    let dimensions = lengths.into_iter().zip(bounds);
    let dimensions =
        dimensions.map(|(length, lower_bound)| Dimension { length, lower_bound }).collect();
    walker.at_end().then_some((dimensions, elements))
}

/// White space as the parsers of containers see it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// Writes an element of an array.
pub(crate) fn write_element(text: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let special = |&byte: &u8| {
        byte == delimiter || matches!(byte, b'{' | b'}' | b'"' | b'\\') || is_space(byte)
    };
    if !text.is_empty() && !text.eq_ignore_ascii_case(b"NULL") && !text.iter().any(special) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Writes a bound of a range or an attribute of a composite value, which double what is special.
pub(crate) fn write_doubled(text: &[u8], specials: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| specials.contains(byte) || is_space(*byte);
    if !text.is_empty() && !text.iter().any(special) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}
