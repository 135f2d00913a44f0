//! A server's port: free when the server starts, and another one where it was taken in between.

use crate::framework::server::Endpoint;
use crate::framework::{Conversation, Failure, LaunchSpec, ServerTalk};
use crate::sample::FailureKind;
use std::net::{Ipv4Addr, TcpListener};

/// Ports that are tried before a launch is given up.
pub(super) const PORTS_MAX: u32 = 4;

/// A loopback port that was free a moment ago. The system hands them out in turn, so that a race is unlikely.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Gives a server of ours another port where its own is taken.
pub(super) fn ensure_free(spec: &mut LaunchSpec) -> Result<(), Failure> {
    let Conversation::Server(talk) = &mut spec.conversation else { return Ok(()) };
    let Endpoint::Child { port } = &mut talk.endpoint else { return Ok(()) };
    for _ in 0..PORTS_MAX {
        if is_free(*port) {
            return Ok(());
        }
        let new = free_port().map_err(|e| Failure::new(FailureKind::Spawn, format!("no free port: {e}")))?;
        replace_port(&mut spec.argv, *port, new);
        spec.env.values_mut().for_each(|value| replace_port(std::slice::from_mut(value), *port, new));
        *port = new;
    }
    Err(Failure::new(FailureKind::Spawn, format!("port {port} and those before it are taken")))
}

/// Whether a server that crashed and is gone had its port taken by another program.
pub(super) fn was_lost(spec: &LaunchSpec, failure: &Failure) -> bool {
    match &spec.conversation {
        Conversation::Server(ServerTalk { endpoint: Endpoint::Child { port }, .. }) => {
            failure.kind == FailureKind::Crashed && !is_free(*port)
        }
        _ => false,
    }
}

/// Replaces the port where it is named as one: after `--port`, or at the end of an address.
fn replace_port(argv: &mut [String], old: u16, new: u16) {
    let (old, new) = (old.to_string(), new.to_string());
    let mut follows_flag = false;
    for arg in argv {
        let is_address = arg.strip_suffix(&old).is_some_and(|rest| rest.ends_with([':', '=']));
        if (follows_flag && *arg == old) || is_address {
            arg.truncate(arg.len() - old.len());
            arg.push_str(&new);
        }
        follows_flag = arg == "--port";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_replaced_where_it_is_one() {
        let mut argv =
            ["-c", "40000", "--port", "40000", "127.0.0.1:40000", "--port=40000", "x40000"].map(String::from);
        replace_port(&mut argv, 40000, 5);
        assert_eq!(argv, ["-c", "40000", "--port", "5", "127.0.0.1:5", "--port=5", "x40000"]);
    }
}
