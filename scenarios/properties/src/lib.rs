//! Laws of layered file systems, held against anything that stacks layers, on a real kernel.

pub mod backing;
pub mod campaign;
pub mod case;
pub mod counterexample;
pub mod enter;
pub mod generate;
pub mod laws;
pub mod listing;
pub mod machine;
mod mapping;
pub mod perform;
pub mod race;
pub mod shrink;
pub mod sim;
pub mod simplify;
pub mod stores;
pub mod subjects;
pub mod tar;
pub mod tree;
