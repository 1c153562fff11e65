//! Whom the server may tell of its tasks, and with which secret.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use url::Url;

use super::Callback;

/// A secret that is shorter could be found by trying.
const LEAST_SECRET: usize = 16;
/// Others may not read the secret, and the group may not write it.
const OPEN_TO_OTHERS: u32 = 0o027;

/// Why there can be no callbacks.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("callback.allowed_urls needs callback.secret_file, which every callback is signed with")]
    Missing,
    #[error("cannot read callback.secret_file: {0}")]
    Unreadable(#[from] io::Error),
    #[error("the mode of callback.secret_file is {mode:03o}: others may read or write it")]
    Open { mode: u32 },
    #[error("callback.secret_file holds less than {LEAST_SECRET} bytes")]
    Short,
}

impl Callback {
    /// Whether the URL lies below one that is allowed: the same scheme, host and port, and a path that begins with the same
    /// segments.
    #[must_use]
    pub fn allows(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        self.allowed_urls.iter().filter_map(|allowed| target(allowed)).any(|allowed| is_below(&url, &allowed))
    }

    /// The origins that anything is sent to.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let origins = self.allowed_urls.iter().filter_map(|allowed| target(allowed));
        let mut origins: Vec<_> = origins.map(|url| url.origin().ascii_serialization()).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// The secret of the signatures; `None` where nothing is to be signed.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn secret(&self) -> Result<Option<Vec<u8>>, SecretError> {
        if self.allowed_urls.is_empty() {
            return Ok(None);
        }
        read(self.secret_file.as_deref().ok_or(SecretError::Missing)?).map(Some)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
    let mode = fs::metadata(path)?.mode() & 0o777;
    if mode & OPEN_TO_OTHERS != 0 {
        return Err(SecretError::Open { mode });
    }
    let secret = fs::read(path)?.trim_ascii().to_vec();
    if secret.len() < LEAST_SECRET { Err(SecretError::Short) } else { Ok(secret) }
}

/// Scheme, host, port and path, and nothing else.
pub(super) fn target(raw: &str) -> Option<Url> {
    let url = Url::parse(raw).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    (is_plain && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

fn is_below(url: &Url, allowed: &Url) -> bool {
    let prefix = allowed.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(prefix);
    url.origin() == allowed.origin() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn callback(allowed: &[&str]) -> Callback {
        let allowed_urls = allowed.iter().map(|url| (*url).to_owned()).collect();
        Callback { allowed_urls, ..super::super::Config::default().callback }
    }

    #[test]
    fn what_is_allowed_is_the_same_origin_and_a_path_below() {
        let callback = callback(&["https://a.example/hooks/", "http://10.0.0.1:8080", "https://b.example:443/x"]);
        for url in [
            "https://a.example/hooks",
            "https://a.example/hooks/one?two=3",
            "https://A.example:443/hooks/./x",
            "http://10.0.0.1:8080/any/thing",
            "http://0x0a.1:8080/",
            "https://b.example/x/y",
        ] {
            assert!(callback.allows(url), "{url}");
        }
        for url in [
            "http://a.example/hooks/one",
            "https://a.example:8443/hooks/one",
            "https://a.example/hooksies",
            "https://a.example/hooks/../admin",
            "https://a.example/",
            "https://a.example.evil.example/hooks/",
            "https://evil.example/https://a.example/hooks/",
            "http://10.0.0.1/",
            "https://b.example/xy",
            "no url",
        ] {
            assert!(!callback.allows(url), "{url}");
        }
        assert!(!super::super::Config::default().callback.allows("http://127.0.0.1/"), "none is allowed by default");
        assert_eq!(callback.origins(), ["http://10.0.0.1:8080", "https://a.example", "https://b.example"]);
    }

    #[test]
    fn a_secret_is_needed_and_others_may_not_read_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("secret");
        let mut callback = callback(&["http://a.example"]);
        assert!(matches!(callback.secret(), Err(SecretError::Missing)));
        callback.secret_file = Some(path.clone());
        assert!(matches!(callback.secret(), Err(SecretError::Unreadable(_))));
        std::fs::write(&path, " sixteen-bytes-ok\n").expect("written");
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        mode(0o604);
        assert!(matches!(callback.secret(), Err(SecretError::Open { mode: 0o604 })));
        mode(0o640);
        assert_eq!(callback.secret().expect("a secret").as_deref(), Some(&b"sixteen-bytes-ok"[..]));
        std::fs::write(&path, "short\n").expect("written");
        assert!(matches!(callback.secret(), Err(SecretError::Short)));
        callback.allowed_urls.clear();
        assert!(callback.secret().expect("none is needed").is_none());
    }
}
