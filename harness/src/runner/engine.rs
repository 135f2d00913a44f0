//! `harness runner engine`: the engine of this repository behind [`Backend`].

use super::serve::{Backend, JOB, Loaded, RunnerError};
use crate::protocol::{Event, Job, Settings, WeightsClass};
use engine::session::DEFAULT_BATCH;
use engine::simd::Level;
use engine::{ErrorKind, KvType, Model, ModelOptions, Session, SessionOptions};

/// The KV cache element types that the engine has.
const KV_TYPES: [KvType; 2] = [KvType::F16, KvType::F32];

/// The engine with one session.
#[derive(Default)]
pub struct EngineBackend {
    session: Option<Session>,
    /// After the last step.
    logits: Vec<f32>,
}

impl EngineBackend {
    /// Nothing loaded yet.
    pub fn new() -> EngineBackend {
        EngineBackend::default()
    }

    fn step(
        &mut self,
        step: impl FnOnce(&mut Session) -> engine::Result<&[f32]>,
    ) -> Result<u32, RunnerError> {
        let session = self.session.as_mut().ok_or_else(|| RunnerError::new("internal", "not loaded"))?;
        let logits = step(session).map_err(refused)?;
        let token = engine::sample::argmax(logits);
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        Ok(token)
    }
}

impl Backend for EngineBackend {
    fn hello(&self) -> Event {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        Event::Hello {
            framework: "engine".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            build: format!("{profile}, {}", std::env::consts::ARCH),
            weights_class: WeightsClass::A,
            features: Level::detect().map(|level| level.name().to_owned()).into_iter().collect(),
        }
    }

    fn load(&mut self, job: &Job) -> Result<Loaded, RunnerError> {
        let kv_type = KV_TYPES.into_iter().find(|kind| kind.name() == job.kv_type).ok_or_else(|| {
            let [half, full] = KV_TYPES.map(KvType::name);
            let message =
                format!("kv_type {} is not supported; the engine has {half} and {full}", job.kv_type);
            RunnerError::new("unsupported", message)
        })?;
        let threads = job.threads as usize;
        let options = ModelOptions { threads: Some(threads), ..ModelOptions::default() };
        let model = Model::open_with(&job.model.path, options).map_err(refused)?;
        // As llama.cpp's micro-batch: what is computed at once, at most the batch.
        let batch = DEFAULT_BATCH.min(job.batch as usize);
        let context = job.context as usize;
        let options =
            SessionOptions { context: Some(context), threads: Some(threads), batch: Some(batch), kv_type };
        let session = model.session(options).map_err(refused)?;
        let settings = Settings {
            context: u32::try_from(session.context()).ok(),
            batch: u32::try_from(session.batch()).ok(),
            kv_type: Some(session.kv_type().name().into()),
            model_bytes: std::fs::metadata(&job.model.path).ok().map(|meta| meta.len()),
            model_sha256: None,
            options: [
                ("simd".to_owned(), model.level().name().to_owned()),
                ("without".to_owned(), model.without().to_string()),
            ]
            .into(),
        };
        self.session = Some(session);
        self.logits.reserve_exact(model.config().n_vocab);
        Ok(Loaded { threads_used: u32::try_from(model.threads()).unwrap_or(u32::MAX), settings })
    }

    fn clear(&mut self) {
        if let Some(session) = &mut self.session {
            session.clear();
        }
    }

    fn prefill(&mut self, prompt_ids: &[u32]) -> Result<u32, RunnerError> {
        self.step(|session| session.prefill(prompt_ids))
    }

    fn decode(&mut self, token_id: u32) -> Result<u32, RunnerError> {
        self.step(|session| session.decode(token_id))
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }
}

fn refused(error: engine::Error) -> RunnerError {
    let kind = if error.kind() == ErrorKind::Request { JOB } else { "model" };
    RunnerError::new(kind, error)
}
