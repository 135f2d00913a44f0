//! Addresses of servers: only the few forms of which it is plain where they lead.

use super::Failure;
use crate::sample::FailureKind;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The option of `harness run` that lets a scenario name another host.
pub const ALLOW_REMOTE_FLAG: &str = "--allow-remote";

/// The base of a running server's address, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    base: String,
    port: u16,
    is_loopback: bool,
    is_encrypted: bool,
}

impl ServerUrl {
    /// Reads `http://host[:port][/path]`. A `/v1` at the end is dropped, since requests bring their own.
    ///
    /// # Errors
    /// For anything else: a name or password, a query, a character that programs read differently. And for a host that
    /// is not literally this machine (`localhost`, 127.0.0.0/8, `[::1]`), unless `allow_remote`.
    pub fn parse(text: &str, allow_remote: bool) -> Result<ServerUrl, Failure> {
        let refuse = |why: &str| {
            let shown: String = text.chars().take(200).flat_map(char::escape_debug).collect();
            Err(Failure::new(FailureKind::Unsupported, format!("the address `{shown}` {why}")))
        };
        let (scheme, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => ("http", rest),
            (_, Some(rest)) => ("https", rest),
            _ => return refuse("does not begin with http:// or https://"),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return refuse("holds a name or password: name an environment variable for the key instead");
        }
        let Some((host, port)) = split_port(authority) else {
            return refuse("is not of the form http://host:port");
        };
        if !path.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.".contains(c)) || path.contains("..") {
            return refuse("has more after the host than a plain path");
        }
        let Some(is_loopback) = is_loopback(host) else {
            return refuse("has a host that is no plain name or address");
        };
        if !is_loopback && !allow_remote {
            return refuse(&format!(
                "is not this machine: say `harness run {ALLOW_REMOTE_FLAG}` if prompts may be sent there"
            ));
        }
        let port = port.unwrap_or(if scheme == "https" { 443 } else { 80 });
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path);
        let base = format!("{scheme}://{}:{port}{path}", host.to_ascii_lowercase());
        Ok(ServerUrl { base, port, is_loopback, is_encrypted: scheme == "https" })
    }

    /// `http://127.0.0.1:8080`, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The port, where the server is on this machine.
    pub fn loopback_port(&self) -> Option<u16> {
        self.is_loopback.then_some(self.port)
    }

    /// Whether a key may be sent there: nobody on the way can read it.
    pub fn is_private(&self) -> bool {
        self.is_loopback || self.is_encrypted
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`; `None` for another form.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = match authority.starts_with('[') {
        true => authority.find(']')? + 1,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end);
    if rest.is_empty() {
        return Some((host, None));
    }
    let digits = rest.strip_prefix(':').filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
    Some((host, Some(digits.parse().ok().filter(|&port| port > 0)?)))
}

/// Whether `host` is literally this machine; `None` if it is neither an address nor a name. No name is looked up.
fn is_loopback(host: &str) -> Option<bool> {
    if let Some(inside) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inside.parse::<Ipv6Addr>().ok().map(|address| address == Ipv6Addr::LOCALHOST);
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Some(address.is_loopback());
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let is_name = host.len() <= 253 && host.split('.').all(is_label);
    // A name whose last label is a number is read as an address by some programs (`127.1`, `2130706433`).
    let ends_in_number = host.rsplit('.').next().is_some_and(|last| {
        last.bytes().all(|b| b.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x")
    });
    (is_name && !ends_in_number).then(|| host.eq_ignore_ascii_case("localhost"))
}

/// A credential; not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, to be sent or to be looked for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base(text: &str, allow_remote: bool) -> Result<String, String> {
        ServerUrl::parse(text, allow_remote).map(|url| url.base).map_err(|failure| failure.message)
    }

    #[test]
    fn this_machine_is_reached_by_its_literal_names() {
        let check = |text: &str, wanted: &str| assert_eq!(base(text, false).as_deref(), Ok(wanted), "{text}");
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080");
        check("http://127.8.9.1:8080/", "http://127.8.9.1:8080");
        check("http://LocalHost:1234/v1/", "http://localhost:1234");
        check("http://[::1]:11434", "http://[::1]:11434");
        check("http://localhost/llm/v1", "http://localhost:80/llm");
        check("https://127.0.0.1", "https://127.0.0.1:443");
        assert_eq!(ServerUrl::parse("http://[::1]:7", false).expect("loopback").loopback_port(), Some(7));
    }

    #[test]
    fn other_hosts_need_leave_however_they_are_written() {
        let hosts = [
            "127.0.0.1.evil.com",
            "localhost.evil.com",
            "evil.com",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[fe80::1]",
            "localhosts",
            "169.254.169.254",
            "128.0.0.1",
        ];
        for host in hosts {
            let text = format!("http://{host}:80");
            let refused = base(&text, false).expect_err(host);
            assert!(
                refused.contains("is not this machine") && refused.contains("--allow-remote"),
                "{refused}"
            );
            let url = ServerUrl::parse(&text, true).expect(host);
            assert_eq!((url.loopback_port(), url.is_private()), (None, false), "{host}");
        }
        assert!(ServerUrl::parse("https://evil.com", true).expect("allowed").is_private());
    }

    #[test]
    fn what_programs_read_differently_is_refused_even_with_leave() {
        let texts = [
            "http://127.0.0.1@evil.com",
            "http://user:word@127.0.0.1",
            "http://127.0.0.1:80@evil.com/",
            "http://evil.com\\@127.0.0.1",
            "http://127.0.0.1\\.evil.com",
            "http://127.0.0.1#@evil.com",
            "http://127.0.0.1?@evil.com",
            "http://127.0.0.1:80/?x=1",
            "http://127.0.0.1:80/../x",
            "http://127.1",
            "http://2130706433",
            "http://0x7f.0.0.1",
            "http://0x7f000001",
            "http://0177.0.0.1",
            "http://127.0.0.1:",
            "http://127.0.0.1:0",
            "http://127.0.0.1:65536",
            "http://127.0.0.1:+80",
            "http://",
            "http:///x",
            "http://[::1",
            "http://[::1%25lo]",
            "http://[::1]x:80",
            "http:// 127.0.0.1",
            "http://127.0.0.1 .evil.com",
            "http://127.0.0.1\n",
            "http://127.0.0.1.",
            "http://localhost.",
            "http://ⓛocalhost",
            "HTTP://127.0.0.1",
            "ftp://127.0.0.1",
            "//127.0.0.1",
            "127.0.0.1:80",
            "",
            "file:///etc/passwd",
            "http://127.0.0.1/%2e%2e",
            "http://127.0.0.1:80\t",
        ];
        for text in texts {
            assert!(base(text, true).is_err(), "{text:?} became {:?}", base(text, true));
        }
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("sk-1".into())), "Secret");
    }

    proptest! {
        /// Whatever is accepted without leave leads the HTTP client to this machine too.
        #[test]
        fn what_is_accepted_is_read_alike(text in "https?://[a-z0-9.@:\\[\\]/\\\\#?%-]{0,24}") {
            if let Ok(url) = ServerUrl::parse(&text, false) {
                let uri: ureq::http::Uri = url.base().parse().expect("an address");
                let host = uri.host().expect("a host").trim_matches(['[', ']']).to_owned();
                let is_local = host == "localhost"
                    || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                prop_assert!(is_local, "{} leads to {}", text, host);
            }
        }
    }
}
