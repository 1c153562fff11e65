//! The page for people: that it is whole, and what a browser is told about it. `tests/page` looks at it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Server;

fn page_dir() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/page")
}

#[tokio::test]
async fn every_file_of_the_page_is_served_and_names_only_such_files() {
    let server = Server::new();
    let names = fs::read_dir(page_dir()).expect("there").map(|entry| entry.expect("readable").file_name());
    let names: BTreeSet<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    for name in &names {
        let path = if name == "index.html" { "/".to_owned() } else { format!("/assets/{name}") };
        let answer = server.get(&path).await;
        let text = fs::read_to_string(page_dir().join(name)).expect("text");
        assert_eq!((answer.status.as_u16(), &answer.text), (200, &text), "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        let policy = answer.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        let etag = answer.headers["etag"].to_str().expect("text");
        let again = server.send(poem::http::Method::GET, &path, &[("if-none-match", etag)], ()).await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""), "{path}");
        let wanted =
            text.split('"').filter_map(|word| word.strip_prefix("./").or_else(|| word.strip_prefix("assets/")));
        for wanted in wanted {
            assert!(names.contains(wanted), "{name} wants {wanted}");
        }
    }
    for nothing in ["/assets/index.html", "/assets/none.js", "/assets/..%2Fpage.rs", "/assets/"] {
        assert_eq!(server.get(nothing).await.status, 404, "{nothing}");
    }
}
