//! Workloads that time the engine.
