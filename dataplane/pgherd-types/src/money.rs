//! `money` as `lc_monetary = C` writes it: `-$1,234.56`.

pub(crate) fn from_text(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let text = text.strip_prefix(b"$")?;
    let cents = text.len().checked_sub(3)?;
    let mut sum: i128 = 0;
    for (place, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => sum = sum.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?,
            b'.' if place == cents => {}
            b',' if place < cents => {}
            _ => return None,
        }
    }
    i64::try_from(if negative { -sum } else { sum }).ok()
}

pub(crate) fn write_text(cents: i64, out: &mut Vec<u8>) {
    if cents < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let magnitude = cents.unsigned_abs();
    let whole = (magnitude / 100).to_string();
    for (place, digit) in whole.bytes().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(digit);
    }
    out.extend(format!(".{:02}", magnitude % 100).as_bytes());
}
