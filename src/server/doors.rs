//! By which name the server may be asked, and which web pages may send it requests. A browser on this machine is inside
//! what a loopback address keeps out, and whatever page it shows may send requests: to `http://127.0.0.1` from its own
//! origin, or to its own name after that was made to point here (DNS rebinding).

use std::net::{Ipv4Addr, Ipv6Addr};

use poem::Request;
use poem::http::header::{HOST, HeaderName, ORIGIN};

use super::fault::Fault;
use crate::config::Access;

/// Every name.
const ANY: &str = "*";
/// How much of a wrong name is told.
const SHOWN: usize = 80;

#[derive(Debug)]
pub(super) struct Doors {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Doors {
    /// `own_name` is the machine's.
    pub(super) fn new(access: &Access, own_name: &str) -> Self {
        let lower = |all: &[String]| all.iter().map(|one| one.to_ascii_lowercase()).collect::<Vec<_>>();
        let mut hosts = lower(&access.allowed_hosts);
        hosts.push(own_name.to_ascii_lowercase());
        Self { hosts, origins: lower(&access.allowed_origins) }
    }

    /// Refuses what only a web page would send: another name than one of ours, or another page's origin.
    pub(super) fn check(&self, request: &Request) -> Result<(), Fault> {
        let host = text(request, &HOST);
        if let Some(host) = &host
            && !self.is_ours(name_of(host))
        {
            return Err(Fault::Host(shown(host)));
        }
        match text(request, &ORIGIN) {
            Some(origin) if !self.may_send(&origin, host.as_deref()) => Err(Fault::Origin(shown(&origin))),
            _ => Ok(()),
        }
    }

    fn is_ours(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_address = name.parse::<Ipv4Addr>().is_ok()
            || name
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'))
                .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
        let is_local = name == "localhost" || name.ends_with(".localhost");
        is_address || is_local || self.hosts.iter().any(|known| known == name || known == ANY)
    }

    /// The page came from here, or from where the operator says.
    fn may_send(&self, origin: &str, host: Option<&str>) -> bool {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        let is_own = authority.is_some_and(|authority| Some(authority) == host);
        is_own || self.origins.iter().any(|known| known == origin)
    }
}

/// What cannot be text is none of our names.
fn text(request: &Request, name: &HeaderName) -> Option<String> {
    request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
}

/// Without the port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn doors(hosts: &[&str], origins: &[&str]) -> Doors {
        let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let access =
            Access { allowed_hosts: all(hosts), allowed_origins: all(origins), ..config::Config::default().access };
        Doors::new(&access, "Builder-7")
    }

    fn asked(headers: &[(&str, &str)]) -> Request {
        headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value)).finish()
    }

    #[test]
    fn only_names_that_no_stranger_can_own_are_ours() {
        let doors = doors(&["Runtime.Example"], &[]);
        for ours in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "10.1.2.3:80",
            "localhost",
            "LOCALHOST:8080",
            "a.localhost",
            "localhost.:8080",
            "runtime.example",
            "runtime.example:1",
            "RUNTIME.example.",
            "builder-7:8080",
        ] {
            assert!(doors.check(&asked(&[("host", ours)])).is_ok(), "{ours}");
        }
        for strange in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "",
            ":8080",
            "::1",
            "runtime.example.evil",
            "user@127.0.0.1",
            "127.0.0.1:8080:1",
            "[127.0.0.1]",
        ] {
            assert!(doors.check(&asked(&[("host", strange)])).is_err(), "{strange}");
        }
        assert!(doors.check(&asked(&[])).is_ok(), "a browser always names a host");
    }

    #[test]
    fn any_name_is_ours_where_the_operator_says_so() {
        assert!(doors(&["*"], &[]).check(&asked(&[("host", "evil.example")])).is_ok());
    }

    #[test]
    fn a_page_may_send_from_here_and_from_where_the_operator_says() {
        let doors = doors(&["runtime.example"], &["https://Proxy.example"]);
        let from = |origin: &str, host: &str| doors.check(&asked(&[("host", host), ("origin", origin)])).is_ok();
        assert!(from("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(from("https://runtime.example", "runtime.example"), "a proxy may end TLS");
        assert!(from("https://proxy.example", "127.0.0.1:8080"));
        for origin in
            ["http://evil.example", "null", "", "http://127.0.0.1:8081", "http://127.0.0.1", "http://proxy.example"]
        {
            assert!(!from(origin, "127.0.0.1:8080"), "{origin}");
        }
    }
}
