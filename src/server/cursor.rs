//! How far a client has got in the stream of a task: the `id` of what it has seen last.

use std::fmt;

/// Opaque to clients. It names the task by its number, so that it is worth nothing for another one, of the same name even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) task: u64,
    /// Bytes of standard output and of standard error.
    pub(super) output: [u64; 2],
    /// `seq` of the last event.
    pub(super) event: u64,
    /// `seq` of the last event that the last status knew of.
    pub(super) status: u64,
    /// All was told, that it was all too.
    pub(super) has_ended: bool,
}

const END: &str = "end";

impl Cursor {
    /// Before everything.
    pub(super) const fn start(task: u64) -> Self {
        Self { task, output: [0, 0], event: 0, status: 0, has_ended: false }
    }

    /// `None`: it is none of ours.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let mut parts = id.split('.');
        let mut number = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok();
        let (task, output) = (number()?, [number()?, number()?]);
        let (event, status) = (number()?, number()?);
        let has_ended = match parts.next() {
            None => false,
            Some(END) => true,
            Some(_) => return None,
        };
        parts.next().is_none().then_some(Self { task, output, event, status, has_ended })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, output: [stdout, stderr], event, status, has_ended } = self;
        write!(f, "{task}.{stdout}.{stderr}.{event}.{status}")?;
        if *has_ended { write!(f, ".{END}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_id_of_ours_is_none() {
        for id in
            ["", "1", "1.2.3.4", "1.2.3.4.5.6", "1.2.3.4.5.end.7", "+1.2.3.4.5", "1.2.3.4.5.", "a.2.3.4.5", "1..3.4.5"]
        {
            assert_eq!(Cursor::parse(id), None, "{id}");
        }
        assert_eq!(Cursor::parse("99999999999999999999.0.0.0.0"), None);
    }

    proptest! {
        #[test]
        fn it_is_read_as_it_was_written(
            task: u64, output: [u64; 2], event: u64, status: u64, has_ended: bool
        ) {
            let cursor = Cursor { task, output, event, status, has_ended };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
    }
}
