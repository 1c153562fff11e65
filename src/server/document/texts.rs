//! Rules of text as regular expressions that ECMA 262, Python and Rust read alike. They say what
//! `task::validate` enforces; `\s` would not, since each of them counts other characters as white space.

/// A task id.
pub(in crate::server) const TASK_ID: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$";
/// No NUL.
pub(in crate::server) const PLAIN: &str = "^[^\\u0000]*$";
/// At least one character that is not white space, and no NUL.
pub(in crate::server) const NOT_BLANK: &str = concat!(
    "^[^\\u0000]*",
    "[^\\u0000\\u0009-\\u000d\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]",
    "[^\\u0000]*$"
);
/// Nothing but white space: as good as absent.
pub(in crate::server) const BLANK: &str =
    "^[\\u0009-\\u000d\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*$";
/// A relative path none of whose parts is `..`; may be empty.
pub(in crate::server) const INSIDE: &str = concat!(
    "^((\\.|[^/.\\u0000][^/\\u0000]*|\\.[^/.\\u0000][^/\\u0000]*|\\.\\.[^/\\u0000]+)",
    "(/(\\.?|[^/.\\u0000][^/\\u0000]*|\\.[^/.\\u0000][^/\\u0000]*|\\.\\.[^/\\u0000]+))*)?$"
);
/// Names joined by `/`, none of them empty, `.` or `..`.
pub(in crate::server) const NAMES: &str = concat!(
    "^([^/.\\u0000][^/\\u0000]*|\\.[^/.\\u0000][^/\\u0000]*|\\.\\.[^/\\u0000]+)",
    "(/([^/.\\u0000][^/\\u0000]*|\\.[^/.\\u0000][^/\\u0000]*|\\.\\.[^/\\u0000]+))*$"
);
/// Permission bits.
pub(in crate::server) const MODE: &str = "^0?[0-7]{3}$";
pub(in crate::server) const SHA256: &str = "^[0-9a-f]{64}$";
/// With its padding, and no bits that stand for nothing.
pub(in crate::server) const BASE64: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";
