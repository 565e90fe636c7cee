//! Words in a statement that tell of session state: none is lost where the text is cut on its way.

use pgherd_session::fuzzing::mentions::{
    OVERLAP, find, forgets_statements, sets_reported_parameter,
};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let cut = input.below(256);
    let text = input.0;
    let whole = find(text);
    let cut = cut * text.len() / 256;
    let (before, after) = text.split_at(cut);
    let seam = &text[cut.saturating_sub(OVERLAP)..(cut + OVERLAP).min(text.len())];
    let parts = find(before).and(find(seam)).and(find(after));
    assert!(parts.contains(whole), "cut at {cut}: {parts:?} of {whole:?}");

    // More text around it takes nothing away, and letters have no case.
    assert!(find(&[text, b" SELECT 1"].concat()).contains(whole));
    assert_eq!(find(&text.to_ascii_uppercase()), whole);
    assert_eq!(forgets_statements(text), forgets_statements(&text.to_ascii_uppercase()));
    if sets_reported_parameter(text) {
        // Postgres refuses an equals sign before it, so that it may be passed over.
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'=';
        let start = text.iter().position(|byte| !is_between(byte)).unwrap_or(text.len());
        assert!(text[start..].to_ascii_lowercase().starts_with(b"set"));
    }
}
