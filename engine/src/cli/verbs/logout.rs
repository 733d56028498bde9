//! `docker logout`: forgets the password for a registry.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print_line};
use crate::cli::session::Session;
use crate::registry::{CredentialsFile, server_key};

pub static VERB: Verb = Verb {
    names: &["logout"],
    synopsis: "[SERVER]",
    about: "Log out from a Docker registry",
    arguments: Count::AtMost(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    server: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let key = server_key(options.server.as_deref());
    print_line(format_args!("Removing login credentials for {key}"))?;
    if let Some(path) = &session.credentials {
        let failed =
            |error: crate::registry::PullError| Failure::new(format!("WARNING: could not erase credentials:\n{error}"));
        let (http, https) = (format!("http://{key}"), format!("https://{key}"));
        let given = options.server.unwrap_or_default();
        CredentialsFile::open(path).map_err(failed)?.remove(&[&given, &key, &http, &https]).map_err(failed)?;
    }
    Ok(SUCCESS)
}
