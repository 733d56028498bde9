//! `cargo xtask findings`: what released tools get wrong, each shown by a script of its own.

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "findings",
    summary: "run the scripts of scenarios/cases/findings (NAME…), and tell which tools do still what their pages tell: [--results FILE] | --list",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::status(call::of_properties("layerlab-findings")?.args(arguments))
}
