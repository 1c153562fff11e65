//! The file of bearer tokens that `access.tokens_file` names. It holds their hashes alone: a token is 32 random bytes, so
//! its SHA-256 gives nothing away that could be searched for.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_yaml::Value as Yaml;
use sha2::{Digest as _, Sha256};

use super::schema::{Kind, describe};

/// Others may not write to the file.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const MAX_REQUESTS_PER_SECOND: u32 = 1_000_000;

/// What a token allows; each role may all that the one before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To look.
    Read,
    /// To submit and to kill.
    Submit,
    /// Everything.
    Admin,
}

impl Role {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }
}

/// The SHA-256 of a token, 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn parse(hex: &str) -> Option<Self> {
        let digits = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate().filter(|_| digits) {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        digits.then_some(Self(bytes))
    }
}

/// One entry of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// For the log; unique.
    pub name: String,
    pub hash: TokenHash,
    pub role: Role,
    /// Sees and touches this tenant's tasks alone.
    pub tenant: Option<String>,
    pub requests_per_second: Option<u32>,
}

/// Why a file of tokens is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("cannot read it: {0}")]
    Unreadable(#[from] io::Error),
    #[error("its mode is {mode:03o}: others than its owner may write to it")]
    Writable { mode: u32 },
    #[error("{0}")]
    Wrong(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tokens: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
    role: Role,
    tenant: Option<String>,
    requests_per_second: Option<u32>,
}

/// Reads the file.
///
/// # Errors
/// It cannot be read, others may write to it, or the first thing that is wrong in it.
pub fn read(path: &Path) -> Result<Vec<Token>, TokensError> {
    let mode = fs::metadata(path)?.mode() & 0o777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(TokensError::Writable { mode });
    }
    parse(&fs::read_to_string(path)?)
}

fn parse(text: &str) -> Result<Vec<Token>, TokensError> {
    let wrong = |what: String| TokensError::Wrong(what);
    // Through a `Value`, which refuses a key that stands twice.
    let whole: Yaml = serde_yaml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if !whole.is_mapping() {
        return Err(wrong(format!("must be a map with the key tokens, not {}", describe(&whole))));
    }
    let file: File = serde_path_to_error::deserialize(whole).map_err(|error| wrong(error.to_string()))?;
    let mut names = BTreeSet::new();
    let mut tokens: Vec<Token> = Vec::new();
    for (at, entry) in file.tokens.into_iter().enumerate() {
        let token = token(entry).map_err(|what| wrong(format!("tokens[{at}].{what}")))?;
        if !names.insert(token.name.clone()) {
            return Err(wrong(format!("tokens[{at}].name is that of an earlier token: {:?}", token.name)));
        }
        if let Some(other) = tokens.iter().find(|other| other.hash == token.hash) {
            return Err(wrong(format!("tokens[{at}].sha256 is that of the token {:?}", other.name)));
        }
        tokens.push(token);
    }
    if tokens.is_empty() {
        return Err(wrong("tokens must name at least one".to_owned()));
    }
    Ok(tokens)
}

fn token(entry: Entry) -> Result<Token, String> {
    let Entry { name, sha256, role, tenant, requests_per_second } = entry;
    for (field, text) in [("name", Some(&name)), ("tenant", tenant.as_ref())] {
        if let Some(text) = text.filter(|text| Kind::Name.read_text(text).is_err()) {
            return Err(format!("{field} must be {}, not {text:?}", Kind::Name.allowed()));
        }
    }
    // What was meant to be a hash may be the token itself: it is not repeated.
    let hash = TokenHash::parse(&sha256).ok_or("sha256 must be 64 hexadecimal digits")?;
    let in_range = requests_per_second.is_none_or(|rate| (1..=MAX_REQUESTS_PER_SECOND).contains(&rate));
    if !in_range {
        return Err(format!("requests_per_second must be a whole number from 1 to {MAX_REQUESTS_PER_SECOND}"));
    }
    Ok(Token { name, hash, role, tenant, requests_per_second })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// SHA-256 of `abc` (FIPS 180-4, appendix).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn entry(more: &str) -> String {
        format!("tokens:\n  - {{name: ci, sha256: {ABC}, role: submit{more}}}\n")
    }

    fn fault(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn an_entry_is_read_whole() {
        let tokens = parse(&entry(", tenant: acme, requests_per_second: 5")).expect("valid");
        let hash = TokenHash::of(b"abc");
        assert_eq!(hash.hex(), ABC);
        let expected = Token {
            name: "ci".into(),
            hash,
            role: Role::Submit,
            tenant: Some("acme".into()),
            requests_per_second: Some(5),
        };
        assert_eq!(tokens, [expected]);
        assert!(Role::Read < Role::Submit && Role::Submit < Role::Admin);
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        assert_eq!(fault("- a"), "must be a map with the key tokens, not a list");
        assert_eq!(fault(""), "must be a map with the key tokens, not nothing");
        assert_eq!(fault("tokens: []"), "tokens must name at least one");
        assert!(fault(&entry(", rol: x")).starts_with("tokens[0].rol: unknown field"), "{}", fault(&entry(", rol: x")));
        assert!(fault(&entry(", role: read")).contains("duplicate"), "{}", fault(&entry(", role: read")));
        assert!(fault("tokens: [{name: a, role: read}]").contains("sha256"));
        assert!(fault(&entry("").replace("submit", "root")).starts_with("tokens[0].role: unknown variant `root`"));
        assert_eq!(fault(&entry("").replace(ABC, "egr_secret")), "tokens[0].sha256 must be 64 hexadecimal digits");
        assert!(fault(&entry(", tenant: ''")).starts_with("tokens[0].tenant must be text of 1 to 128 characters"));
        assert!(fault(&entry(", requests_per_second: 0")).contains("from 1 to 1000000"));
        let twice = format!("{}  - {{name: ci, sha256: {}, role: read}}\n", entry(""), "0".repeat(64));
        assert_eq!(fault(&twice), "tokens[1].name is that of an earlier token: \"ci\"");
        let same = format!("{}  - {{name: b, sha256: {}, role: read}}\n", entry(""), ABC.to_uppercase());
        assert_eq!(fault(&same), "tokens[1].sha256 is that of the token \"ci\"");
    }

    #[test]
    fn a_file_that_others_may_write_to_is_not_taken() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tokens.yaml");
        assert!(matches!(read(&path), Err(TokensError::Unreadable(_))));
        fs::write(&path, entry("")).expect("written");
        for (mode, is_taken) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            assert_eq!(read(&path).is_ok(), is_taken, "{mode:o}");
        }
    }
}
