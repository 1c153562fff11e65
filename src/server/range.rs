//! The header `Range`, as far as it asks for one span of bytes (RFC 9110, section 14).

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    From(u64),
    /// Both included.
    Between(u64, u64),
    Last(u64),
}

/// What there is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All of nothing, which no span can say.
    Whole,
    /// Both included.
    Part(u64, u64),
    /// It begins behind the end.
    Nothing,
}

impl Span {
    /// `None` for what a server ignores: another unit, more than one span, or no span at all.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (unit, span) = header.trim().split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match span.trim().split_once('-')? {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// In a body of this length.
    pub(super) fn within(self, length: u64) -> Found {
        let (first, last) = match self {
            Self::Last(0) => return Found::Nothing,
            Self::Last(_) if length == 0 => return Found::Whole,
            Self::Last(count) => (length.saturating_sub(count), u64::MAX),
            Self::From(first) => (first, u64::MAX),
            Self::Between(first, last) => (first, last),
        };
        if first < length { Found::Part(first, last.min(length - 1)) } else { Found::Nothing }
    }
}

/// Of digits alone; what is too large is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_span_of_bytes_is_read_and_anything_else_ignored() {
        for (header, span) in [
            ("bytes=0-", Span::From(0)),
            ("bytes=5-9", Span::Between(5, 9)),
            ("bytes=-3", Span::Last(3)),
            (" Bytes = 0-0 ", Span::Between(0, 0)),
            ("bytes=99999999999999999999-", Span::From(u64::MAX)),
        ] {
            assert_eq!(Span::parse(header), Some(span), "{header}");
        }
        let ignored = ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=9-5", "bytes=0-1,3-4", "lines=1-2"];
        for header in ignored.into_iter().chain(["bytes=+1-2", "bytes=1-2-3", "bytes=0x1-", "bytes=1 -2"]) {
            assert_eq!(Span::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_span_is_cut_at_the_end_and_never_begins_behind_it() {
        let found = |header: &str, length| Span::parse(header).expect("a span").within(length);
        assert_eq!(found("bytes=0-", 10), Found::Part(0, 9));
        assert_eq!(found("bytes=2-4", 10), Found::Part(2, 4));
        assert_eq!(found("bytes=2-99999999999999999999", 10), Found::Part(2, 9));
        assert_eq!(found("bytes=-4", 10), Found::Part(6, 9));
        assert_eq!(found("bytes=-40", 10), Found::Part(0, 9));
        assert_eq!(found("bytes=9-", 10), Found::Part(9, 9));
        assert_eq!([found("bytes=10-", 10), found("bytes=-0", 10), found("bytes=0-", 0)], [Found::Nothing; 3]);
        assert_eq!(found("bytes=-5", 0), Found::Whole);
    }
}
