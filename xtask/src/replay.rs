//! `cargo xtask replay`: replays pages in a lab.

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "replay",
    summary: "replay the walkthroughs, or what is named, in a lab: [PAGE|FOLDER…] [--on TARGET…] [--driver NAME] [--step] [--keep] [--only STEP] [--rootless] [--require TARGET] [--html[=DIR]]",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::build()?;
    call::status(call::lab()?.arg("replay").args(arguments))
}
