//! HTTP as servers are asked: straight to the endpoint, by no proxy and to no other place.

use crate::framework::server::{Endpoint, Reply};
use crate::framework::server_url::Secret;
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body, Error};

/// What an answer may hold that is not a stream.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Speaks to one server.
pub(super) struct Client {
    agent: Agent,
    base: String,
    api_key: Option<Secret>,
}

impl Client {
    pub(super) fn new(endpoint: &Endpoint) -> Client {
        let config = Agent::config_builder().proxy(None).max_redirects(0).http_status_as_error(false);
        // A connection for each request: one that is kept may be closed by the server just as it is used again.
        let agent = config.max_idle_connections(0).build().new_agent();
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

/// Reads the whole of an answer.
pub(super) fn reply(mut response: Response<Body>) -> Result<Reply, Error> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string()?;
    Ok(Reply { status, body })
}
