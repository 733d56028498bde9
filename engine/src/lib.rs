//! A minimal but real container engine: the library behind the docker-compatible command `layerlab`.
//!
//! Modules have ranks and imports point downwards only: `world` < `sys`, `layer`, `image` < `dockerfile`, `driver`, `registry` <
//! `store` < `check`, `container` < `build` < `cli`.

/// Our version, with a mark by which it cannot be taken for Docker's.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+layerlab");

pub mod build;
pub mod check;
pub mod cli;
pub mod container;
pub mod dockerfile;
pub mod driver;
pub mod image;
pub mod layer;
pub mod registry;
pub mod store;
pub mod sys;
pub mod world;
