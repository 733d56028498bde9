//! What container storage costs: workloads, the tools that are timed with them, and the report.
//!
//! *Why*: "fast" means nothing without the tools that people use beside it, in the same run on the same files, and the floor below
//! which no tool can go. *Holds*: a workload is one file, listed once; whoever can do it does it, on one file system, with one image
//! from one registry; what comes of it is checked each time, outside of the time that is taken. *Never*: a tool's figure is taken
//! from anywhere but this run; a peer is a build dependency. *Proved by*: `benches/tests/tiny.rs`, which runs every workload with
//! everything that is here.
//!
//! Bias: the workloads were chosen and written by the authors of one of the tools. Where that may matter a workload's
//! `fairness` says so.

pub mod bed;
pub mod compare;
pub mod container;
pub mod counts;
pub mod floor;
pub mod image;
pub mod lower;
pub mod measure;
pub mod peers;
pub mod report;
pub mod results;
pub mod task;
pub mod workloads;
