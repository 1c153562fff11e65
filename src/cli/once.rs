//! Sending a request that is done once, however often it is sent: it may be sent again.

use std::time::Duration;

use clap::Args;

use super::Console;
use super::away::Away;
use super::client::{ClientError, Reply};

/// Between two tries while the server is away.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Args, Debug, Default)]
pub struct Once {
    /// Name of this request, such as a UUID: the server does it once, however often it comes, and it is sent again while
    /// the server is away
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Once {
    /// # Errors
    /// Refused, or unreachable; with a key for too long.
    pub fn send(
        &self,
        console: &mut Console,
        send: impl Fn(Option<&str>) -> Result<Reply, ClientError>,
    ) -> Result<Reply, ClientError> {
        let key = self.idempotency_key.as_deref();
        let mut away = Away::with_pause(PAUSE);
        loop {
            match send(key) {
                Err(error) if key.is_some() && error.may_pass() && away.bear(&error, console) => {}
                done => return done,
            }
        }
    }
}
