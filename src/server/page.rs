//! The page for people at `/`, whose files are in `page/`. It uses nothing but the published API, and needs no network
//! beside it.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use poem::http::{StatusCode, header};
use poem::{Request, Response, RouteMethod, get};
use sha2::{Digest, Sha256};

use super::fault::Fault;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What a browser lets the page do: whatever is in the output of a task, nothing of it is run, loaded or framed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct File {
    kind: &'static str,
    bytes: &'static [u8],
    etag: String,
}

macro_rules! files {
    ($($kind:ident $name:literal)*) => {
        [$(($name, $kind, include_bytes!(concat!("page/", $name)).as_slice())),*]
    };
}

static FILES: LazyLock<HashMap<&'static str, File>> = LazyLock::new(|| {
    let all = files! {
        HTML "index.html"
        CSS "style.css"
        SVG "icon.svg"
        SCRIPT "ansi.js"
        SCRIPT "api.js"
        SCRIPT "app.js"
        SCRIPT "dom.js"
        SCRIPT "format.js"
        SCRIPT "live.js"
        SCRIPT "machine.js"
        SCRIPT "output.js"
        SCRIPT "overview.js"
        SCRIPT "plan.js"
        SCRIPT "row.js"
        SCRIPT "submit.js"
        SCRIPT "task.js"
        SCRIPT "tasks.js"
        SCRIPT "timeline.js"
    };
    let file = |(name, kind, bytes)| {
        let etag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes)));
        (name, File { kind, bytes, etag })
    };
    all.into_iter().map(file).collect()
});

/// The page itself.
pub(super) fn index() -> RouteMethod {
    get(poem::endpoint::make(|request: Request| async move { serve(&request, "index.html") }))
}

/// The files that it needs, by name.
pub(super) fn assets() -> RouteMethod {
    let asset = |request: Request| async move {
        let name = request.raw_path_param("name").filter(|name| *name != "index.html").ok_or(Fault::NoPath)?;
        serve(&request, name)
    };
    get(poem::endpoint::make(asset))
}

fn serve(request: &Request, name: &str) -> poem::Result<Response> {
    let file = FILES.get(name).ok_or(Fault::NoPath)?;
    let answer = Response::builder()
        .header(header::ETAG, &file.etag)
        // A new version of the server has new files.
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::REFERRER_POLICY, "no-referrer")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let known = request.headers().get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == file.etag.as_bytes()) {
        return Ok(answer.status(StatusCode::NOT_MODIFIED).finish());
    }
    Ok(answer.content_type(file.kind).body(file.bytes))
}
