//! Bytes that a person can read in a report and paste into `regressions.json`: each stands as the character of its
//! number.

use proptest::collection::{SizeRange, vec};
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::select;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Latin1(pub Vec<u8>);

impl From<Latin1> for String {
    fn from(Latin1(bytes): Latin1) -> Self {
        bytes.into_iter().map(char::from).collect()
    }
}

impl TryFrom<String> for Latin1 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = text.chars().map(|c| u8::try_from(c).map_err(|_| format!("{c:?} is no byte")));
        bytes.collect::<Result<_, _>>().map(Self)
    }
}

/// Any bytes, and often those that mean something.
pub fn bytes(size: impl Into<SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(byte(), size)
}

pub fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), select(b"\0\r\n\t \"\\{}[]:,;=/.%-+eE0179\x7f\x80\xc3\xff".to_vec())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all = Latin1((0..=u8::MAX).collect());
        let text = serde_json::to_string(&all).expect("JSON");
        assert_eq!(serde_json::from_str::<Latin1>(&text).expect("it comes back"), all);
        assert!(serde_json::from_str::<Latin1>("\"\u{20ac}\"").is_err());
    }
}
