//! `cargo xtask bench`: what container storage costs with our engine, with what people use today, and at least.

use std::process::Command;

use anyhow::{Context, bail};

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "bench",
    summary: "time workloads with our engine, docker, podman, containerd, skopeo with umoci, crun and runc side by side, the floor beside them: [WORKLOAD…] [--peer P,…] [--tiny] \
              [--baseline NAME [--gate]] [--json FILE] [--markdown FILE] [--html FILE] | --write | --list",
    run,
};

/// What `--write` makes, below the root of the workspace.
const TABLES: [(&str, &str); 4] = [
    ("--json", "snapshots/bench.json"),
    ("--markdown", "snapshots/bench.md"),
    ("--html", "snapshots/bench.html"),
    ("--readme", "README.md"),
];

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::succeed(&mut call::cargo(&[
        "build",
        "--release",
        "--package",
        "layerlab-engine",
        "--package",
        "layerlab-benches",
        "--bins",
    ]))?;
    // This program lies in the directory of another profile.
    let debug = call::built("layerlab-bench")?;
    let release = debug.ancestors().nth(2).context("no directory of programs")?.join("release/layerlab-bench");
    let mut bench = Command::new(release);
    if arguments.iter().any(|argument| argument == "--write") && arguments.len() > 1 {
        bail!("--write is for a whole run: it goes with nothing else");
    }
    for argument in arguments {
        match argument.as_str() {
            "--write" => TABLES.iter().for_each(|(flag, path)| {
                bench.arg(flag).arg(call::root().join(path));
            }),
            other => {
                bench.arg(other);
            }
        }
    }
    call::status(&mut bench)
}
