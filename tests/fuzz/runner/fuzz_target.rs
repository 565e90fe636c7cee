//! Gives what libFuzzer makes up to the target that this program is named for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    pgherd_fuzz_targets::run(env!("CARGO_BIN_NAME"), data);
});
