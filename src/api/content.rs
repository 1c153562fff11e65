//! What a task is given: its standard input and files, in the request itself or as blobs that were uploaded before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Serialize};

use crate::task::InvalidField;
use crate::task::blob::Digest;
use crate::task::spec::DraftInput;

/// What standard input holds: exactly one of the three. The task reads these bytes and then the end of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct StdinSpec {
    /// As text, in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// As bytes, in base64 (RFC 4648, section 4) with its padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The SHA-256 of a blob that was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
}

/// A file that is put into the workspace before the start: exactly one of `text`, `base64` and `blob` says what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Where it stands below the task's `workspace/`; its directories are made. No `..`, no path twice, and no file that is
    /// another's directory.
    pub path: String,
    /// As text, in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// As bytes, in base64 (RFC 4648, section 4) with its padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The SHA-256 of a blob that was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// Its permission bits in octal, such as `0755`. Absent: `0644`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// The bytes of one file of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The field that they stand for, such as `inputs[0]`.
    pub field: String,
    pub digest: Digest,
    /// Absent: they were uploaded before.
    pub bytes: Option<Vec<u8>>,
}

impl StdinSpec {
    pub(super) fn take(self, contents: &mut Vec<Content>) -> Result<Digest, InvalidField> {
        let Self { text, base64, blob } = self;
        take("execution.stdin".to_owned(), [text, base64, blob], contents)
    }
}

impl InputSpec {
    pub(super) fn take(self, index: usize, contents: &mut Vec<Content>) -> Result<DraftInput, InvalidField> {
        let Self { path, text, base64, blob, mode } = self;
        let digest = take(format!("inputs[{index}]"), [text, base64, blob], contents)?;
        Ok(DraftInput { path, digest, mode })
    }
}

fn take(field: String, source: [Option<String>; 3], contents: &mut Vec<Content>) -> Result<Digest, InvalidField> {
    let [text, base64, blob] = source;
    // What cannot be read is told before that there is too much of it.
    let base64 = base64.map(|text| decode(&field, &text)).transpose()?;
    let blob = blob.map(|name| parse(&field, &name)).transpose()?;
    let content = match (text.map(String::into_bytes), base64, blob) {
        (Some(bytes), None, None) | (None, Some(bytes), None) => {
            Content { field, digest: Digest::of(&bytes), bytes: Some(bytes) }
        }
        (None, None, Some(digest)) => Content { field, digest, bytes: None },
        _ => return Err(InvalidField::new(field, "must have exactly one of `text`, `base64` and `blob`")),
    };
    let digest = content.digest;
    contents.push(content);
    Ok(digest)
}

fn decode(field: &str, base64: &str) -> Result<Vec<u8>, InvalidField> {
    STANDARD.decode(base64).map_err(|error| {
        let message = format!("must be base64 with its padding, as RFC 4648 has it in section 4: {error}");
        InvalidField::new(format!("{field}.base64"), message)
    })
}

fn parse(field: &str, name: &str) -> Result<Digest, InvalidField> {
    let message = "must be a SHA-256: 64 hexadecimal digits, in lower case";
    Digest::parse(name).ok_or_else(|| InvalidField::new(format!("{field}.blob"), message))
}

/// A blob that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(example)]
#[serde(deny_unknown_fields)]
pub struct BlobResponse {
    /// Its name: the SHA-256 of what it holds, as 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// How many bytes it holds.
    pub size: u64,
}

impl Example for StdinSpec {
    fn example() -> Self {
        Self { text: Some("2\n1\n".into()), ..Self::default() }
    }
}

impl Example for InputSpec {
    fn example() -> Self {
        let text = Some("all:\n\techo done\n".into());
        Self { path: "src/Makefile".into(), text, mode: Some("0644".into()), ..Self::default() }
    }
}

impl Example for BlobResponse {
    fn example() -> Self {
        Self { sha256: Digest::of(b"abc").to_string(), size: 3 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stdin(text: Option<&str>, base64: Option<&str>, blob: Option<&str>) -> Result<Content, String> {
        let [text, base64, blob] = [text, base64, blob].map(|part| part.map(str::to_owned));
        let mut contents = Vec::new();
        StdinSpec { text, base64, blob }.take(&mut contents).map_err(|fault| fault.path)?;
        Ok(contents.remove(0))
    }

    #[test]
    fn one_of_the_three_says_what_it_holds() {
        let abc = Digest::of(b"abc");
        assert_eq!(stdin(Some("abc"), None, None).expect("text").bytes.as_deref(), Some(&b"abc"[..]));
        assert_eq!(stdin(None, Some("YWJj"), None).expect("base64").digest, abc);
        let blob = stdin(None, None, Some(&abc.to_string())).expect("a blob");
        assert_eq!((blob.digest, blob.bytes, blob.field.as_str()), (abc, None, "execution.stdin"));
        assert_eq!(stdin(Some(""), None, None).expect("empty").bytes.as_deref(), Some(&b""[..]));
        for (found, path) in [
            (stdin(None, None, None), "execution.stdin"),
            (stdin(Some("a"), Some("YQ=="), None), "execution.stdin"),
            (stdin(None, Some("YQ"), None), "execution.stdin.base64"),
            (stdin(None, None, Some("abc")), "execution.stdin.blob"),
        ] {
            assert_eq!(found.expect_err(path), path);
        }
    }
}
