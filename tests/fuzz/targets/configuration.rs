#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| execgo_runtime::fuzz::configuration(text));
