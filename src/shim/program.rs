//! Which file a program's name means, by the rules of execvp(3) and the `PATH` of the task's own environment.

use std::ffi::{CString, NulError};
use std::{fmt, io};

use crate::sys::exec::ExecImage;

/// Where a task that has no `PATH` looks.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program, its arguments and its environment, ready to be exec'ed.
#[derive(Debug)]
pub struct Program {
    name: String,
    /// In the order in which they are tried.
    candidates: Vec<CString>,
    image: ExecImage,
}

impl Program {
    /// Takes the arguments with `argv[0]`, the program's name, first.
    ///
    /// # Errors
    /// `EINVAL`: there is no `argv[0]`, or a string holds NUL.
    pub fn new(argv: &[String], env: &[(String, String)]) -> io::Result<Self> {
        let invalid = |_: NulError| io::Error::from_raw_os_error(libc::EINVAL);
        let name = argv.first().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        let path = env.iter().find(|(key, _)| key == "PATH").map_or(DEFAULT_PATH, |(_, value)| value);
        let strings = |of: Vec<String>| of.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        let candidates = strings(candidates(name, path)).map_err(invalid)?;
        let argv = strings(argv.to_vec()).map_err(invalid)?;
        let env: Result<_, _> = env.iter().map(|(key, value)| ExecImage::variable(key, value)).collect();
        Ok(Self { name: name.clone(), candidates, image: ExecImage::new(argv, env.map_err(invalid)?) })
    }

    /// Replaces the process by the first candidate that can be executed. A file that is there but may not be executed
    /// is passed over, and its `EACCES` is the answer when there is no better one. A file of no known format is
    /// `ENOEXEC`; it is not handed to a shell.
    #[must_use]
    pub fn exec(&self) -> io::Error {
        let mut answer = None;
        for candidate in &self.candidates {
            let error = self.image.exec(candidate);
            match error.raw_os_error() {
                Some(libc::EACCES) => answer = Some(error),
                Some(libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT) => {}
                Some(_) | None => return error,
            }
        }
        answer.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn candidates(name: &str, path: &str) -> Vec<String> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    // An empty element is the working directory.
    path.split(':').map(|dir| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_not_searched() {
        assert_eq!(candidates("./x", "/a:/b"), ["./x"]);
        assert_eq!(candidates("x", "/a::/b"), ["/a/x", "x", "/b/x"]);
        assert!(candidates("", "/a").is_empty());
    }

    #[test]
    fn the_path_is_the_tasks_own() {
        let program = |env: &[(&str, &str)]| {
            let env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Program::new(&["true".into()], &env).expect("valid").candidates
        };
        assert_eq!(program(&[("A", "b"), ("PATH", "/only")]), [c"/only/true".to_owned()]);
        assert_eq!(program(&[]).len(), 3);
    }

    #[test]
    fn no_program_and_nul_are_refused() {
        let refused = |argv: &[String]| Program::new(argv, &[]).expect_err("refused").raw_os_error();
        assert_eq!(refused(&[]), Some(libc::EINVAL));
        assert_eq!(refused(&["a\0b".into()]), Some(libc::EINVAL));
    }

    #[test]
    fn a_file_that_may_not_be_executed_beats_one_that_is_not_there() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("prog"), "").expect("written");
        let path = format!("{}:/no/such/directory", dir.path().display());
        let program = Program::new(&["prog".into()], &[("PATH".into(), path)]).expect("valid");
        assert_eq!(program.exec().raw_os_error(), Some(libc::EACCES));
        let program = Program::new(&["prog".into()], &[("PATH".into(), "/no/such".into())]).expect("valid");
        assert_eq!(program.exec().raw_os_error(), Some(libc::ENOENT));
    }
}
