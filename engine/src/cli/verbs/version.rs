//! `docker version`: which program this is. What Docker says of parts we do not have is left out.

use std::env::consts;

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use super::Verb;
use crate::VERSION;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{BAD_TEMPLATE, Failure, SUCCESS, print, print_line};
use crate::cli::template::{Subject, Template};

pub static VERB: Verb = Verb {
    names: &["version"],
    synopsis: "[OPTIONS]",
    about: "Show the Docker version information",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |_, matches| run(options(matches)?),
};

/// The version of Docker's API that has this command line's words.
const API: &str = "1.41";

#[derive(Parser)]
struct Options {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

fn run(options: Options) -> Result<u8, Failure> {
    if let Some(format) = options.format.filter(|format| !format.is_empty()) {
        let template = Template::parse(&format)
            .map_err(|error| Failure::with_code(in_template_of_version(&error.to_string()), BAD_TEMPLATE))?;
        let text = template.render(&document(), Subject::Struct("system.versionInfo"));
        // Docker has begun its line by then.
        print_line(text.as_deref().unwrap_or_default())?;
        text.map_err(|error| Failure::new(in_template_of_version(error.reason())))?;
        return Ok(SUCCESS);
    }
    let platform = format!("{}/{}", consts::OS, architecture());
    print(&format!("Client:\n Version:           {VERSION}\n OS/Arch:           {platform}\n"))?;
    print(&format!("\nServer:\n Engine:\n  Version:          {VERSION}\n  OS/Arch:          {platform}\n"))?;
    Ok(SUCCESS)
}

/// This verb's template has a name.
fn in_template_of_version(text: &str) -> String {
    text.replacen("template: :", "template: version:", 1).replacen("executing \"\"", "executing \"version\"", 1)
}

/// Docker's fields. There is no API between client and server here, but the words are those of [`API`]; what there is not, such
/// as a version of Go, is empty.
fn document() -> Value {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let engine = json!({"Name": "Engine", "Version": VERSION, "Details": {}});
    json!({
        "Client": {
            "Platform": {"Name": ""}, "Version": VERSION, "APIVersion": API, "DefaultAPIVersion": API, "GitCommit": "",
            "GoVersion": "", "Os": consts::OS, "Arch": architecture(), "BuildTime": "", "Context": "default",
            "Experimental": false,
        },
        "Server": {
            "Platform": {"Name": ""}, "Components": [engine], "Version": VERSION, "APIVersion": API, "MinAPIVersion": API,
            "GitCommit": "", "GoVersion": "", "Os": consts::OS, "Arch": architecture(), "KernelVersion": kernel,
            "Experimental": false, "BuildTime": "",
        },
    })
}

/// The architecture in Go's words.
fn architecture() -> &'static str {
    match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
