//! `docker login`: keeps the password for a registry that takes it.

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print, print_line};
use crate::cli::session::Session;
use crate::registry::{CredentialsFile, LoginError, PullError, login, server_key};
use crate::sys::terminal::RawMode;

pub static VERB: Verb = Verb {
    names: &["login"],
    synopsis: "[OPTIONS] [SERVER]",
    about: "Log in to a Docker registry",
    arguments: Count::AtMost(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const INSECURE: &str = "WARNING! Using --password via the CLI is insecure. Use --password-stdin.";
const ABOUT_HUB: &str = "Login with your Docker ID to push and pull images from Docker Hub. If you don't have a Docker ID, \
                         head over to https://hub.docker.com to create one.";

#[derive(Parser)]
struct Options {
    /// Password
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Take the password from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
    server: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let password = given_password(&options)?;
    let user = options.username.unwrap_or_default().trim().to_owned();
    let key = server_key(options.server.as_deref());
    let path = session.credentials.as_deref();
    let path =
        path.ok_or_else(|| Failure::new("neither HOME nor DOCKER_CONFIG is set: there is no place for config.json"))?;
    let mut file = CredentialsFile::open(path).map_err(unreadable)?;
    let settings = session.settings().registry;
    let known = file.get(&key).map_err(unreadable)?;
    if let (true, true, Some((user, password))) = (user.is_empty(), password.is_empty(), &known) {
        print_line("Authenticating with existing credentials...")?;
        match login(&key, user, password, &settings) {
            Ok(()) => return print_line("Login Succeeded").map(|()| SUCCESS),
            Err(error @ LoginError::Refused { .. }) => {
                eprintln!("Login did not succeed, error: Error response from daemon: {error}");
            }
            Err(error) => return Err(refused(&error)),
        }
    }
    let is_hub = key == server_key(None);
    let (user, password) = asked(user, password, known.map(|(user, _)| user), is_hub)?;
    login(&key, &user, &password, &settings).map_err(|error| refused(&error))?;
    file.set(&key, &user, &password).map_err(unreadable)?;
    eprintln!("{}", unencrypted(path));
    print_line("Login Succeeded")?;
    Ok(SUCCESS)
}

fn given_password(options: &Options) -> Result<String, Failure> {
    let flag = options.password.clone().unwrap_or_default();
    if !flag.is_empty() {
        eprintln!("{INSECURE}");
        if options.password_stdin {
            return Err(Failure::new("--password and --password-stdin are mutually exclusive"));
        }
    }
    if !options.password_stdin {
        return Ok(flag);
    }
    if options.username.as_deref().unwrap_or_default().is_empty() {
        return Err(Failure::new("Must provide --username with --password-stdin"));
    }
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("cannot read the password: {error}")))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Asks the terminal for what was not given.
fn asked(user: String, password: String, known: Option<String>, is_hub: bool) -> Result<(String, String), Failure> {
    if password.is_empty() && !io::stdin().is_terminal() {
        return Err(Failure::new("Error: Cannot perform an interactive login from a non TTY device"));
    }
    let user = match user.is_empty() {
        false => user,
        true => {
            if is_hub {
                print_line(ABOUT_HUB)?;
            }
            print(&known.as_ref().map_or("Username: ".to_owned(), |known| format!("Username ({known}): ")))?;
            Some(line()?.trim().to_owned()).filter(|typed| !typed.is_empty()).or(known).unwrap_or_default()
        }
    };
    if user.is_empty() {
        return Err(Failure::new("Error: Non-null Username Required"));
    }
    let password = match password.is_empty() {
        false => password,
        true => {
            print("Password: ")?;
            let hidden = RawMode::without_echo(io::stdin()).map_err(unreadable)?;
            let typed = line();
            drop(hidden);
            print("\n")?;
            typed?
        }
    };
    if password.is_empty() { Err(Failure::new("Error: Password Required")) } else { Ok((user, password)) }
}

fn line() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).map_err(unreadable)?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn unencrypted(path: &Path) -> String {
    format!(
        "WARNING! Your password will be stored unencrypted in {}.\nConfigure a credential helper to remove this warning. \
         See\nhttps://docs.docker.com/engine/reference/commandline/login/#credentials-store\n",
        path.display()
    )
}

fn refused(error: &LoginError) -> Failure {
    match error {
        LoginError::Registry(PullError::Credentials { .. }) => unreadable(error),
        _ => Failure::new(format!("Error response from daemon: {error}")),
    }
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("Error: {error}"))
}
