//! The engine as people meet it, in a lab: the pages, commands that are killed half-way, and several at once.
//!
//! `LAYERLAB_REQUIRE=docker,root,user` makes a skip for want of one of these a failure.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod at_once;
mod checked;
mod dockerds;
mod interop;
mod killed;
#[path = "../lab/mod.rs"]
mod lab;
mod pages;

use lab::{SKIPPED, lab, text, workspace};
