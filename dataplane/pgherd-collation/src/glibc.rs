//! Locales of the GNU C library.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pgherd_types::TextOrder;

/// Texts of this many bytes together are compared without memory of their own.
const ON_THE_STACK: usize = 512;

// Not in the `libc` crate.
unsafe extern "C" {
    fn strcoll_l(a: *const c_char, b: *const c_char, locale: libc::locale_t) -> c_int;
}

/// A locale whose text is UTF-8.
#[derive(Debug)]
pub(crate) struct Locale {
    /// For whoever prints it.
    #[expect(dead_code, reason = "shown by Debug")]
    name: Box<str>,
    /// Lives as long as the process.
    handle: libc::locale_t,
}

// SAFETY: a locale object does not change after `newlocale`; functions that take one only read it.
unsafe impl Send for Locale {}
// SAFETY: as above.
unsafe impl Sync for Locale {}

/// The version of the library, as `pg_collation_actual_version` tells it.
pub(crate) fn version() -> &'static str {
    // SAFETY: returns a string that lives as long as the process.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    version.to_str().unwrap_or_default()
}

/// The locale of that name, if it is installed and its text is UTF-8. Looked up once.
pub(crate) fn locale(name: &str) -> Option<Arc<Locale>> {
    static KNOWN: OnceLock<Mutex<HashMap<String, Option<Arc<Locale>>>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock();
    if let Some(locale) = known.get(name) {
        return locale.clone();
    }
    let locale = open(name).map(Arc::new);
    known.insert(name.to_owned(), locale.clone());
    locale
}

fn open(name: &str) -> Option<Locale> {
    let c_name = CString::new(name).ok()?;
    let mask = libc::LC_COLLATE_MASK | libc::LC_CTYPE_MASK;
    // SAFETY: the name ends with a NUL; a base of NULL asks for a new locale object.
    let handle = unsafe { libc::newlocale(mask, c_name.as_ptr(), std::ptr::null_mut()) };
    if handle.is_null() {
        return None;
    }
    let locale = Locale { name: name.into(), handle };
    locale.is_utf8().then_some(locale)
}

// === impl Locale ===

impl Locale {
    fn is_utf8(&self) -> bool {
        // SAFETY: the locale is valid; the answer is a string that lives as long as the locale.
        let codeset = unsafe { CStr::from_ptr(libc::nl_langinfo_l(libc::CODESET, self.handle)) };
        codeset.to_bytes() == b"UTF-8"
    }

    /// `texts` holds both, each with a NUL at its end; the second begins at `second`.
    fn compare(&self, texts: &[u8], second: usize) -> Ordering {
        debug_assert!(texts[second - 1] == 0 && texts.last() == Some(&0));
        let (a, b) = texts.split_at(second);
        // SAFETY: both end with a NUL, and the locale is valid.
        let order = unsafe { strcoll_l(a.as_ptr().cast(), b.as_ptr().cast(), self.handle) };
        order.cmp(&0)
    }
}

impl Drop for Locale {
    fn drop(&mut self) {
        // SAFETY: it came from `newlocale`, and nobody else has it.
        unsafe { libc::freelocale(self.handle) };
    }
}

impl TextOrder for Locale {
    fn order(&self, a: &[u8], b: &[u8]) -> Ordering {
        let (second, len) = (a.len() + 1, a.len() + b.len() + 2);
        let fill = |texts: &mut [u8]| {
            texts[..a.len()].copy_from_slice(a);
            texts[second..len - 1].copy_from_slice(b);
        };
        if len <= ON_THE_STACK {
            let mut texts = [0; ON_THE_STACK];
            fill(&mut texts[..len]);
            self.compare(&texts[..len], second)
        } else {
            let mut texts = vec![0; len];
            fill(&mut texts);
            self.compare(&texts, second)
        }
    }
}
