//! Makes a password comparable, the way Postgres does before it hashes one.

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// A password ready to be hashed; wiped when it is a copy.
pub(super) enum Prepared<'a> {
    AsItIs(&'a str),
    Changed(Zeroizing<String>),
}

impl Prepared<'_> {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::AsItIs(password) => password.as_bytes(),
            Self::Changed(password) => password.as_bytes(),
        }
    }
}

/// SASLprep (RFC 4013) as `pg_saslprep` in Postgres's saslprep.c has it, so that verifiers are
/// the same here and there. It differs from the RFC (and from `stringprep::saslprep`) in this:
/// - a password that the RFC forbids is used as it is, and so is one that becomes empty;
/// - ASCII is never touched, control characters included;
/// - what is forbidden is looked for before normalisation, not after.
pub(super) fn prepare(password: &str) -> Prepared<'_> {
    if password.is_ascii() {
        return Prepared::AsItIs(password);
    }
    let mapped: Zeroizing<String> = Zeroizing::new(
        password
            .chars()
            .map(|c| if tables::non_ascii_space_character(c) { ' ' } else { c })
            .filter(|&c| !tables::commonly_mapped_to_nothing(c))
            .collect(),
    );
    if mapped.is_empty() || mapped.contains(prohibited) || bidi_violated(&mapped) {
        return Prepared::AsItIs(password);
    }
    Prepared::Changed(Zeroizing::new(mapped.nfkc().collect()))
}

/// Prohibited output (RFC 4013, section 2.3) and code points unassigned in Unicode 3.2.
fn prohibited(c: char) -> bool {
    tables::non_ascii_space_character(c)
        || tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
        || tables::unassigned_code_point(c)
}

/// RFC 3454, section 6: right-to-left text begins and ends with right-to-left characters and
/// contains no left-to-right ones.
fn bidi_violated(text: &str) -> bool {
    text.contains(tables::bidi_r_or_al)
        && (text.contains(tables::bidi_l)
            || !text.starts_with(tables::bidi_r_or_al)
            || !text.ends_with(tables::bidi_r_or_al))
}
