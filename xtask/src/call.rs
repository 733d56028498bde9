//! Calls cargo and the programs it built.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};

/// The root of the workspace.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Where cargo puts programs: beside this one.
pub fn built(program: &str) -> anyhow::Result<PathBuf> {
    let ourselves = std::env::current_exe().context("cannot tell where cargo puts programs")?;
    Ok(ourselves.with_file_name(program))
}

/// The cargo that called us, in the workspace's root.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(root());
    cargo
}

/// Runs to the end, with our terminal; the exit status, 128 and the signal's number if one ended it.
pub fn status(command: &mut Command) -> anyhow::Result<u8> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    Ok(code(status))
}

/// Becomes the program: whoever ends us (Ctrl-C) asks it, and we do not end before it.
pub fn become_it(command: &mut Command) -> anyhow::Result<u8> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {}", command.get_program().display()))
}

/// Runs to the end; anything but success is an error.
pub fn succeed(command: &mut Command) -> anyhow::Result<()> {
    match status(command)? {
        0 => Ok(()),
        code => bail!("{command:?} ended with status {code}"),
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    code as u8
}

/// Builds the engine and the lab, with cargo's own progress.
pub fn build() -> anyhow::Result<()> {
    succeed(&mut cargo(&["build", "--package", "layerlab-engine", "--package", "layerlab-scenarios", "--bins"]))
}

/// A command of `scenarios/properties`, built before.
pub fn of_properties(program: &str) -> anyhow::Result<Command> {
    succeed(&mut cargo(&["build", "--package", "layerlab-properties", "--bins"]))?;
    Ok(Command::new(built(program)?))
}

/// The command `layerlab-lab`, told where our engine is.
pub fn lab() -> anyhow::Result<Command> {
    let mut lab = Command::new(built("layerlab-lab")?);
    lab.env("LAYERLAB_ENGINE", built("layerlab")?);
    Ok(lab)
}
