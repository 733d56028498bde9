//! Laws of layered file systems, held against anything that stacks layers, on a real kernel.

pub mod again;
pub mod backing;
pub mod campaign;
pub mod case;
pub mod console;
pub mod counterexample;
pub mod enter;
pub mod generate;
pub mod known;
pub mod laws;
pub mod listing;
pub mod machine;
mod mapping;
mod mount_line;
pub mod page;
pub mod perform;
pub mod requirement;
pub mod scene;
pub mod shard;
pub mod shrink;
pub mod sim;
pub mod simplify;
pub mod stores;
pub mod subjects;
pub mod tar;
pub mod tree;
pub mod verdict;
