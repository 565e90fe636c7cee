//! Small types whose text is a number, hexadecimal digits or escapes.

use bytes::Bytes;

use crate::Value;

/// `\xDEADBEEF` or octal escapes, whatever `bytea_output` was.
pub(crate) fn bytea_from_text(text: &[u8]) -> Option<Bytes> {
    if let Some(digits) = text.strip_prefix(b"\\x") {
        let pairs = digits.chunks(2).map(|pair| match *pair {
            [high, low] => Some(hex(high)? << 4 | hex(low)?),
            _ => None,
        });
        return pairs.collect::<Option<Vec<u8>>>().map(Bytes::from);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
        } else if let Some(tail) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = tail;
        } else {
            let (digits, tail) = rest.split_first_chunk::<3>()?;
            let octal = |sum: u16, digit: &u8| {
                (b'0'..=b'7').contains(digit).then(|| sum * 8 + u16::from(digit - b'0'))
            };
            bytes.push(u8::try_from(digits.iter().try_fold(0, octal)?).ok()?);
            rest = tail;
        }
    }
    Some(bytes.into())
}

pub(crate) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

pub(crate) fn write_bytea_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x20..=0x7E => out.push(byte),
            _ => out.extend(format!("\\{byte:03o}").as_bytes()),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

pub(crate) fn uuid_from_text(text: &[u8]) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let mut digits = text.iter().filter(|&&byte| byte != b'-');
    for byte in &mut uuid {
        *byte = hex(*digits.next()?)? << 4 | hex(*digits.next()?)?;
    }
    digits.next().is_none().then_some(uuid)
}

pub(crate) fn write_uuid(uuid: &[u8; 16], out: &mut Vec<u8>) {
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        write_hex(&[*byte], out);
    }
}

/// `16/B374D848`
pub(crate) fn lsn_from_text(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (high, low) = text.split_once('/')?;
    let half = |text| u32::from_str_radix(text, 16).ok().map(u64::from);
    Some(half(high)? << 32 | half(low)?)
}

/// `(0,1)`
pub(crate) fn tid_from_text(text: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    let (block, offset) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    Some(Value::Tid(block.parse().ok()?, offset.parse().ok()?))
}

/// `charin`: octal for what is not ASCII since Postgres 16, the byte itself before; nothing is 0.
pub(crate) fn char_from_text(text: &[u8]) -> Option<u8> {
    match *text {
        [] => Some(0),
        [byte] => Some(byte),
        [b'\\', a, b, c] if [a, b, c].iter().all(|it| (b'0'..=b'7').contains(it)) => {
            u8::try_from((u32::from(a - b'0') * 8 + u32::from(b - b'0')) * 8 + u32::from(c - b'0'))
                .ok()
        }
        _ => None,
    }
}

/// A whole number without allocation; text of servers has no spaces.
pub(crate) fn integer(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    let append = |sum: u64, byte: &u8| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { sum.checked_mul(10)?.checked_add(u64::from(digit)) }
    };
    let magnitude = i128::from(digits.iter().try_fold(0, append)?);
    Some(if negative { -magnitude } else { magnitude })
}
