//! `cargo xtask replay`: replays pages in a lab, or what of them the model can do alone (`--on sim`).

use std::process::Command;

use anyhow::bail;

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "replay",
    summary: "replay the walkthroughs, or what is named, in a lab: [PAGE|FOLDER…] [--on TARGET…|sim] [--driver NAME] [--step] [--keep] [--only STEP] [--rootless] [--require TARGET] [--html[=DIR]]",
    run,
};

/// The target that is no engine: the model.
const SIM: &str = "sim";
/// As automake and others have it: not run, because this host cannot.
const SKIPPED: u8 = 77;
/// Options of a replay in a lab that are followed by a value.
const WITH_VALUE: [&str; 5] = ["--on", "--driver", "--only", "--record", "--require"];

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let Asked { in_lab, names, on_sim, on_others } = asked(arguments);
    let mut statuses = Vec::new();
    if on_others {
        call::build()?;
        statuses.push(call::status(call::lab()?.arg("replay").args(in_lab))?);
    } else if in_lab.len() > names.len() {
        bail!("--on sim takes the names of pages and folders only");
    }
    if on_sim {
        call::succeed(&mut call::cargo(&["build", "--package", "layerlab-properties", "--bin", "layerlab-sim"]))?;
        let names = if names.is_empty() { vec!["walkthroughs".to_owned()] } else { names };
        statuses.push(call::status(Command::new(call::built("layerlab-sim")?).arg("--replay").args(names))?);
    }
    let ran = statuses.into_iter().filter(|status| *status != SKIPPED);
    Ok(ran.max().unwrap_or(SKIPPED))
}

/// What is asked for, apart.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// The arguments without the target `sim`.
    in_lab: Vec<String>,
    /// The pages and folders among them.
    names: Vec<String>,
    on_sim: bool,
    /// Whether a target that is an engine is asked for, as it is when none is named.
    on_others: bool,
}

fn asked(arguments: &[String]) -> Asked {
    let mut asked = Asked { in_lab: Vec::new(), names: Vec::new(), on_sim: false, on_others: false };
    let mut has_on = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
            _ if WITH_VALUE.contains(&argument.as_str()) => (argument.as_str(), rest.next().cloned()),
            _ => (argument.as_str(), None),
        };
        let Some(value) = value else {
            asked.in_lab.push(argument.clone());
            if !argument.starts_with('-') {
                asked.names.push(argument.clone());
            }
            continue;
        };
        let mut kept = value.clone();
        if option == "--on" {
            has_on = true;
            let others: Vec<&str> = value.split(',').filter(|target| *target != SIM).collect();
            asked.on_sim |= others.len() < value.split(',').count();
            asked.on_others |= !others.is_empty();
            kept = others.join(",");
        }
        if option != "--on" || !kept.is_empty() {
            asked.in_lab.push(format!("{option}={kept}"));
        }
    }
    asked.on_others |= !has_on;
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Asked {
        asked(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_model_is_asked_apart_from_engines() {
        let both = of(&["cases", "--on", "engine,sim", "--driver", "vfs", "-q"]);
        assert_eq!(both.in_lab, words(&["cases", "--on=engine", "--driver=vfs", "-q"]));
        assert_eq!((both.names, both.on_sim, both.on_others), (words(&["cases"]), true, true));
        let sim = of(&["cases/regressions", "--on=sim"]);
        assert_eq!((sim.in_lab, sim.on_sim, sim.on_others), (words(&["cases/regressions"]), true, false));
        let html = of(&["--html", "httpd"]);
        assert_eq!((html.in_lab, html.on_sim, html.on_others), (words(&["--html", "httpd"]), false, true));
    }
}
