//! execve(2) with everything allocated beforehand: between a tight `RLIMIT_AS` and the exec an allocation may abort.

use std::ffi::{CStr, CString, NulError};
use std::{io, ptr};

/// The argument and environment vectors of a program to come.
#[derive(Debug)]
pub struct ExecImage {
    argv: CStringArray,
    envp: CStringArray,
}

#[derive(Debug)]
struct CStringArray {
    /// Points into `strings`, and ends with null.
    pointers: Vec<*const libc::c_char>,
    #[expect(dead_code, reason = "owns what `pointers` points into")]
    strings: Vec<CString>,
}

impl ExecImage {
    /// Takes `argv[0]` first, and the environment as `NAME=value`.
    #[must_use]
    pub fn new(argv: Vec<CString>, env: Vec<CString>) -> Self {
        Self { argv: CStringArray::new(argv), envp: CStringArray::new(env) }
    }

    /// `NAME=value`, as the environment wants it.
    ///
    /// # Errors
    /// The name or the value holds NUL.
    pub fn variable(name: &str, value: &str) -> Result<CString, NulError> {
        CString::new(format!("{name}={value}"))
    }

    /// Replaces the process. Allocates nothing. Returns only on failure, with its error.
    #[must_use]
    pub fn exec(&self, path: &CStr) -> io::Error {
        // SAFETY: `path` ends with NUL; both arrays are null-terminated and point to NUL-terminated strings, which
        // `CStringArray` owns and never changes, so they live as long as `self`.
        unsafe { libc::execve(path.as_ptr(), self.argv.pointers.as_ptr(), self.envp.pointers.as_ptr()) };
        io::Error::last_os_error()
    }
}

impl CStringArray {
    fn new(strings: Vec<CString>) -> Self {
        // A CString's bytes stay where they are on the heap when the vector of CStrings moves.
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, strings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_exec_returns_its_errno() {
        let image = ExecImage::new(vec![c"x".to_owned()], vec![ExecImage::variable("A", "b").expect("no NUL")]);
        assert_eq!(image.exec(c"/no/such/program").raw_os_error(), Some(libc::ENOENT));
    }
}
