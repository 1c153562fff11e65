//! A small blocking client. It keeps each answer as the server wrote it, beside the parsed JSON, so that fields it
//! does not know pass through untouched.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_rustls::rustls::{self, CertificateError};
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderValue, Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::{WithBody, WithoutBody};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, BodyReader, RequestBuilder, SendBody};

use super::unix_transport::UnixConnector;

pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
const HTTPS: &str = "https://";
/// Before the path of a UNIX socket.
const UNIX: &str = "unix:";
/// What stands for the server in requests over a UNIX socket.
const OVER_UNIX: &str = "http://127.0.0.1";

/// The longest wait that a server grants, see `docs/api.md`, Wait.
pub const MAX_WAIT_MS: u64 = 600_000;

/// Long enough for a server under load to commit and answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How much later than promised the answer to a wait may come.
const WAIT_SLACK: Duration = Duration::from_secs(5);
/// Two inlined streams of some megabytes, escaped, fit many times.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// Talks to one server.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    /// As it was named.
    server: String,
    /// Before the path of each request.
    base: String,
    /// `Bearer …`.
    token: Option<HeaderValue>,
}

/// An answer of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// As it came.
    pub text: String,
    pub json: Value,
}

/// What is asked for of a stream.
#[derive(Clone, Copy, Debug)]
pub struct OutputWanted {
    pub stderr: bool,
    /// The last lines alone.
    pub tail: Option<u64>,
    pub follow: bool,
    /// The first byte.
    pub from: Option<u64>,
}

/// A stream, or a part of it.
pub struct OutputAnswer {
    /// Where in the stream it begins, where the server says so.
    pub offset: Option<u64>,
    pub body: BodyReader<'static>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("--server {0:?} is not an address such as {DEFAULT_SERVER} or unix:/run/execgo-runtime.sock")]
    Address(String),
    #[error("--ca-file {}: {problem}", path.display())]
    Authority { path: PathBuf, problem: String },
    #[error("the token holds a character that no HTTP header may hold, or is empty")]
    Token,
    #[error("--idempotency-key holds a character that no HTTP header may hold")]
    Key,
    #[error("--owner holds a character that no HTTP header may hold")]
    Owner,
    #[error("{code}: {message}")]
    Refused { status: u16, code: String, message: String },
    #[error("cannot reach {server}: {cause}{}", hint(cause))]
    Unreachable { server: String, cause: Box<ureq::Error> },
    #[error("{server} is no execgo-runtime: its answer (HTTP status {status}) is not the JSON that belongs there")]
    Stranger { server: String, status: u16 },
}

impl ClientError {
    /// A server that restarts, or a proxy in front of one, says this for a moment.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } | Self::Stranger { status, .. } => matches!(status, 502..=504),
            Self::Address(_) | Self::Authority { .. } | Self::Token | Self::Key | Self::Owner => false,
        }
    }
}

type Answer = Result<Reply, ClientError>;

impl Client {
    /// # Errors
    /// When `server` is neither an address nor a UNIX socket, `token` can be none, or `ca_file` cannot be used.
    pub fn new(server: &str, token: Option<&str>, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let socket = server.strip_prefix(UNIX).map(PathBuf::from);
        let base = match &socket {
            Some(path) if path.as_os_str().is_empty() => return Err(ClientError::Address(server.to_owned())),
            Some(_) => OVER_UNIX.to_owned(),
            None => address(server)?,
        };
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca_file.filter(|_| base.starts_with(HTTPS)) {
            tls = tls.root_certs(authorities(path)?);
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("execgo-runtime/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_global(Some(ANSWER_WITHIN))
            .build();
        let token = token.map(bearer).transpose()?;
        let agent = match socket {
            Some(path) => Agent::with_parts(config, UnixConnector(path), DefaultResolver::default()),
            None => config.into(),
        };
        Ok(Self { agent, server: server.to_owned(), base, token })
    }

    fn get(&self, url: impl AsRef<str>) -> RequestBuilder<WithoutBody> {
        self.with_token(self.agent.get(url.as_ref()))
    }

    fn post(&self, url: impl AsRef<str>) -> RequestBuilder<WithBody> {
        self.with_token(self.agent.post(url.as_ref()))
    }

    fn with_token<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        }
    }

    /// # Errors
    /// Refused or unreachable.
    pub fn submit(&self, body: &str, key: Option<&str>) -> Answer {
        self.submit_to("/tasks", body, key)
    }

    /// # Errors
    /// Refused as a whole, or unreachable.
    pub fn submit_batch(&self, body: &str, key: Option<&str>) -> Answer {
        self.submit_to("/tasks/batch", body, key)
    }

    /// `key` is what the request is called, so that it is done once however often it is sent.
    fn submit_to(&self, path: &str, body: &str, key: Option<&str>) -> Answer {
        let mut request = self.post(self.url(path)).content_type("application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", HeaderValue::from_str(key).map_err(|_| ClientError::Key)?);
        }
        self.read(request.send(body))
    }

    /// Whether the server has a blob.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn has_blob(&self, sha256: &str) -> Result<bool, ClientError> {
        let response = self.with_token(self.agent.head(self.blob_url(sha256))).call();
        match response {
            Ok(response) if response.status() == 404 => Ok(false),
            response => self.whole(response).map(|_| true),
        }
    }

    /// Uploads a blob; it may take as long as it takes.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn put_blob(&self, sha256: &str, mut content: impl Read) -> Answer {
        let request = self.with_token(self.agent.put(self.blob_url(sha256))).content_type("application/octet-stream");
        let request = request.config().timeout_global(None).build();
        self.read(request.send(SendBody::from_reader(&mut content)))
    }

    fn blob_url(&self, sha256: &str) -> String {
        self.url(&format!("/blobs/{sha256}"))
    }

    /// The status of a task; with `wait_ms` the server answers when the task has ended, or after so long.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn task(&self, id: &str, wait_ms: Option<u64>) -> Answer {
        let url = self.task_url(id);
        let Some(wait_ms) = wait_ms else { return self.read(self.get(url).call()) };
        let within = Duration::from_millis(wait_ms) + WAIT_SLACK;
        let request = self.get(format!("{url}?wait_ms={wait_ms}"));
        self.read(request.config().timeout_global(Some(within)).build().call())
    }

    /// The request of a task.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn request(&self, id: &str) -> Answer {
        self.read(self.get(format!("{}/request", self.task_url(id))).call())
    }

    /// A page of tasks.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn list(&self, query: &[(String, String)]) -> Answer {
        let pairs = query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.read(self.get(self.url("/tasks")).query_pairs(pairs).call())
    }

    /// `how` is a `KillRequest`; without one it is all as the server has it.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn kill(&self, id: &str, owner: Option<&str>, how: Option<&Value>) -> Answer {
        let request = with_owner(self.post(format!("{}/kill", self.task_url(id))), owner)?;
        match how {
            Some(how) => self.read(request.send_json(how)),
            None => self.read(request.send_empty()),
        }
    }

    /// Kills all tasks of a filter.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn kill_many(&self, filter: &Value, owner: Option<&str>) -> Answer {
        let request = with_owner(self.post(self.url("/tasks/kill")), owner)?.content_type("application/json");
        self.read(request.send(filter.to_string()))
    }

    /// # Errors
    /// Refused or unreachable.
    pub fn delete(&self, id: &str, owner: Option<&str>) -> Result<(), ClientError> {
        let request = self.with_token(self.agent.delete(self.task_url(id)));
        self.whole(with_owner(request, owner)?.call()).map(drop)
    }

    /// # Errors
    /// Refused or unreachable.
    pub fn events(&self, id: &str) -> Answer {
        self.read(self.get(format!("{}/events", self.task_url(id))).call())
    }

    /// # Errors
    /// Refused or unreachable.
    pub fn drain(&self, waiting: &str) -> Answer {
        self.read(self.post(self.url("/runtime/drain")).send_json(json!({"waiting": waiting})))
    }

    /// What a task has written, to be read as it comes.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn output(&self, id: &str, wanted: &OutputWanted) -> Result<OutputAnswer, ClientError> {
        let OutputWanted { stderr, tail, follow, from } = wanted;
        let mut request = self.get(format!("{}/{}", self.task_url(id), if *stderr { "stderr" } else { "stdout" }));
        if let Some(tail) = tail {
            request = request.query("tail_lines", tail.to_string());
        }
        if *follow {
            request = request.query("follow", "true");
        }
        if let Some(from) = from {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = self.whole(request.config().timeout_global(None).build().call())?;
        let offset = response.headers().get("x-execgo-offset").and_then(|offset| offset.to_str().ok()?.parse().ok());
        Ok(OutputAnswer { offset, body: response.into_body().into_reader() })
    }

    /// The files that a task has left.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn files(&self, id: &str) -> Answer {
        self.read(self.get(format!("{}/files", self.task_url(id))).call())
    }

    /// One of them, to be read as it comes.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn file(&self, id: &str, path: &str) -> Result<BodyReader<'static>, ClientError> {
        self.download(format!("{}/files/{}", self.task_url(id), path_segment(path)))
    }

    /// All of them as an archive, to be read as it comes.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn archive(&self, id: &str) -> Result<BodyReader<'static>, ClientError> {
        self.download(format!("{}/files.tar.zst", self.task_url(id)))
    }

    fn download(&self, url: String) -> Result<BodyReader<'static>, ClientError> {
        let response = self.whole(self.get(url).config().timeout_global(None).build().call())?;
        Ok(response.into_body().into_reader())
    }

    /// The stream of a task behind what was seen last, to be read as it comes.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn stream(
        &self,
        id: &str,
        last: Option<&str>,
        within: Option<Duration>,
    ) -> Result<BodyReader<'static>, ClientError> {
        let mut request = self.get(format!("{}/stream", self.task_url(id)));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.event_stream(request.config().timeout_global(within).build())
    }

    /// The events of all tasks behind what was seen last, to be read as they come.
    ///
    /// # Errors
    /// Refused or unreachable.
    pub fn feed(&self, query: &[(&str, String)], last: Option<&str>) -> Result<BodyReader<'static>, ClientError> {
        let pairs = query.iter().map(|(name, value)| (*name, value.as_str()));
        let mut request = self.get(self.url("/events")).query_pairs(pairs);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.event_stream(request.config().timeout_global(None).build())
    }

    fn event_stream(&self, request: RequestBuilder<WithoutBody>) -> Result<BodyReader<'static>, ClientError> {
        let response = self.whole(request.call())?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            return Ok(response.into_body().into_reader());
        }
        Err(ClientError::Stranger { server: self.server.clone(), status: response.status().as_u16() })
    }

    /// The answer, unless it is a failure.
    fn whole(&self, response: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, ClientError> {
        match response {
            Ok(response) if response.status().is_success() => Ok(response),
            failed => {
                let status = failed.as_ref().map_or(0, |response| response.status().as_u16());
                let stranger = ClientError::Stranger { server: self.server.clone(), status };
                Err(self.read(failed).err().unwrap_or(stranger))
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }

    fn task_url(&self, id: &str) -> String {
        self.url(&format!("/tasks/{}", path_segment(id)))
    }

    fn read(&self, response: Result<Response<Body>, ureq::Error>) -> Answer {
        let unreachable = |cause| ClientError::Unreachable { server: self.server.clone(), cause: Box::new(cause) };
        let mut response = response.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).lossy_utf8(true);
        let text = body.read_to_string().map_err(unreachable)?;
        let stranger = || ClientError::Stranger { server: self.server.clone(), status };
        let json: Value = serde_json::from_str(&text).map_err(|_| stranger())?;
        if response.status().is_success() {
            return Ok(Reply { text, json });
        }
        let part = |name: &str| json["error"][name].as_str().map(str::to_owned);
        match (part("code"), part("message")) {
            (Some(code), Some(message)) => Err(ClientError::Refused { status, code, message }),
            _ => Err(stranger()),
        }
    }
}

fn with_owner<B>(request: RequestBuilder<B>, owner: Option<&str>) -> Result<RequestBuilder<B>, ClientError> {
    let Some(owner) = owner else { return Ok(request) };
    let owner = HeaderValue::from_bytes(owner.as_bytes()).map_err(|_| ClientError::Owner)?;
    Ok(request.header("x-execgo-owner", owner))
}

/// Without a slash at its end.
fn address(server: &str) -> Result<String, ClientError> {
    let server = server.trim_end_matches('/').to_owned();
    match server.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none() => Ok(server),
        _ => Err(ClientError::Address(server)),
    }
}

/// Who is trusted to say which certificates are right.
fn authorities(path: &Path) -> Result<RootCerts, ClientError> {
    let failed = |problem: String| ClientError::Authority { path: path.to_owned(), problem };
    let pem = std::fs::read(path).map_err(|error| failed(format!("cannot read it: {error}")))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(failed("there is no certificate in it, in the form of PEM".to_owned()));
    }
    Ok(found.into())
}

/// What to do about a TLS that does not come about.
fn hint(cause: &ureq::Error) -> &'static str {
    let tls = match cause {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        _ => None,
    };
    match tls {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "; --ca-file names the certificate of the authority that this server's is from"
        }
        Some(rustls::Error::InvalidMessage(_)) => "; it may speak plain HTTP: try http://",
        _ => "",
    }
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
    value.set_sensitive(true);
    if token.is_empty() { Err(ClientError::Token) } else { Ok(value) }
}

/// Whatever the user typed stays one segment of the path; the server judges it.
fn path_segment(id: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let encode = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    match id {
        // A client or proxy may take these for the directory and its parent.
        "." | ".." => id.replace('.', "%2E"),
        _ => id.bytes().map(encode).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_and_unix_sockets_are_taken() {
        for good in
            ["https://host", "http://127.0.0.1:8080", "http://[::1]:1/", "http://host/base/", "unix:/a b", "unix:a"]
        {
            assert!(Client::new(good, None, None).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:8080", "unix:", "ftp://host", "http://", "http://a?b=c", "http://a b"] {
            let error = Client::new(bad, None, None).expect_err(bad).to_string();
            assert!(error.starts_with("--server"), "{error}");
        }
    }

    #[test]
    fn an_id_stays_one_segment_of_the_path() {
        assert_eq!(path_segment("a-B_c.9"), "a-B_c.9");
        assert_eq!(path_segment("../x?y#z %"), "..%2Fx%3Fy%23z%20%25");
        assert_eq!(path_segment(".."), "%2E%2E");
    }
}
