//! Floating-point numbers as Postgres orders and writes them.

use std::cmp::Ordering;

/// The order of the btree: NaN equals itself and is above everything, both zeros are equal.
pub(crate) fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Bits that are equal for equal numbers.
pub(crate) fn canonical_bits(number: f64) -> u64 {
    if number.is_nan() {
        f64::NAN.to_bits()
    } else if number == 0.0 {
        0
    } else {
        number.to_bits()
    }
}

/// Reads the text that Postgres writes.
pub(crate) fn parse(text: &[u8]) -> Option<f64> {
    special(text).or_else(|| number(text)?.parse().ok())
}

/// The same for `real`; rounding to 53 bits in between would be wrong.
pub(crate) fn parse_single(text: &[u8]) -> Option<f32> {
    special(text).map(|it| it as f32).or_else(|| number(text)?.parse().ok())
}

fn special(text: &[u8]) -> Option<f64> {
    Some(match text {
        b"NaN" => f64::NAN,
        b"Infinity" => f64::INFINITY,
        b"-Infinity" => f64::NEG_INFINITY,
        _ => return None,
    })
}

/// What Rust would read beyond Postgres's own output, such as `inf`, is not let through.
fn number(text: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    text.iter().all(plain).then(|| std::str::from_utf8(text).ok())?
}

/// `float8out`
pub(crate) fn write(number: f64, extra_float_digits: i32, out: &mut Vec<u8>) {
    if write_special(number, out) {
        return;
    }
    if extra_float_digits > 0 {
        write_shortest(&shortest(number), 15, out);
    } else {
        write_general(number, 15 + extra_float_digits, out);
    }
}

/// `float4out`
pub(crate) fn write_single(number: f32, extra_float_digits: i32, out: &mut Vec<u8>) {
    if write_special(f64::from(number), out) {
        return;
    }
    if extra_float_digits > 0 {
        write_shortest(&shortest_single(number), 6, out);
    } else {
        write_general(f64::from(number), 6 + extra_float_digits, out);
    }
}

fn write_special(number: f64, out: &mut Vec<u8>) -> bool {
    if number.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    !number.is_finite()
}

/// The shortest digits that lie strictly between the neighbours' midpoints: Postgres does not rely
/// on readers that round a midpoint to even, as Rust does (`1e23`). Of two that are equally near it
/// takes the even one.
fn shortest(number: f64) -> String {
    let text = format!("{number:e}");
    let good = |text: &str| text.parse() == Ok(number) && !is_midpoint(number, text);
    (digits_of(&text)..=17)
        .map(|digits| format!("{number:.*e}", digits - 1))
        .find(|rounded| good(rounded))
        .filter(|rounded| digits_of(rounded) == digits_of(&text) || !good(&text))
        .map_or(text, |rounded| without_trailing_zeros(&rounded))
}

fn shortest_single(number: f32) -> String {
    let text = format!("{number:e}");
    let good = |text: &str| text.parse() == Ok(number) && !is_midpoint_single(number, text);
    (digits_of(&text)..=9)
        .map(|digits| format!("{number:.*e}", digits - 1))
        .find(|rounded| good(rounded))
        .filter(|rounded| digits_of(rounded) == digits_of(&text) || !good(&text))
        .map_or(text, |rounded| without_trailing_zeros(&rounded))
}

fn digits_of(text: &str) -> usize {
    text.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count()
}

fn without_trailing_zeros(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            format!("{mantissa}e{exponent}")
        }
        _ => text.to_owned(),
    }
}

/// Whether the decimal text is exactly half way to a neighbour.
fn is_midpoint(number: f64, text: &str) -> bool {
    let magnitude = number.abs();
    if magnitude == 0.0 {
        return false;
    }
    let text = text.trim_start_matches('-');
    [magnitude.next_up(), magnitude.next_down()]
        .into_iter()
        .filter(|other| other.is_finite())
        .any(|other| exact::is_half_of_sum(text, magnitude, other))
}

fn is_midpoint_single(number: f32, text: &str) -> bool {
    let magnitude = number.abs();
    if magnitude == 0.0 {
        return false;
    }
    let text = text.trim_start_matches('-');
    [magnitude.next_up(), magnitude.next_down()]
        .into_iter()
        .filter(|other| other.is_finite())
        .any(|other| exact::is_half_of_sum(text, f64::from(magnitude), f64::from(other)))
}

/// Exact comparison of decimal and binary fractions.
mod exact {
    use num_bigint::BigUint;

    /// Mantissa and exponent to the base 2.
    fn parts(number: f64) -> (u64, i32) {
        let bits = number.to_bits();
        // 11 bits.
        let exponent = ((bits >> 52) & 0x7FF) as i32;
        let fraction = bits & ((1 << 52) - 1);
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
    }

    /// `2 * text == a + b`
    pub(super) fn is_half_of_sum(text: &str, a: f64, b: f64) -> bool {
        let Some((mantissa, exponent)) = text.split_once('e') else { return false };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").parse::<u64>();
        let (Ok(digits), Ok(exponent)) = (digits, exponent.parse::<i32>()) else { return false };
        let exponent = exponent - i32::try_from(fraction.len()).unwrap_or(0);
        let ((a, a_exponent), (b, b_exponent)) = (parts(a), parts(b));
        let lowest = a_exponent.min(b_exponent);
        let sum = (BigUint::from(a) << (a_exponent - lowest).unsigned_abs())
            + (BigUint::from(b) << (b_exponent - lowest).unsigned_abs());
        // digits * 10^exponent * 2 == sum * 2^lowest
        let mut left = BigUint::from(digits) * 2_u32;
        let mut right = sum;
        let ten = BigUint::from(10_u32).pow(exponent.unsigned_abs());
        if exponent >= 0 {
            left *= ten;
        } else {
            right *= ten;
        }
        if lowest >= 0 {
            right <<= lowest.unsigned_abs();
        } else {
            left <<= lowest.unsigned_abs();
        }
        left == right
    }
}

/// From `d.ddde±x` to Postgres's choice of notation.
fn write_shortest(scientific: &str, fixed_below: i32, out: &mut Vec<u8>) {
    let (sign, text) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    out.extend_from_slice(sign.as_bytes());
    write_digits(&digits, exponent, (-4..fixed_below).contains(&exponent), out);
}

/// `%.*g`
fn write_general(number: f64, precision: i32, out: &mut Vec<u8>) {
    let precision = precision.max(1);
    let after = usize::try_from(precision - 1).unwrap_or(0);
    let text = format!("{:.after$e}", number.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        significant => significant,
    };
    if number.is_sign_negative() {
        out.push(b'-');
    }
    write_digits(digits, exponent, (-4..precision).contains(&exponent), out);
}

/// Significant digits, the first of them with this decimal exponent.
fn write_digits(digits: &str, exponent: i32, fixed: bool, out: &mut Vec<u8>) {
    let all = digits.as_bytes();
    if !fixed {
        let (first, rest) = all.split_at(all.len().min(1));
        out.extend_from_slice(first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
        return;
    }
    let Ok(whole) = usize::try_from(exponent + 1) else {
        return write_fraction(exponent, all, out);
    };
    if whole == 0 {
        return write_fraction(exponent, all, out);
    }
    let (head, tail) = all.split_at(all.len().min(whole));
    out.extend_from_slice(head);
    out.extend(std::iter::repeat_n(b'0', whole - head.len()));
    if !tail.is_empty() {
        out.push(b'.');
        out.extend_from_slice(tail);
    }
}

fn write_fraction(exponent: i32, digits: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0.");
    let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
    out.extend(std::iter::repeat_n(b'0', zeros));
    out.extend_from_slice(digits);
}
