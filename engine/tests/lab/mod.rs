//! The lab's program, for tests that send it commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The exit status that means "this host cannot".
pub const SKIPPED: i32 = 77;

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The lab's program, built as this test was.
pub fn lab() -> Command {
    let engine = Path::new(env!("CARGO_BIN_EXE_layerlab"));
    let target = engine.ancestors().nth(2).unwrap();
    // Whoever built all programs does not want them replaced while others use them.
    if std::env::var_os("LAYERLAB_BUILT").is_none() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "layerlab-scenarios", "--bin", "layerlab-lab", "--target-dir"])
            .arg(target)
            .current_dir(workspace())
            .status();
        assert!(built.unwrap().success(), "the lab does not build");
    }
    let mut lab = Command::new(engine.with_file_name("layerlab-lab"));
    lab.env("LAYERLAB_ENGINE", engine).env_remove("DOCKER_HOST").current_dir(workspace());
    lab
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
