//! `cargo xtask report`: puts together what the laws found on many machines.

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "report",
    summary: "put together what `cargo xtask laws --results FILE` wrote, here or on other machines, and findings: FILE… [--markdown FILE] [--html FILE] [--json FILE] [--junit FILE]",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::status(call::of_properties("layerlab-report")?.args(arguments))
}
