//! `docker build`: builds an image from a Dockerfile, as the classic builder does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::build::{self, BuildError, BuildSpec, Context, Watcher, read_file};
use crate::cli::arguments::{Count, label, options, truth, variable};
use crate::cli::messages::{Failure, REFUSED, SUCCESS, print_line, system_reason};
use crate::cli::progress::Silent;
use crate::cli::session::Session;
use crate::cli::trust::Trust;
use crate::cli::{pulling, units};
use crate::container::{Engine, EngineError, Staging};
use crate::image::Reference;
use crate::image::manifest::Platform;
use crate::layer::archive::is_header;
use crate::layer::compression::is_compressed;

pub static VERB: Verb = Verb {
    names: &["build", "image build"],
    synopsis: "[OPTIONS] PATH | URL | -",
    about: "Build an image from a Dockerfile",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const DOCKERFILE: &str = "Dockerfile";
const STDIN: &str = "-";
const TAR_HEADER_BYTES: u64 = 512;

#[derive(Parser)]
struct Options {
    /// Set build-time variables
    #[arg(long, value_name = "list", value_parser = variable)]
    build_arg: Vec<String>,
    /// Name of the Dockerfile (Default is 'PATH/Dockerfile')
    #[arg(short, long, value_name = "string")]
    file: Option<String>,
    /// Always remove intermediate containers
    #[arg(long)]
    force_rm: bool,
    /// Write the image ID to the file
    #[arg(long, value_name = "string")]
    iidfile: Option<PathBuf>,
    /// Set metadata for an image
    #[arg(long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    /// Set the networking mode for the RUN instructions during build
    #[arg(long, value_name = "string", default_value = "default")]
    network: String,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Always attempt to pull a newer version of the image
    #[arg(long)]
    pull: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Remove intermediate containers after a successful build
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_parser = truth, action = clap::ArgAction::Set, value_name = "bool")]
    rm: bool,
    /// Name and optionally a tag in the 'name:tag' format
    #[arg(short, long, value_name = "list", value_parser = tag)]
    tag: Vec<Reference>,
    /// Set the target build stage to build.
    #[arg(long, value_name = "string")]
    target: Option<String>,
    #[command(flatten)]
    trust: Trust,
    path: Option<String>,
}

fn tag(text: &str) -> Result<Reference, String> {
    Reference::parse(text).map_err(|error| error.to_string())
}

/// What was sent, and the Dockerfile in it.
struct Prepared {
    context: Context,
    /// Its text, or why it cannot be had, which Docker finds out only after the context is sent.
    dockerfile: Result<String, String>,
    name: String,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let path = options.path.clone().unwrap_or_default();
    let file = options.file.as_deref();
    if path == STDIN && file == Some(STDIN) {
        return Err(Failure::new("invalid argument: can't use stdin for both build context and dockerfile"));
    }
    refuse_remote(&path)?;
    options.trust.refuse().map_err(|reason| Failure::new(format!("Error: {reason}")))?;
    let engine = session.engine_to_start()?;
    let prepared = if path == STDIN { from_stdin(file, &engine) } else { from_directory(&path, file) };
    let Prepared { context, dockerfile, name } = prepared?;
    let mut watcher = Shown { is_quiet: options.quiet, kept: Vec::new() };
    watcher.show(
        format!("Sending build context to Docker daemon {:>8}\r\r\n", units::precise_size(context.sent_bytes()))
            .as_bytes(),
    );
    let dockerfile = dockerfile.map_err(|reason| {
        watcher.show_kept();
        Failure::new(format!("Error response from daemon: {reason}"))
    })?;
    let platform = options.platform.filter(|text| !text.is_empty());
    let platform = platform.map(|text| Platform::parse(&text)).transpose();
    let platform = platform.map_err(|error| Failure::new(format!("Error response from daemon: {error}")))?;
    let labels = options.label.iter().map(|label| label.split_once('=').unwrap_or((label, "")));
    let spec = BuildSpec {
        dockerfile,
        dockerfile_name: name,
        arguments: arguments(&options.build_arg),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        target: options.target.filter(|target| !target.is_empty()),
        names: options.tag,
        no_cache: options.no_cache,
        remove: options.rm,
        force_remove: options.force_rm,
        pull: options.pull,
        network: options.network,
        platform,
    };
    let id = build::build(&engine, &spec, &context, &mut watcher).map_err(|error| {
        watcher.show_kept();
        match error {
            BuildError::Refused(reason) => Failure::new(format!("Error response from daemon: {reason}")),
            BuildError::Step { text, exit_code } => {
                Failure::with_code(text, u8::try_from(exit_code).unwrap_or(REFUSED))
            }
        }
    })?;
    if let Some(path) = &options.iidfile {
        // With --quiet, Docker's client writes the line that it prints.
        let end = if options.quiet { "\n" } else { "" };
        fs::write(path, format!("{id}{end}"))
            .map_err(|error| Failure::new(format!("open {}: {}", path.display(), system_reason(&error))))?;
    }
    if options.quiet {
        print_line(&id)?;
    }
    Ok(SUCCESS)
}

/// `NAME=value` as given, `NAME` with the caller's value, which may be none.
fn arguments(given: &[String]) -> BTreeMap<String, Option<String>> {
    let pair = |entry: &String| match entry.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (entry.clone(), std::env::var(entry).ok()),
    };
    given.iter().map(pair).collect()
}

fn unprepared(reason: impl std::fmt::Display) -> Failure {
    Failure::new(format!("unable to prepare context: {reason}"))
}

/// Contexts that somebody would have to fetch first.
fn refuse_remote(path: &str) -> Result<(), Failure> {
    let is_remote =
        ["http://", "https://", "git://", "git@", "github.com/"].iter().any(|start| path.starts_with(start));
    if is_remote {
        return Err(unprepared(format!(
            "{path} is remote, and this builder fetches nothing: clone or download it, and name the directory"
        )));
    }
    Ok(())
}

/// A directory, with a Dockerfile inside, elsewhere, or from the standard input.
fn from_directory(path: &str, file: Option<&str>) -> Result<Prepared, Failure> {
    let directory = fs::canonicalize(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unprepared(format!("path {path:?} not found")),
        _ => unprepared(format!("lstat {path}: {}", system_reason(&error))),
    })?;
    if !directory.is_dir() {
        return Err(unprepared(format!("context must be a directory: {}", directory.display())));
    }
    if directory == Path::new("/") {
        // Docker says this in its manual only.
        eprintln!(
            "WARNING: the build context is the root directory, /: the build reads the entire contents of your hard drive; \
             name a directory that holds only what is needed"
        );
    }
    if file == Some(STDIN) {
        let mut dockerfile = String::new();
        io::stdin()
            .read_to_string(&mut dockerfile)
            .map_err(|error| unprepared(format!("read /dev/stdin: {}", system_reason(&error))))?;
        let context = Context::directory(&directory, None).map_err(|error| Failure::new(error.to_string()))?;
        let context = context.with_dockerfile_beside(dockerfile.len());
        return Ok(Prepared { context, dockerfile: Ok(dockerfile), name: DOCKERFILE.to_owned() });
    }
    let wanted = file.map_or_else(|| directory.join(DOCKERFILE), |file| absolute(&directory, file));
    let found = fs::canonicalize(&wanted).map_err(|_| {
        unprepared(format!(
            "unable to evaluate symlinks in Dockerfile path: lstat {}: no such file or directory",
            wanted.display()
        ))
    })?;
    let dockerfile = match read_file(&found) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            Err(format!("unexpected error reading Dockerfile: read {}: is a directory", found.display()))
        }
        Err(error) => return Err(unprepared(format!("open {}: {}", found.display(), system_reason(&error)))),
    };
    let inside = found.strip_prefix(&directory).ok();
    let context = Context::directory(&directory, inside).map_err(|error| Failure::new(error.to_string()))?;
    let context = match (&dockerfile, inside) {
        (Ok(text), None) => context.with_dockerfile_beside(text.len()),
        _ => context,
    };
    let name = inside.unwrap_or(&found).display().to_string();
    Ok(Prepared { context, dockerfile, name })
}

/// A Dockerfile is looked for from where the command stands, not from the context.
fn absolute(directory: &Path, file: &str) -> PathBuf {
    let path = std::path::absolute(file).unwrap_or_else(|_| directory.join(file));
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

/// A tar, or a Dockerfile without any files.
fn from_stdin(file: Option<&str>, engine: &Engine) -> Result<Prepared, Failure> {
    let unread = |error: io::Error| unprepared(format!("failed to read context from STDIN: {}", system_reason(&error)));
    let mut head = Vec::new();
    io::stdin().lock().take(TAR_HEADER_BYTES).read_to_end(&mut head).map_err(unread)?;
    let name = file.unwrap_or(DOCKERFILE).to_owned();
    let place = Staging::for_build(&engine.settings().data_root).map_err(EngineError::from)?;
    let whole = head.as_slice().chain(io::stdin().lock());
    let context = match head.as_slice() {
        head if is_header(head) || is_compressed(head) => Context::archive(whole, place),
        _ => {
            let mut text = Vec::new();
            { whole }.read_to_end(&mut text).map_err(unread)?;
            let context = Context::nothing(text.len() as u64, place).map_err(unprepared)?;
            let dockerfile = String::from_utf8_lossy(&text).into_owned();
            return Ok(Prepared { context, dockerfile: Ok(dockerfile), name: DOCKERFILE.to_owned() });
        }
    };
    let context = context.map_err(unprepared)?;
    let dockerfile = context.read(Path::new(&name)).map_err(unprepared)?;
    let dockerfile = dockerfile.ok_or_else(|| format!("Cannot locate specified Dockerfile: {name}"));
    Ok(Prepared { context, dockerfile, name })
}

/// The caller's screen, or what is kept back in case something goes wrong.
struct Shown {
    is_quiet: bool,
    kept: Vec<u8>,
}

impl Shown {
    /// Something went wrong, and what was kept back tells how.
    fn show_kept(&self) {
        // Nobody can be told that this fails.
        let _ = io::stderr().write_all(&self.kept);
    }
}

impl Watcher for Shown {
    fn show(&mut self, bytes: &[u8]) {
        if self.is_quiet {
            self.kept.extend_from_slice(bytes);
            return;
        }
        let mut output = io::stdout();
        // Somebody who closed the other end is told no more; the build goes on, as at Docker's daemon.
        let _ = output.write_all(bytes).and_then(|()| output.flush());
    }

    fn pull(&mut self, engine: &Engine, reference: &Reference, platform: Option<&Platform>) -> Result<(), String> {
        if self.is_quiet {
            return engine.pull_for(reference, platform, &Silent).map(drop).map_err(|error| error.to_string());
        }
        pulling::pull_for_build(engine, reference, platform).map_err(|failure| failure.text)
    }
}
