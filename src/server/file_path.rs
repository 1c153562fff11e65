//! The path of a task's file stands at the end of a URI with its slashes, and no route has a parameter of several segments.
//! It is made one.

use poem::http::Uri;

/// Before it stand the prefix and the id of the task.
const FILES: &str = "/files/";
const TASKS: &str = "/api/v1/tasks/";

/// The URI with the slashes of the file's path escaped; nothing where there are none.
pub(super) fn folded(uri: &Uri) -> Option<Uri> {
    let rest = uri.path().strip_prefix(TASKS)?;
    let (id, path) = rest.split_once(FILES)?;
    if id.contains('/') || !path.contains('/') {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let folded = format!("{TASKS}{id}{FILES}{}{query}", path.replace('/', "%2F"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(folded.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_file_becomes_one_segment() {
        for (uri, expected) in [
            ("/api/v1/tasks/t/files/out/a%20b/c?x=1", Some("/api/v1/tasks/t/files/out%2Fa%20b%2Fc?x=1")),
            ("http://h:1/api/v1/tasks/t/files/a/files/b", Some("http://h:1/api/v1/tasks/t/files/a%2Ffiles%2Fb")),
            ("/api/v1/tasks/t/files/a", None),
            ("/api/v1/tasks/t/x/files/a/b", None),
            ("/api/v1/blobs/files/a/b", None),
        ] {
            let found = folded(&uri.parse().expect("a URI")).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }
}
