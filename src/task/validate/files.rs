//! The files that a task is given: where each may stand.

use std::collections::BTreeMap;

use globset::{Glob, GlobBuilder};

use super::{Checked, InvalidField};
use crate::task::blob::BlobId;
use crate::task::spec::{DraftInput, InputFile};

/// `inputs`: as many files as a task is given at most.
pub const MAX_INPUTS: usize = 1000;
/// Bytes of a path (`PATH_MAX`, less what leads to the workspace), and of one name in it (`NAME_MAX`).
const PATH_BYTES: usize = 2048;
const NAME_BYTES: usize = 255;
const DEFAULT_MODE: u32 = 0o644;
/// `collect`: as many globs as a task has at most.
pub const MAX_GLOBS: usize = 100;

/// The pattern of `collect` that this is: `*` and `?` stay within a name, `**` does not.
///
/// # Errors
/// It is none.
pub fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build()
}

pub(super) fn collect(patterns: Vec<String>) -> Checked<Vec<String>> {
    if patterns.len() > MAX_GLOBS {
        let message = format!("must hold at most {MAX_GLOBS} globs, not {}", patterns.len());
        return Err(InvalidField::new("collect", message));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let refuse = |message: String| InvalidField::new(format!("collect[{index}]"), message);
        // A glob is matched against paths that have none of these.
        check_path(pattern).map_err(refuse)?;
        if let Err(error) = glob(pattern) {
            return Err(refuse(format!("must be a glob, such as out/**: {}", error.kind())));
        }
    }
    Ok(patterns)
}

pub(super) fn inputs(inputs: Vec<DraftInput>, giver: Option<&str>) -> Checked<Vec<InputFile>> {
    if inputs.len() > MAX_INPUTS {
        let message = format!("must hold at most {MAX_INPUTS} files, not {}; pack them into one", inputs.len());
        return Err(InvalidField::new("inputs", message));
    }
    // Each path that is taken, and by which input.
    let mut files = BTreeMap::new();
    let mut directories = BTreeMap::new();
    let mut valid = Vec::with_capacity(inputs.len());
    for (index, DraftInput { path, digest, mode }) in inputs.into_iter().enumerate() {
        let field = |name| format!("inputs[{index}].{name}");
        check_path(&path).map_err(|message| InvalidField::new(field("path"), message))?;
        let above = || path.match_indices('/').map(|(end, _)| path[..end].to_owned());
        let taken = files.insert(path.clone(), index).or_else(|| directories.get(&path).copied());
        if let Some(other) = taken.or_else(|| above().find_map(|directory| files.get(&directory).copied())) {
            let message = format!("must not be the path of inputs[{other}], nor above or below it");
            return Err(InvalidField::new(field("path"), message));
        }
        directories.extend(above().map(|directory| (directory, index)));
        let mode = mode.map_or(Ok(DEFAULT_MODE), |raw| parse_mode(&raw).ok_or(raw));
        let mode = mode.map_err(|raw| {
            let shown: String = raw.chars().take(20).collect();
            let message = format!("must be permission bits in octal from 0000 to 0777, such as 0755, not {shown:?}");
            InvalidField::new(field("mode"), message)
        })?;
        valid.push(InputFile { path, blob: BlobId::new(digest, giver), mode });
    }
    Ok(valid)
}

fn check_path(path: &str) -> Result<(), String> {
    if path.contains('\0') {
        return Err("must not hold a NUL character".into());
    }
    let is_name = |name: &str| !matches!(name, "" | "." | "..");
    if !path.split('/').all(is_name) {
        return Err("must be a relative path below the workspace, such as src/main.c, without `.`, `..` or empty \
                    names in it"
            .into());
    }
    if path.len() > PATH_BYTES || path.split('/').any(|name| name.len() > NAME_BYTES) {
        return Err(format!("must be no longer than {PATH_BYTES} bytes, and no name in it than {NAME_BYTES}"));
    }
    Ok(())
}

fn parse_mode(raw: &str) -> Option<u32> {
    let is_octal = (3..=4).contains(&raw.len()) && raw.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(raw, 8).ok()?;
    (is_octal && mode <= 0o777).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::blob::Digest;

    fn input(path: &str) -> DraftInput {
        DraftInput { path: path.into(), digest: Digest::of(b""), mode: None }
    }

    fn fault(paths: &[&str]) -> Option<(String, String)> {
        let drafts = paths.iter().map(|path| input(path)).collect();
        inputs(drafts, None).err().map(|fault| (fault.path, fault.message))
    }

    #[test]
    fn a_path_stays_below_the_workspace() {
        for good in ["a", "a/b", "..a", "a b/ü", ".hidden/x", "a/...", &"x".repeat(255)] {
            assert_eq!(fault(&[good]), None, "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", ".", "./a", "..", "a/../b", "a\0b", &"x".repeat(256), &"x/".repeat(1100)] {
            assert_eq!(fault(&["ok", bad]).expect(bad).0, "inputs[1].path", "{bad}");
        }
    }

    #[test]
    fn no_path_is_taken_twice_nor_a_file_another_s_directory() {
        for (paths, other) in [(["a", "a"], 0), (["a/b", "a"], 0), (["a", "a/b/c"], 0), (["x/a/b", "x/a"], 0)] {
            let (path, message) = fault(&paths).expect("refused");
            assert_eq!(path, "inputs[1].path", "{paths:?}");
            assert!(message.contains(&format!("inputs[{other}]")), "{message}");
        }
        assert_eq!(fault(&["a/b", "a/c", "ab", "b/a"]), None);
    }

    #[test]
    fn a_glob_is_matched_below_the_workspace() {
        let globs = |pattern: &str| collect(vec!["ok".into(), pattern.into()]);
        for (pattern, found, passed_over) in [
            ("out/**", "out/a/b", "other/a"),
            ("*.log", "a.log", "a/b.log"),
            ("**/*.log", "a/b.log", "a/b.txt"),
            ("{a,b}/?", "b/x", "c/x"),
            ("[a-c].txt", "b.txt", "d.txt"),
        ] {
            let matcher = glob(&globs(pattern).expect(pattern)[1]).expect(pattern).compile_matcher();
            assert!(matcher.is_match(found) && !matcher.is_match(passed_over), "{pattern}");
        }
        for bad in ["", "/out/**", "../x", "a/../b", "./a", "out/", "a[", "{a", "a\0b"] {
            assert_eq!(globs(bad).expect_err(bad).path, "collect[1]", "{bad}");
        }
    }

    #[test]
    fn a_mode_is_octal_and_holds_permissions_alone() {
        let mode = |raw: &str| inputs(vec![DraftInput { mode: Some(raw.into()), ..input("a") }], None);
        for (raw, bits) in [("755", 0o755), ("0600", 0o600), ("0000", 0), ("0777", 0o777)] {
            assert_eq!(mode(raw).expect(raw)[0].mode, bits);
        }
        for bad in ["", "75", "0o755", "4755", "0888", "+755", "00755", "-755"] {
            assert_eq!(mode(bad).expect_err(bad).path, "inputs[0].mode");
        }
        assert_eq!(inputs(vec![input("a")], None).expect("valid")[0].mode, 0o644);
    }
}
