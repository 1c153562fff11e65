//! Where the last lines of a log begin.

use std::io;

use super::log::Log;

/// Read at a time, from the end on.
const PIECE: usize = 64 * 1024;

/// The offset of the last `lines` lines of what is there now, as tail(1) counts them: a last line without a line end is
/// one. 0 where there are not so many. Blocks.
///
/// # Errors
/// As pread(2).
pub fn start_of_last_lines(log: &Log, lines: u64) -> io::Result<u64> {
    let end = log.length()?;
    if lines == 0 {
        return Ok(end);
    }
    let mut piece = vec![0; PIECE];
    let mut left = lines;
    let mut below = end;
    while below > 0 {
        let from = below.saturating_sub(PIECE as u64);
        let length = read_whole(log, from, &mut piece[..usize::try_from(below - from).unwrap_or(PIECE)])?;
        for (index, byte) in piece[..length].iter().enumerate().rev() {
            // The line end of the last line ends no line before it.
            if *byte == b'\n' && from + index as u64 + 1 < end {
                left -= 1;
                if left == 0 {
                    return Ok(from + index as u64 + 1);
                }
            }
        }
        below = from;
    }
    Ok(0)
}

/// As much of the buffer as there is.
fn read_whole(log: &Log, from: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match log.read_at_blocking(from + length as u64, &mut buffer[length..])? {
            // It was made shorter meanwhile.
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tail(text: &[u8], lines: u64) -> Vec<u8> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("stdout.log");
        std::fs::write(&path, text).expect("written");
        let log = Log::open(&path).expect("opens").expect("is there");
        let start = usize::try_from(start_of_last_lines(&log, lines).expect("reads")).expect("small");
        text[start..].to_vec()
    }

    #[test]
    fn a_line_is_what_ends_with_a_line_end_or_is_the_last() {
        assert_eq!(tail(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(tail(b"a\nb\nc", 2), b"b\nc");
        assert_eq!(tail(b"a\n\n", 1), b"\n");
        assert_eq!(tail(b"a\n", 0), b"");
        assert_eq!(tail(b"", 3), b"");
        assert_eq!(tail(b"\n", 1), b"\n");
        assert_eq!(tail(b"a\nb", u64::MAX), b"a\nb");
    }

    #[test]
    fn lines_longer_than_a_piece_are_found() {
        let long = "x".repeat(3 * PIECE);
        let text = format!("first\n{long}\n{long}\n");
        assert_eq!(tail(text.as_bytes(), 2), format!("{long}\n{long}\n").as_bytes());
        assert_eq!(tail(text.as_bytes(), 3), text.as_bytes());
    }

    proptest! {
        #[test]
        fn it_is_what_the_lines_of_the_text_say(text in "[a\n]{0,40}", lines in 0_u64..12) {
            let all: Vec<&str> = text.split_inclusive('\n').collect();
            let first = all.len().saturating_sub(usize::try_from(lines).expect("small"));
            prop_assert_eq!(tail(text.as_bytes(), lines), all[first..].concat().into_bytes());
        }
    }
}
