//! `cargo xtask`: the front door; each verb is one file that builds what is needed and calls it.

mod at_once;
mod bench;
mod bugs;
mod call;
mod checklist;
mod ci;
mod contract;
mod doctor;
mod findings;
mod fmt;
mod interop;
mod kernels;
mod laws;
mod lint;
mod mutants;
mod replay;
mod report;
mod shell;
mod sim;
mod test;

use std::process::ExitCode;

/// What can be asked for.
struct Verb {
    name: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> anyhow::Result<u8>,
}

const VERBS: [&Verb; 18] = [
    &replay::VERB,
    &shell::VERB,
    &laws::VERB,
    &kernels::VERB,
    &report::VERB,
    &bugs::VERB,
    &mutants::VERB,
    &sim::VERB,
    &contract::VERB,
    &interop::VERB,
    &findings::VERB,
    &bench::VERB,
    &checklist::VERB,
    &doctor::VERB,
    &test::VERB,
    &fmt::VERB,
    &lint::VERB,
    &ci::VERB,
];

const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        list();
        return ExitCode::SUCCESS;
    };
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        if !["help", "-h", "--help"].contains(&name.as_str()) {
            eprintln!("there is no verb {name}\n");
            list();
            return ExitCode::from(USAGE);
        }
        list();
        return ExitCode::SUCCESS;
    };
    match (verb.run)(rest) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("cargo xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    println!("cargo xtask VERB [ARGUMENT…]");
    for verb in VERBS {
        println!("  {:<9} {}", verb.name, verb.summary);
    }
}
