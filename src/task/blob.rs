//! The name of a blob: what it holds, and who gave it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes; on the wire 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    #[must_use]
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// One spelling alone, so that a blob has one name.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if raw.len() != 64 || !raw.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(raw.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One blob on the disk; also the name of its file. What one tenant's token gave is another blob than the same bytes
/// given by anybody else, so that nobody learns or uses what others have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(String);

impl BlobId {
    /// `giver` is the tenant of the token, where it has one.
    #[must_use]
    pub fn new(digest: Digest, giver: Option<&str>) -> Self {
        match giver {
            Some(tenant) => Self(format!("{digest}.{}", Digest::of(tenant.as_bytes()))),
            None => Self(digest.to_string()),
        }
    }

    /// Whether its name says that it holds this.
    #[must_use]
    pub fn is_of(&self, digest: Digest) -> bool {
        self.0.split('.').next() == Some(digest.to_string().as_str())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written_and_in_no_other_way() {
        let digest = Digest::of(b"abc");
        let written = digest.to_string();
        assert_eq!(written, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::parse(&written), Some(digest));
        for bad in ["", "78", &written.to_uppercase(), &format!("{written}0"), &written.replace('b', "+")] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_same_bytes_of_two_tenants_are_two_blobs() {
        let id = |giver| BlobId::new(Digest::of(b""), giver);
        assert_ne!(id(Some("a")), id(Some("b")));
        assert_ne!(id(Some("a")), id(None));
        assert!(!id(Some("../../x")).as_str().contains('/'));
    }
}
