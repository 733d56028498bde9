//! The lab and our engine, built as the test was, to replay pages in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The exit status that means "this host cannot".
pub const SKIPPED: i32 = 77;

/// Replays pages on our engine, built as this test was.
pub fn replay(pages: &[PathBuf]) -> Output {
    let laws = Path::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    // Whoever built all programs does not want them replaced while others use them.
    if std::env::var_os("LAYERLAB_BUILT").is_none() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "layerlab-engine", "--package", "layerlab-scenarios", "--bins"])
            .arg("--target-dir")
            .arg(laws.ancestors().nth(2).unwrap())
            .current_dir(root)
            .status();
        assert!(built.unwrap().success(), "the lab does not build");
    }
    let mut lab = Command::new(laws.with_file_name("layerlab-lab"));
    lab.env("LAYERLAB_ENGINE", laws.with_file_name("layerlab")).current_dir(root);
    lab.args(["replay", "--quiet"]).args(pages).output().unwrap()
}

/// All that it said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
