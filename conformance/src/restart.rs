//! Ends the runtime and starts it anew, where the suite was told how.

use std::fmt;
use std::process::Command;

/// Returns when another runtime is on its way, at the same address and over the same data.
pub struct Restart(Box<dyn Fn() -> Result<(), String> + Send + Sync>);

impl Restart {
    pub fn new(restart: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Box::new(restart))
    }

    /// By a line for the shell.
    #[must_use]
    pub fn by_command(line: String) -> Self {
        Self::new(move || {
            let output = Command::new("/bin/sh").args(["-c", &line]).output();
            let output = output.map_err(|error| format!("/bin/sh: {error}"))?;
            let said = || String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(format!("{}: {}: {}", line, output.status, said())) }
        })
    }

    pub fn run(&self) -> Result<(), String> {
        (self.0)()
    }
}

impl fmt::Debug for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restart").finish_non_exhaustive()
    }
}
