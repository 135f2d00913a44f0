//! `harness runner engine`: the engine of this repository behind [`Backend`].
