//! Blobs through the edge: what is kept, what is refused, and whose they are.

use poem::http::Method;
use serde_json::json;

use super::{Answer, Server, command};
use crate::config::TokenHash;
use crate::dispatcher::testing::Rules;
use crate::task::blob::Digest;

fn path(bytes: &[u8]) -> String {
    format!("/api/v1/blobs/{}", Digest::of(bytes))
}

async fn send(server: &Server, method: Method, path: &str, token: &str, body: &[u8]) -> Answer {
    let authorization = format!("Bearer {token}");
    server.send(method, path, &[("authorization", &authorization)], body.to_vec()).await
}

#[tokio::test]
async fn a_blob_is_kept_once_and_read_in_parts() {
    let server = Server::new();
    let put = server.send(Method::PUT, &path(b"abc"), &[], "abc").await;
    assert_eq!((put.status.as_u16(), put.json()["size"].clone()), (201, json!(3)));
    let put = server.send(Method::PUT, &path(b"abc"), &[], "abc").await;
    assert_eq!(put.status, 200);
    let part = server.send(Method::GET, &path(b"abc"), &[("range", "bytes=1-")], ()).await;
    assert_eq!((part.status.as_u16(), part.text.as_str()), (206, "bc"));
    let head = server.send(Method::HEAD, &path(b"abc"), &[], ()).await;
    assert_eq!((head.status.as_u16(), &head.headers["content-length"]), (200, &"3".parse().expect("a value")));
    let behind = server.send(Method::GET, &path(b"abc"), &[("range", "bytes=3-")], ()).await;
    assert_eq!(behind.status, 416);
    assert_eq!(server.get(&path(b"other")).await.fault().0, 404);
}

#[tokio::test]
async fn what_is_no_blob_is_refused_by_the_field_and_leaves_nothing() {
    let server = Server::new();
    let wrong = server.send(Method::PUT, &path(b"abc"), &[], "other").await;
    let (status, code, message) = wrong.fault();
    assert_eq!((status, code.as_str()), (400, "invalid_input"));
    assert!(message.starts_with("sha256 ") && message.contains(&Digest::of(b"other").to_string()), "{message}");
    for bad in ["abc", &"A".repeat(64), &"0".repeat(65)] {
        assert_eq!(server.send(Method::PUT, &format!("/api/v1/blobs/{bad}"), &[], "abc").await.fault().0, 400, "{bad}");
    }
    let large = vec![0; 101];
    let refused = server.send(Method::PUT, &path(&large), &[], large).await;
    assert_eq!((refused.fault().0, refused.fault().1.as_str()), (413, "payload_too_large"));
    assert_eq!(std::fs::read_dir(server.dir.path().join("blobs")).expect("there").count(), 0);
    let missing = Digest::of(b"missing").to_string();
    let inputs = json!([{"path": "a", "text": ""}, {"path": "b", "blob": missing}]);
    let (status, _, message) = server.submit(command(json!({"inputs": inputs}))).await.fault();
    assert!(status == 400 && message.starts_with("inputs[1].blob "), "{message}");
}

#[tokio::test]
async fn what_a_tenant_uploaded_is_there_for_nobody_else() {
    let tokens = [("a", ", tenant: a"), ("b", ", tenant: b"), ("all", "")].map(|(name, tenant)| {
        let hash = TokenHash::of(name.as_bytes()).hex();
        format!("  - {{name: {name}, sha256: {hash}, role: submit{tenant}}}\n")
    });
    let server = Server::guarded(Rules::default(), &format!("tokens:\n{}", tokens.concat()));
    let path = path(b"secret");
    assert_eq!(send(&server, Method::PUT, &path, "a", b"secret").await.status, 201);
    assert_eq!(send(&server, Method::GET, &path, "a", b"").await.text, "secret");
    let request = command(json!({"inputs": [{"path": "x", "blob": Digest::of(b"secret").to_string()}]}));
    for other in ["b", "all"] {
        assert_eq!(send(&server, Method::GET, &path, other, b"").await.status, 404, "{other}");
        let headers = [("authorization", &*format!("Bearer {other}")), ("content-type", "application/json")];
        let submitted = server.send(Method::POST, "/api/v1/tasks", &headers, request.clone()).await;
        assert_eq!(submitted.fault().0, 400, "{other}");
        // Not even that it is known.
        assert_eq!(send(&server, Method::PUT, &path, other, b"secret").await.status, 201, "{other}");
    }
    let headers = [("authorization", "Bearer a"), ("content-type", "application/json")];
    assert_eq!(server.send(Method::POST, "/api/v1/tasks", &headers, request).await.status, 200);
}
