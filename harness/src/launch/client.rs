//! HTTP as servers are asked: straight to the endpoint, by no proxy and to no other place.

use crate::framework::server::{Endpoint, Reply};
use crate::framework::server_url::Secret;
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Error};

/// What an answer may hold that is not a stream.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// Of each connection's two buffers, which are made and cleared within the time to a first token.
const BUFFER_BYTES: usize = 32 << 10;

/// Speaks to one server.
pub(super) struct Client {
    agent: Agent,
    base: String,
    api_key: Option<Secret>,
}

impl Client {
    pub(super) fn new(endpoint: &Endpoint) -> Client {
        let config = Agent::config_builder().proxy(None).max_redirects(0).http_status_as_error(false);
        let config = config.input_buffer_size(BUFFER_BYTES).output_buffer_size(BUFFER_BYTES);
        // A connection for each request: one that is kept may be closed by the server just as it is used again.
        let config = config.max_idle_connections(0).build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), OneServer::default());
        let api_key = match endpoint {
            Endpoint::Running { api_key, .. } => api_key.clone(),
            Endpoint::Child { .. } => None,
        };
        Client { agent, base: endpoint.base(), api_key }
    }

    pub(super) fn get(&self, path: &str, timeout: Duration) -> Result<Reply, Error> {
        let request = self.agent.get(self.url(path));
        let request = self.authorized(request).config().timeout_global(Some(timeout)).build();
        reply(request.call()?)
    }

    /// Whether the server has something at `path`.
    pub(super) fn has(&self, path: &str, timeout: Duration) -> Result<bool, Error> {
        let request = self.authorized(self.agent.head(self.url(path)));
        Ok(request.config().timeout_global(Some(timeout)).build().call()?.status() == 200)
    }

    /// JSON by POST; the answer's body is not read yet.
    pub(super) fn post(&self, path: &str, body: &str, timeout: Duration) -> Result<Response<Body>, Error> {
        let request = self.agent.post(self.url(path)).header("content-type", "application/json");
        self.authorized(request).config().timeout_global(Some(timeout)).build().send(body)
    }

    /// A file by POST.
    pub(super) fn upload(&self, path: &str, file: &Path, timeout: Duration) -> Result<Reply, Error> {
        let request = self.agent.post(self.url(path)).header("content-type", "application/octet-stream");
        let request = self.authorized(request).config().timeout_global(Some(timeout)).build();
        reply(request.send(File::open(file)?)?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.api_key {
            Some(key) => request.header("authorization", format!("Bearer {}", key.reveal())),
            None => request,
        }
    }
}

/// Looks up the address of one server once, so that no timed request waits for that (nor for the thread that is started for it).
#[derive(Debug, Default)]
struct OneServer {
    lookup: DefaultResolver,
    found: OnceLock<ResolvedSocketAddrs>,
}

impl Resolver for OneServer {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        if let Some(found) = self.found.get() {
            return Ok(found.clone());
        }
        let found = self.lookup.resolve(uri, config, timeout)?;
        Ok(self.found.get_or_init(|| found).clone())
    }
}

/// Reads the whole of an answer.
pub(super) fn reply(mut response: Response<Body>) -> Result<Reply, Error> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string()?;
    Ok(Reply { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_up_once() {
        let server = OneServer::default();
        let lookup = |uri| {
            let found = server.resolve(&Uri::from_static(uri), &Config::default(), NextTimeout::default());
            found.map(|found| found.to_vec())
        };
        assert!(lookup("/no-server").is_err());
        let found = lookup("http://127.0.0.1:4000/completion").expect("an address after a failure");
        assert_eq!(found, ["127.0.0.1:4000".parse().expect("an address")]);
        assert_eq!(lookup("/no-server").expect("known by now"), found);
    }
}
