//! Workloads that time the engine, in `benches`: each asks one question and checks what it made.
//!
//! `cargo bench -p layerlab-benches` runs them all; the report lies below the target directory in `criterion`.
