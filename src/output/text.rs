//! Output as text, in pieces: no piece ends inside a character.

/// How many of `bytes` may be shown before more is known: all but the beginning of a character at the end. What can be no
/// character whatever follows is not held back.
#[must_use]
pub fn whole_characters(bytes: &[u8]) -> usize {
    const LONGEST_BEGINNING: usize = 3;
    let begins = |back: &usize| {
        let tail = &bytes[bytes.len() - back..];
        std::str::from_utf8(tail).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let held_back = (1..=LONGEST_BEGINNING.min(bytes.len())).find(begins);
    bytes.len() - held_back.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_may_still_become_a_character_is_held_back() {
        assert_eq!(whole_characters("a日".as_bytes()), 4);
        assert_eq!(whole_characters(&"a日".as_bytes()[..3]), 1);
        assert_eq!(whole_characters(&"a日".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(&"\u{1F600}".as_bytes()[..3]), 0);
        assert_eq!(whole_characters(b"a\xff"), 2, "no character begins so");
        assert_eq!(whole_characters(b"\xe2\x28"), 2, "nor goes on so");
        assert_eq!(whole_characters(b"\x82\xac"), 2, "a middle without a beginning");
        assert_eq!(whole_characters(b"\xe2\xe2"), 1, "the first is broken, the second may be whole");
        assert_eq!(whole_characters(b""), 0);
    }

    proptest! {
        #[test]
        fn text_cut_anywhere_is_shown_in_whole_characters(text in ".{0,20}", cut in any::<prop::sample::Index>()) {
            let bytes = text.as_bytes();
            let cut = cut.index(bytes.len() + 1);
            let shown = whole_characters(&bytes[..cut]);
            prop_assert!(std::str::from_utf8(&bytes[..shown]).is_ok());
            prop_assert!(cut - shown < 4 && (shown == cut || !text.is_char_boundary(cut)));
        }
    }
}
