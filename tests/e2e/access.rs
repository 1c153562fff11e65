//! Tokens, from the verb that makes them to the server that asks for them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_execgo-runtime");

fn program(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_remove("EXECGO_RUNTIME_TOKEN").env_remove("EXECGO_RUNTIME_TOKEN_FILE").stdin(Stdio::null());
    command.envs(environment.iter().copied()).output().expect("the program runs")
}

/// A new token and its entry.
fn token(args: &[&str]) -> (String, Value) {
    let output = program(&[&["token", "--output", "json"], args].concat(), &[]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (made["token"].as_str().expect("a token").to_owned(), made["entry"].clone())
}

/// Every file below, on the same device, that holds the text: the root of sandboxes shows the host's files.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        let device = |path: &Path| path.symlink_metadata().expect("there").dev();
        if device(&path) != device(dir) {
            continue;
        }
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if path.is_file()
            && let Ok(bytes) = fs::read(&path)
            && bytes.windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_token_lets_its_holder_in_and_shows_up_nowhere() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("tokens.yaml");
    let (secret, entry) = token(&["ci", "--role", "submit", "--tenant", "acme", "--requests-per-second", "1000"]);
    fs::write(&file, format!("tokens:\n  - {entry}\n")).expect("written");
    let tokens = file.to_str().expect("text");
    let server = Server::with_flags(&["--tokens-file", tokens]);
    let url = ("EXECGO_RUNTIME_URL", server.url.as_str());

    let refused = program(&["run", "--", "/bin/true"], &[url]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unauthenticated"), "{refused:?}");
    let run = program(&["run", "--", "/usr/bin/env"], &[url, ("EXECGO_RUNTIME_TOKEN", &secret)]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let kept = dir.path().join("token");
    fs::write(&kept, format!("{secret}\n")).expect("written");
    let from_file = program(&["run", "--token-file", kept.to_str().expect("text"), "--", "/bin/true"], &[url]);
    assert_eq!(from_file.status.code(), Some(0), "{from_file:?}");

    let shown = program(&["config", "show", "--tokens-file", tokens], &[]);
    for (what, text) in [("the answer", &run.stdout), ("config show", &shown.stdout)] {
        assert!(!String::from_utf8_lossy(text).contains(&secret), "{what} shows the token");
    }
    assert!(!server.log().contains(&secret));
    assert_eq!(holding(&server.data_dir(), &secret), Vec::<String>::new());
    assert_eq!(holding(&server.data_dir(), entry["sha256"].as_str().expect("text")), Vec::<String>::new());
}

#[test]
fn without_tokens_a_server_listens_on_loopback_alone_unless_told_otherwise() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data_dir = dir.path().to_str().expect("text");
    let refused = program(&["serve", "--listen-addr", "0.0.0.0:0", "--data-dir", data_dir], &[]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("--tokens-file") && told.contains("--allow-anonymous"), "{told}");
}

#[test]
fn a_file_of_tokens_that_is_wrong_stops_the_start_and_is_not_repeated() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (data_dir, file) = (dir.path().join("data"), dir.path().join("tokens.yaml"));
    let serve = || {
        let (file, data_dir) = (file.to_str().expect("text"), data_dir.to_str().expect("text"));
        let args = ["serve", "--listen-addr", "127.0.0.1:0", "--tokens-file", file, "--data-dir", data_dir];
        let output = program(&args, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(serve().contains("cannot read it"));
    // Somebody took the token for its hash.
    fs::write(&file, "tokens:\n  - {name: a, sha256: egr_secret, role: read}\n").expect("written");
    let told = serve();
    assert!(told.contains("tokens[0].sha256 must be 64 hexadecimal digits") && !told.contains("egr_secret"), "{told}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("chmod");
    assert!(serve().contains("others than its owner may write to it"));
}
