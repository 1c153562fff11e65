//! TLS: whom the client trusts, certificates that change, and clients that do not speak it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::support::{Server, deadline, eventually};
use crate::transport::client;

/// An authority and where its certificate lies, and where the server finds its own.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("text").to_owned()
    }

    /// A new authority, whose certificate is in `<name>.pem`, makes the server's new pair.
    fn issue(&self, name: &str) {
        let (certificate, key) = self.make(name);
        // The two are not replaced at the same time.
        replace(&self.path("key.pem"), &key);
        replace(&self.path("cert.pem"), &certificate);
    }

    fn make(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        fs::write(self.path(&format!("{name}.pem")), authority.pem()).expect("written");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &authority).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    fn server(&self) -> Server {
        Server::with_flags(&["--tls-cert-file", &self.text("cert.pem"), "--tls-key-file", &self.text("key.pem")])
    }

    /// Runs a task by a client that trusts this authority.
    fn run(&self, server: &Server, authority: &str) -> Output {
        client(&["run", "--server", &server.url, "--ca-file", &self.text(authority), "--", "/bin/echo", "hi"])
    }
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("written");
    fs::rename(&new, path).expect("renamed");
}

fn told(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_client_goes_by_tls_and_trusts_the_named_authority_alone() {
    let files = Files::new();
    files.issue("ours");
    files.make("other");
    let server = files.server();
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let run = files.run(&server, "ours.pem");
    assert!(run.status.success() && String::from_utf8_lossy(&run.stdout).contains("hi\\n"), "{run:?}");
    let other = told(&files.run(&server, "other.pem"));
    assert!(other.contains("UnknownIssuer") && other.contains("--ca-file names the certificate"), "{other}");
    let none = told(&client(&["run", "--server", &server.url, "--", "/bin/true"]));
    assert!(none.contains("--ca-file names the certificate"), "{none}");
    // The certificate is for the address, not for the name.
    let named = server.url.replace("127.0.0.1", "localhost");
    let wrong = told(&client(&["run", "--server", &named, "--ca-file", &files.text("ours.pem"), "--", "/bin/true"]));
    assert!(wrong.contains("not valid for name"), "{wrong}");
    let no_pem = told(&client(&["status", "--server", &named, "--ca-file", &files.text("key.pem"), "x"]));
    assert!(no_pem.contains("there is no certificate in it"), "{no_pem}");
    let missing = told(&client(&["status", "--server", &named, "--ca-file", &files.text("none"), "x"]));
    assert!(missing.contains("cannot read it"), "{missing}");
}

#[test]
fn who_does_not_speak_tls_is_turned_away() {
    let files = Files::new();
    files.issue("ours");
    let config = files.path("config.yaml");
    fs::write(&config, "server:\n  header_timeout_ms: 500\n").expect("written");
    let mut server = files.server();
    let plain = server.url.replace("https://", "http://");
    told(&client(&["status", "--server", &plain, "x"]));
    let mut stream = TcpStream::connect(server.url.trim_start_matches("https://")).expect("connects");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sends");
    assert!(!until_closed(stream).windows(4).any(|part| part == b"HTTP"), "no answer goes out unencrypted");
    // Who says nothing at all is given up.
    assert_eq!(server.stop(), Some(0));
    server.add_flag("--config");
    server.add_flag(config.to_str().expect("text"));
    server.restart();
    let started = Instant::now();
    let silent = TcpStream::connect(server.url.trim_start_matches("https://")).expect("connects");
    assert_eq!(until_closed(silent), b"");
    assert!(started.elapsed() < deadline() / 2);
    // A handshake that hangs does not hold up a stop.
    let _silent = TcpStream::connect(server.url.trim_start_matches("https://")).expect("connects");
    assert_eq!(server.stop(), Some(0));
    // And the other way round.
    let plain = Server::start();
    let https = plain.url.replace("http://", "https://");
    let hint = told(&client(&["status", "--server", &https, "x"]));
    assert!(hint.contains("it may speak plain HTTP"), "{hint}");
}

fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(deadline())).expect("set");
    let mut bytes = Vec::new();
    // A reset is as good as an end, but not a timeout.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    bytes
}

#[test]
fn a_new_certificate_holds_for_new_connections_and_a_broken_one_changes_nothing() {
    let files = Files::new();
    files.issue("first");
    let server = files.server();
    assert!(files.run(&server, "first.pem").status.success());
    files.issue("second");
    eventually("the new certificate is shown", || files.run(&server, "second.pem").status.success().then_some(()));
    assert!(!files.run(&server, "first.pem").status.success());
    for (file, text, complaint) in
        [("cert.pem", "no certificate", "there is no certificate in"), ("key.pem", "no key", "cannot be used")]
    {
        replace(&files.path(file), text);
        eventually("the broken file is noticed", || {
            // A look is taken when somebody connects.
            assert!(files.run(&server, "second.pem").status.success());
            server.log().contains(complaint).then_some(())
        });
    }
    files.issue("fourth");
    eventually("the last certificate is shown", || files.run(&server, "fourth.pem").status.success().then_some(()));
}

#[test]
fn a_server_does_not_start_with_half_a_pair() {
    let files = Files::new();
    files.issue("ours");
    let data_dir = files.text("data");
    let start = |flags: &[&str]| {
        let output = client(&[&["serve", "--listen-addr", "127.0.0.1:0", "--data-dir", &data_dir], flags].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (certificate, key) = (files.text("cert.pem"), files.text("key.pem"));
    assert!(start(&["--tls-cert-file", &certificate]).contains("server.tls_cert_file needs server.tls_key_file"));
    assert!(start(&["--tls-key-file", &key]).contains("server.tls_key_file needs server.tls_cert_file"));
    let swapped = start(&["--tls-cert-file", &key, "--tls-key-file", &certificate]);
    assert!(swapped.contains("there is no certificate in"), "{swapped}");
    let (_, other) = files.make("other");
    fs::write(files.path("other-key.pem"), other).expect("written");
    let mixed = start(&["--tls-cert-file", &certificate, "--tls-key-file", &files.text("other-key.pem")]);
    assert!(mixed.contains("certificate and key cannot be used together"), "{mixed}");
}
