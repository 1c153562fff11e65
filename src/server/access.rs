//! Who may: bearer tokens, what each allows, and how often. Without a file of tokens everybody may everything, from this
//! machine and from web pages of this server alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use poem::Request;
use poem::http::Method;
use poem::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::app::PLAIN_PATHS;
use super::doors::Doors;
use super::fault::Fault;
use super::followed::Followed;
use super::rate::Bucket;
use crate::config::{self, Role, Token, TokenHash, TokensError};
use crate::task::Task;

/// For probers, who have no token and come under any name.
const FOR_PROBERS: [&str; 2] = ["/healthz", "/readyz"];

/// Decides about every request.
#[derive(Debug)]
pub struct Access {
    tokens: Option<Tokens>,
    /// In the place of tokens.
    doors: Doors,
    open_metrics: bool,
}

/// Who asks.
#[derive(Clone)]
pub(super) struct Caller(Option<Arc<Holder>>);

/// Of a token.
#[derive(Debug)]
struct Holder {
    token: Token,
    bucket: Option<Mutex<Bucket>>,
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// No token.
    Nothing,
    Role(Role),
    /// And no tenant: it tells of all of them, or touches all of them.
    RoleOverAll(Role),
}

impl Access {
    /// # Errors
    /// The file of tokens cannot be taken.
    pub fn new(config: &config::Access, own_name: &str) -> Result<Self, TokensError> {
        let tokens = config.tokens_file.as_deref().map(Tokens::open).transpose()?;
        Ok(Self { tokens, doors: Doors::new(config, own_name), open_metrics: config.open_metrics })
    }

    /// Lets the request to this route in, or says why not.
    pub(super) fn admit(&self, template: &str, request: &Request) -> Result<Caller, Fault> {
        if FOR_PROBERS.contains(&template) {
            return Ok(Caller(None));
        }
        let Some(tokens) = &self.tokens else {
            self.doors.check(request)?;
            return Ok(Caller(None));
        };
        let need = self.need(template, request.method());
        if need == Need::Nothing {
            return Ok(Caller(None));
        }
        let holder = tokens.holder(bearer(request)?).ok_or(Fault::Unauthenticated("the bearer token is not known"))?;
        holder.spend()?;
        holder.check(need)?;
        Ok(Caller(Some(holder)))
    }

    fn need(&self, template: &str, method: &Method) -> Need {
        if PLAIN_PATHS.contains(&template) {
            return Need::Nothing;
        }
        match template {
            "/api/v1/runtime/drain" => Need::RoleOverAll(Role::Admin),
            "/metrics" if self.open_metrics => Need::Nothing,
            "/metrics" | "/api/v1/runtime/config" => Need::RoleOverAll(Role::Read),
            // It may hold secrets.
            "/api/v1/tasks/{task_id}/request" => Need::Role(Role::Submit),
            _ if method == Method::GET || method == Method::HEAD => Need::Role(Role::Read),
            _ => Need::Role(Role::Submit),
        }
    }
}

impl Caller {
    /// Whose tasks alone the caller may see.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.0.as_ref().and_then(|holder| holder.token.tenant.as_deref())
    }

    /// A task that the caller may not see does not exist for it.
    pub(super) fn sees(&self, task: &Task) -> bool {
        self.sees_tenant(task.spec().control.tenant.as_deref())
    }

    /// Whether the caller sees the tasks of this tenant, or of none.
    pub(super) fn sees_tenant(&self, tenant: Option<&str>) -> bool {
        self.tenant().is_none_or(|own| tenant == Some(own))
    }

    /// A batch counts for its tasks. It is let in all the same where they are more than is left; what comes next waits.
    pub(super) fn charge_batch(&self, tasks: usize) {
        if let Some(bucket) = self.0.as_ref().and_then(|holder| holder.bucket.as_ref()) {
            let more = u32::try_from(tasks.saturating_sub(1)).unwrap_or(u32::MAX);
            bucket.lock().unwrap_or_else(PoisonError::into_inner).charge(more);
        }
    }

    /// For the log.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|holder| holder.token.name.as_str())
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Caller({:?})", self.name())
    }
}

impl Holder {
    fn new(token: Token) -> Self {
        let bucket = token.requests_per_second.map(|rate| Mutex::new(Bucket::full(rate, Instant::now())));
        Self { token, bucket }
    }

    fn spend(&self) -> Result<(), Fault> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.take(Instant::now()) { Ok(()) } else { Err(Fault::TooOften { requests_per_second: bucket.rate() }) }
    }

    fn check(&self, need: Need) -> Result<(), Fault> {
        let (Need::Role(role) | Need::RoleOverAll(role)) = need else { return Ok(()) };
        if self.token.role < role {
            return Err(Fault::Role { has: self.token.role, needs: role });
        }
        if matches!(need, Need::RoleOverAll(_)) && self.token.tenant.is_some() {
            return Err(Fault::OneTenant);
        }
        Ok(())
    }
}

/// RFC 6750, section 2.1.
fn bearer(request: &Request) -> Result<&[u8], Fault> {
    let given = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    let missing = Fault::Unauthenticated("a token is needed, in the header Authorization: Bearer TOKEN");
    let (scheme, token) = given.and_then(|given| given.split_at_checked(7)).ok_or(missing)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(Fault::Unauthenticated("the header Authorization must be Bearer TOKEN"));
    }
    Ok(token.trim_ascii())
}

/// The tokens of the file as it is now. One that is gone or wrong changes nothing: whoever may, still may.
#[derive(Debug)]
struct Tokens(Followed<Vec<Arc<Holder>>, 1>);

impl Tokens {
    fn open(path: &Path) -> Result<Self, TokensError> {
        Followed::open([path.to_owned()], read).map(Self)
    }

    /// Compares with every token in full, so that the time tells nothing of them.
    fn holder(&self, token: &[u8]) -> Option<Arc<Holder>> {
        let TokenHash(given) = TokenHash::of(token);
        let mut found = None;
        for holder in self.0.current(read).iter() {
            if bool::from(holder.token.hash.0.ct_eq(&given)) {
                found = Some(Arc::clone(holder));
            }
        }
        found
    }
}

fn read([file]: &[PathBuf; 1]) -> Result<Vec<Arc<Holder>>, TokensError> {
    Ok(config::read_tokens(file)?.into_iter().map(|token| Arc::new(Holder::new(token))).collect())
}
