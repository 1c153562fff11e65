#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| execgo_runtime::fuzz::journal(bytes));
