//! The lab: a sandbox of its own in which a page is replayed and which leaves nothing behind.
//!
//! *Why*: a walkthrough writes /var/lib/docker, mounts, and listens on port 8080; a replay must do the same to the
//! letter without touching the host. *Holds*: `sandbox` gives namespaces that end with the process that made them,
//! `root` a root file system on a tmpfs, `furnish` the little machine in it, `machine` what a page does with that.
//! *Never*: a file, mount, process or control group of a lab outlives it; nothing of the host's root is visible but what
//! a target asks for. *Proved by* `scenarios/tests/lab.rs`.

pub mod cable;
pub mod cgroup;
pub mod enter;
pub mod forbidden;
pub mod furnish;
pub mod index;
pub mod join;
pub mod libraries;
pub mod loop_device;
pub mod loopback;
pub mod machine;
pub mod prepare;
pub mod repository;
pub mod root;
pub mod sandbox;
pub mod second;
pub mod serve;
pub mod user_map;
