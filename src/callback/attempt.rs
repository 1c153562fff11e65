//! One attempt to tell one event.

use std::io::{self, ErrorKind};
use std::time::Duration;

use ureq::Agent;

use super::Settings;
use super::backoff::backoff_ms;
use super::signature::{self, Signer};
use crate::api::EventRecord;
use crate::api::callback::CallbackBody;
use crate::api::row::TaskRow;
use crate::output::Log;
use crate::store::{Attempt, CallbackState, DueCallback};
use crate::task::{Callback, Task, TaskPaths, Timestamp};

#[derive(Debug)]
pub(super) struct Teller {
    settings: Settings,
    signer: Signer,
    agent: Agent,
}

/// Why the event was not told. The words are for the task's client, and say nothing of the network that it does not know.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the server may not tell anybody at this URL any more")]
    Forbidden,
    #[error("the answer was {0}")]
    Status(u16),
    #[error("no answer within {0} ms")]
    Late(u64),
    #[error("the connection failed")]
    Connection,
    #[error("TLS failed")]
    Tls,
    #[error("the host name was not found")]
    Host,
    #[error("there was no HTTP answer")]
    NoAnswer,
    #[error("the task could not be read")]
    Unreadable(#[from] io::Error),
}

impl Teller {
    pub(super) fn new(mut settings: Settings) -> Self {
        let signer = Signer::new(&std::mem::take(&mut settings.secret));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Whoever is allowed is told, and nobody that they name.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("execgo-runtime/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(Duration::from_millis(settings.config.timeout_ms)))
            .build();
        Self { settings, signer, agent: config.into() }
    }

    pub(super) fn tell(&self, due: &DueCallback) -> Attempt {
        let DueCallback { task, event, attempts } = due;
        let told = match &task.spec().callback {
            Some(callback) if self.settings.config.allows(&callback.url) => self.post(callback, due),
            _ => Err(Fault::Forbidden),
        };
        let at = Timestamp::now();
        let made = attempts.saturating_add(1);
        let state = match &told {
            Ok(_) => CallbackState::Delivered,
            Err(Fault::Forbidden) => CallbackState::Failed,
            Err(_) if made >= self.settings.config.max_attempts => CallbackState::Failed,
            Err(_) => {
                CallbackState::Pending(at.plus_millis(backoff_ms(made, self.settings.config.retry_ms, event.seq)))
            }
        };
        let fault = told.as_ref().err().map(ToString::to_string);
        if state == CallbackState::Failed {
            tracing::warn!(task_id = %task.id(), event = event.seq, attempts = made, fault, "a callback was given up");
        } else {
            tracing::debug!(task_id = %task.id(), event = event.seq, attempts = made, fault, "tried a callback");
        }
        let status = match told {
            Ok(status) | Err(Fault::Status(status)) => Some(status),
            Err(_) => None,
        };
        Attempt { event: event.seq, at, state, status, fault }
    }

    fn post(&self, callback: &Callback, due: &DueCallback) -> Result<u16, Fault> {
        let body = self.body(due)?;
        let signature = self.signer.sign(Timestamp::now().as_millis().div_euclid(1000), &body);
        let request = self.agent.post(&callback.url).content_type("application/json");
        match request.header(signature::HEADER, signature).send(&body[..]) {
            Ok(answer) if answer.status().is_success() => Ok(answer.status().as_u16()),
            Ok(answer) => Err(Fault::Status(answer.status().as_u16())),
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn fault(&self, error: &ureq::Error) -> Fault {
        let late = Fault::Late(self.settings.config.timeout_ms);
        match error {
            ureq::Error::Timeout(_) => late,
            ureq::Error::Io(error) if error.kind() == ErrorKind::TimedOut => late,
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed => Fault::Connection,
            ureq::Error::HostNotFound => Fault::Host,
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => Fault::Tls,
            _ => Fault::NoAnswer,
        }
    }

    fn body(&self, due: &DueCallback) -> io::Result<Vec<u8>> {
        let DueCallback { task, event, attempts: _ } = due;
        let body = CallbackBody {
            runtime_id: self.settings.runtime_id.clone(),
            event: EventRecord::from(event.clone()),
            task: TaskRow::render(task, self.lengths(task)?),
        };
        Ok(serde_json::to_vec(&body)?)
    }

    /// Of the task's logs.
    fn lengths(&self, task: &Task) -> io::Result<[u64; 2]> {
        let paths = TaskPaths::new(&self.settings.data_dir, task.id());
        let length = |path| Log::open(path)?.map_or(Ok(0), |log| log.length());
        Ok([length(&paths.stdout())?, length(&paths.stderr())?])
    }
}
