//! The beginning of an output file as text, for a status answer.

use std::io::{self, Read};
use std::path::Path;

use crate::output::Log;

/// Longest UTF-8 sequence less one: what must be seen beyond the limit to tell a cut character from a broken one.
const LOOK_AHEAD: u64 = 3;

/// What a status answer shows of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inlined {
    pub text: String,
    /// The file holds more than `text` stands for.
    pub truncated: bool,
}

/// Reads the first `max_bytes` of `path` as they are now, and not more than a few bytes beyond. A missing file is
/// empty, and so is what is no plain file: the task can put there what it likes.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Inlined> {
    let Some(log) = Log::open(path)? else { return Ok(Inlined::default()) };
    let limit = max_bytes.saturating_add(LOOK_AHEAD);
    let expected = usize::try_from(log.length()?.min(limit)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(expected);
    log.file().take(limit).read_to_end(&mut bytes)?;
    Ok(decode(&bytes, usize::try_from(max_bytes).unwrap_or(usize::MAX)))
}

/// The text of the first `max` of `bytes`: invalid sequences become U+FFFD, a sequence that crosses the limit is left
/// out. `bytes` reaches beyond the limit where the file does.
fn decode(bytes: &[u8], max: usize) -> Inlined {
    let mut text = String::with_capacity(bytes.len().min(max));
    let mut taken = 0;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let fitting = boundary_at_or_before(valid, max - taken);
        text.push_str(&valid[..fitting]);
        taken += fitting;
        let invalid = chunk.invalid().len();
        if fitting < valid.len() || invalid > max - taken {
            break;
        }
        if invalid > 0 {
            text.push(char::REPLACEMENT_CHARACTER);
            taken += invalid;
        }
    }
    Inlined { text, truncated: taken < bytes.len() }
}

fn boundary_at_or_before(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(bytes: &[u8], max: u64) -> (String, bool) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("stdout.log");
        std::fs::write(&path, bytes).expect("writes");
        let Inlined { text, truncated } = read(&path, max).expect("reads");
        (text, truncated)
    }

    #[test]
    fn cuts_between_characters_and_says_so() {
        assert_eq!(shown(b"abc", 3), ("abc".into(), false));
        assert_eq!(shown(b"abcd", 3), ("abc".into(), true));
        assert_eq!(shown("aé".as_bytes(), 2), ("a".into(), true));
        assert_eq!(shown("aé".as_bytes(), 3), ("aé".into(), false));
        assert_eq!(shown("a\u{1F600}b".as_bytes(), 4), ("a".into(), true));
        assert_eq!(shown("a\u{1F600}b".as_bytes(), 5), ("a\u{1F600}".into(), true));
        assert_eq!(shown(b"", 1), (String::new(), false));
    }

    #[test]
    fn replaces_what_is_no_text() {
        assert_eq!(shown(b"a\xffb", 10), ("a\u{fffd}b".into(), false));
        assert_eq!(shown(b"a\xe2", 10), ("a\u{fffd}".into(), false), "broken at the end of the file");
        assert_eq!(shown(b"a\xe2bc", 2), ("a\u{fffd}".into(), true), "broken, not cut: the next byte shows it");
    }

    #[test]
    fn a_missing_file_is_empty_and_a_pipe_or_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("stdout.log");
        assert_eq!(read(&path, 10).expect("reads"), Inlined::default());
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert_eq!(read(&path, 10).expect("reads"), Inlined::default());
        let link = dir.path().join("stderr.log");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
        assert_eq!(read(&link, 10).expect("reads"), Inlined::default());
    }

    #[test]
    fn a_huge_limit_reads_only_what_is_there() {
        assert_eq!(shown(b"abc", u64::MAX), ("abc".into(), false));
    }

    fn output() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![".{0,4}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..4)];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_text_is_a_prefix_of_the_whole_text_and_never_stands_for_more_than_the_limit(
            bytes in output(), max in 1_usize..40
        ) {
            let seen = &bytes[..bytes.len().min(max + 3)];
            let Inlined { text, truncated } = decode(seen, max);
            let whole = String::from_utf8_lossy(&bytes);
            prop_assert!(whole.starts_with(&text));
            prop_assert_eq!(truncated, text.len() < whole.len());
            if !truncated {
                prop_assert!(bytes.len() <= max);
            }
            // Every character, valid or replaced, stands for at least one byte and at most four.
            prop_assert!(text.chars().count() <= max);
            if let Ok(valid) = std::str::from_utf8(&bytes) {
                prop_assert_eq!(&text, &valid[..boundary_at_or_before(valid, max)]);
            }
        }
    }
}
