//! Where a task tells of its start and its end, as its client asked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use url::{Origin, Url};

use super::event::EventType;
use super::validate::InvalidField;

const MAX_URL: usize = 2048;
const URL: &str = "callback.url";

/// A valid callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// As the URL standard writes it.
    pub url: String,
    /// Its scheme, host and port.
    pub origin: String,
    pub events: BTreeSet<CallbackEvent>,
}

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackEvent {
    Started,
    Finished,
    Failed,
    Cancelled,
}

/// As a client wrote it.
#[derive(Clone, Debug, Default)]
pub struct DraftCallback {
    pub url: String,
    pub events: Option<Vec<CallbackEvent>>,
}

impl CallbackEvent {
    /// One of these is the last event of every task.
    pub const ENDS: [Self; 3] = [Self::Finished, Self::Failed, Self::Cancelled];

    #[must_use]
    pub const fn event_type(self) -> EventType {
        match self {
            Self::Started => EventType::Started,
            Self::Finished => EventType::Finished,
            Self::Failed => EventType::Failed,
            Self::Cancelled => EventType::Cancelled,
        }
    }
}

impl Callback {
    #[must_use]
    pub fn wants(&self, event: EventType) -> bool {
        self.events.iter().any(|wanted| wanted.event_type() == event)
    }
}

impl DraftCallback {
    pub(super) fn validate(self) -> Result<Callback, InvalidField> {
        let Self { url, events } = self;
        let (url, origin) = target(&url).map_err(|fault| InvalidField::new(URL, fault))?;
        let events = events.map_or_else(|| CallbackEvent::ENDS.into(), BTreeSet::from_iter);
        if events.is_empty() {
            let message = "must name at least one of `started`, `finished`, `failed`, `cancelled`";
            return Err(InvalidField::new("callback.events", message));
        }
        Ok(Callback { url, origin, events })
    }
}

fn target(raw: &str) -> Result<(String, String), String> {
    if raw.len() > MAX_URL {
        return Err(format!("must not be longer than {MAX_URL} bytes"));
    }
    let url = Url::parse(raw).map_err(|error| format!("must be an http:// or https:// URL: {error}"))?;
    let origin = match url.origin() {
        origin @ Origin::Tuple(..) if matches!(url.scheme(), "http" | "https") => origin.ascii_serialization(),
        _ => return Err(format!("must be an http:// or https:// URL, not {}:", url.scheme())),
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must have neither user name nor password nor fragment".to_owned());
    }
    // Some servers take these for the characters that they stand for, which would lead out of an allowed path.
    let path = url.path().to_ascii_lowercase();
    if ["%2f", "%5c", "%2e"].iter().any(|escaped| path.contains(escaped)) {
        return Err("must not hold an escaped slash, backslash or dot in its path".to_owned());
    }
    Ok((url.into(), origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(url: &str) -> Result<Callback, InvalidField> {
        DraftCallback { url: url.to_owned(), events: None }.validate()
    }

    #[test]
    fn a_url_is_read_as_the_standard_says_and_told_by_its_origin() {
        for (url, read, origin) in [
            ("https://Example.COM", "https://example.com/", "https://example.com"),
            ("http://a.example:80/x/../y?q=1", "http://a.example/y?q=1", "http://a.example"),
            ("http://0x7f.1:8080/a", "http://127.0.0.1:8080/a", "http://127.0.0.1:8080"),
            ("http://[::1]:1/", "http://[::1]:1/", "http://[::1]:1"),
            ("http:\\\\a.example\\%2e%2e\\b", "http://a.example/b", "http://a.example"),
        ] {
            let callback = valid(url).expect(url);
            assert_eq!((callback.url.as_str(), callback.origin.as_str()), (read, origin), "{url}");
            assert!(callback.wants(EventType::Failed) && !callback.wants(EventType::Started));
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let long = format!("http://a.example/{}", "a".repeat(MAX_URL));
        for url in [
            "",
            "a.example",
            "/path",
            "ftp://a.example/",
            "file:///etc/passwd",
            "data:,x",
            "http://",
            "http://u@a.example/",
            "http://:p@a.example/",
            "http://a.example/#f",
            "http://a b/",
            "http://a.example/hooks/..%2fadmin",
            "http://a.example/hooks/x%5Cy",
            "http://a.example/hooks/%2e%2ex",
            &long,
        ] {
            let fault = valid(url).expect_err(url);
            assert_eq!(fault.path, "callback.url", "{url}");
        }
        let none = DraftCallback { url: "http://a.example".into(), events: Some(vec![]) }.validate();
        assert_eq!(none.expect_err("none").path, "callback.events");
    }
}
