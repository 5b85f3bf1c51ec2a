#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tophash_fuzz_targets::operations(data));
