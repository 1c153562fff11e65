//! What happens to a text on its way: bytes that are lost, added, changed, repeated.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::Index;

use super::latin1::byte;

/// At a place anywhere in the text.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Index, u8),
    Replace(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
    CutOff(Index),
}

/// The texts, each with a few edits.
pub fn edited(texts: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (texts, vec(edit(), 1..4)).prop_map(|(text, edits)| edits.into_iter().fold(text, apply))
}

fn edit() -> impl Strategy<Value = Edit> {
    let (place, length) = (any::<Index>, || 1_usize..12);
    prop_oneof![
        (place(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        (place(), byte()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (place(), length()).prop_map(|(at, length)| Edit::Remove(at, length)),
        (place(), length()).prop_map(|(at, length)| Edit::Repeat(at, length)),
        place().prop_map(Edit::CutOff),
    ]
}

fn apply(mut text: Vec<u8>, edit: Edit) -> Vec<u8> {
    let end = text.len();
    let at = |place: Index| place.index(end + 1);
    match edit {
        Edit::Insert(place, byte) => text.insert(at(place), byte),
        Edit::Replace(place, byte) => text.iter_mut().skip(at(place)).take(1).for_each(|old| *old = byte),
        Edit::Remove(place, length) => drop(text.drain(at(place)..end.min(at(place) + length))),
        Edit::Repeat(place, length) => {
            let piece = text[at(place)..end.min(at(place) + length)].to_vec();
            drop(text.splice(at(place)..at(place), piece));
        }
        Edit::CutOff(place) => text.truncate(at(place)),
    }
    text
}
