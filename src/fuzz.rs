//! The doors of the fuzz targets in `tests/fuzz`: one for each parser of what comes from outside the process. Each takes
//! any bytes and panics when a law of its parser does not hold. Compiled for fuzzing, and for the test of the seeds.

use std::io::Read;
use std::path::Path;

use crate::api::{self, Malformed, SubmitTaskRequest};
use crate::config;
use crate::launcher::frame::{self, FrameBuffer};
use crate::launcher::protocol::{LaunchRequest, Report};
use crate::shim::journal::{self, JournalError, Record};
use crate::task::{CapabilityMode, Defaults, InvalidField};

/// The body of a submission: refused with a sentence, or the same request when it is written and read again.
pub fn request(body: &[u8]) {
    let request: SubmitTaskRequest = match api::parse(body) {
        Ok(request) => request,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            if let Malformed::Field(field) = fault {
                is_told(&field);
            }
            return;
        }
    };
    let written = serde_json::to_vec(&request).expect("what was read can be written");
    assert_eq!(api::parse::<SubmitTaskRequest>(&written).as_ref(), Ok(&request));
    let defaults = Defaults { capability_mode: CapabilityMode::Adaptive, log_max_bytes: 1 };
    match request.into_draft().and_then(|(id, draft, _)| draft.validate(defaults).map(|spec| (id, spec))) {
        Ok((id, spec)) => {
            assert!(id.is_none_or(|id| Path::new(id.as_str()).components().count() == 1), "an id names one directory");
            let written = serde_json::to_vec(&spec).expect("a specification can be stored");
            assert_eq!(serde_json::from_slice(&written).ok(), Some(spec), "and comes back as it was");
        }
        Err(field) => is_told(&field),
    }
}

fn is_told(field: &InvalidField) {
    assert!(!field.message.is_empty(), "{field:?}");
    assert!(field.message.len() < 4096, "the message is a sentence: {field:?}");
}

/// A configuration file, and behind a NUL each variable of the environment.
pub fn configuration(text: &str) {
    let mut parts = text.split('\0');
    let file = parts.next().unwrap_or_default();
    if let Err(invalid) = config::check_text(file) {
        assert!(!invalid.0.is_empty() && invalid.0.iter().all(|fault| !fault.to_string().is_empty()));
    }
    let variables = parts.filter_map(|it| it.split_once('=')).map(|(name, value)| (name.into(), value.into()));
    if let Err(invalid) = config::load(&config::Flags::default(), variables) {
        assert!(!invalid.0.is_empty());
    }
}

/// A journal with exit records: whatever stands before it, a record that was written whole is found. The same lines come
/// with right checksums too, for a fuzzer does not find those.
pub fn journal(bytes: &[u8]) {
    is_read(bytes);
    let lines = bytes.split(|byte| *byte == b'\n');
    let sealed = lines.map(|json| [format!("{:08x} ", crc32fast::hash(json)).as_bytes(), json, b"\n"].concat());
    is_read(&sealed.collect::<Vec<_>>().concat());
}

fn is_read(bytes: &[u8]) {
    let read = |bytes: &[u8]| journal::read_from(bytes, Path::new("journal"));
    let Ok(contents) = read(bytes) else { return };
    let written =
        contents.records.iter().flat_map(|record| journal::encode(record).expect("what was read can be written"));
    let again = read(&written.collect::<Vec<_>>()).expect("it is of this version");
    assert_eq!((&again.records, again.damaged), (&contents.records, 0));
    let last = Record::Header { version: 1, boot_id: "boot".into(), launcher_pid: 1 };
    let line = journal::encode(&last).expect("encodes");
    match read(&[bytes, &line].concat()) {
        Ok(contents) => assert_eq!(contents.records.last(), Some(&last)),
        // The fragment before it was a whole record but for its newline, and of a newer version.
        Err(JournalError::Newer { .. }) => {}
        Err(JournalError::Read { source, .. }) => panic!("{source}"),
    }
}

/// What server and launcher say to each other: frames of requests, however they are cut, and reports.
pub fn frames(bytes: &[u8]) {
    is_taken(bytes);
    let length = u32::try_from(bytes.len()).expect("a fuzzer makes no such input");
    is_taken(&[&length.to_le_bytes(), bytes].concat());
    if let Ok(report) = serde_json::from_slice::<Report>(bytes) {
        let written = serde_json::to_vec(&report).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<Report>(&written).ok(), Some(report));
    }
}

fn is_taken(bytes: &[u8]) {
    let taken = take_all(bytes, usize::MAX);
    assert_eq!(take_all(bytes, 3), taken, "how the bytes come makes no difference");
    let written = taken.iter().flat_map(|request| frame::encode(request).expect("what was read can be written"));
    assert_eq!(take_all(&written.collect::<Vec<_>>(), 7), taken);
}

/// The requests before the first fault.
fn take_all(mut bytes: &[u8], step: usize) -> Vec<LaunchRequest> {
    let mut buffer = FrameBuffer::default();
    let mut taken = Vec::new();
    while buffer.fill(Read::take(&mut bytes, step as u64)).expect("memory can be read") {
        loop {
            match buffer.take() {
                Ok(Some(request)) => taken.push(request),
                Ok(None) => break,
                Err(_) => return taken,
            }
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    type Door = fn(&[u8]);

    /// So that the doors are built without a fuzzer, too.
    #[test]
    fn every_seed_keeps_the_laws_of_its_door() {
        let text: Door = |bytes| configuration(std::str::from_utf8(bytes).expect("UTF-8"));
        let doors: [(&str, Door); 4] =
            [("request", request), ("configuration", text), ("journal", journal), ("frames", frames)];
        for (name, door) in doors {
            let seeds = seeds().join(name);
            let seeds: Vec<_> =
                std::fs::read_dir(seeds).expect("there").map(|seed| seed.expect("listed").path()).collect();
            assert!(!seeds.is_empty(), "{name} has seeds");
            for seed in seeds {
                door(&std::fs::read(seed).expect("readable"));
            }
        }
    }

    /// A fuzzer makes no request of its own that is whole.
    #[test]
    fn the_seeds_are_of_this_version_of_the_protocol() {
        let two = std::fs::read(seeds().join("frames/two")).expect("readable");
        assert_eq!(take_all(&two, usize::MAX).len(), 2);
        let sealed = std::fs::read(seeds().join("journal/sealed")).expect("readable");
        let contents = journal::read_from(&*sealed, Path::new("journal")).expect("of this version");
        assert!(!contents.records.is_empty());
    }

    fn seeds() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds")
    }
}
