//! The modules of the engine import downwards only, and `unsafe` stays in `sys`.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules that it may name.
const RANKS: [(&str, &[&str]); 12] = [
    ("world", &[]),
    ("image", &[]),
    ("sys", &["world"]),
    ("dockerfile", &["image"]),
    ("layer", &["image", "sys"]),
    ("driver", &["image", "layer", "sys", "world"]),
    ("registry", &["image", "layer", "sys"]),
    ("store", &["image", "sys"]),
    ("check", &["driver", "image", "layer", "registry", "store", "sys", "world"]),
    ("container", &["dockerfile", "driver", "image", "layer", "registry", "store", "sys", "world"]),
    ("build", &["container", "dockerfile", "driver", "image", "layer", "registry", "store", "sys", "world"]),
    (
        "cli",
        &["build", "check", "container", "dockerfile", "driver", "image", "layer", "registry", "store", "sys", "world"],
    ),
];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(directories.iter().flat_map(|directory| sources(directory))).collect()
}

fn module_of(root: &Path, file: &Path) -> String {
    let below = file.strip_prefix(root).unwrap();
    below.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

#[test]
fn imports_point_downwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&root) {
        let module = module_of(&root, &file);
        let Some((_, allowed)) = RANKS.iter().find(|(name, _)| *name == module) else { continue };
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            for path in line.split("crate::").skip(1) {
                let named: String =
                    path.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
                if named != module && RANKS.iter().any(|(name, _)| *name == named) && !allowed.contains(&named.as_str())
                {
                    wrong.push(format!("{}:{}: {module} imports {named}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stays_in_sys() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&root).iter().filter(|file| module_of(&root, file) != "sys") {
        let text = fs::read_to_string(file).unwrap();
        assert!(!text.contains("unsafe {") && !text.contains("unsafe fn"), "{}", file.display());
    }
}

#[test]
fn every_module_has_a_rank() {
    let library = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for module in modules {
        assert!(RANKS.iter().any(|(name, _)| *name == module), "{module}");
    }
}

#[test]
fn every_file_says_in_its_first_line_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rooms = [
        "engine/src",
        "engine/tests",
        "scenarios/src",
        "scenarios/tests",
        "scenarios/guest/src",
        "xtask/src",
        "benches",
    ];
    for file in rooms.iter().flat_map(|room| sources(&root.join(room))) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} has no header", file.display());
    }
}

/// The paths of this repository that `text` names in backquotes.
fn paths_in(text: &str) -> impl Iterator<Item = &str> {
    let rooms = ["engine", "scenarios", "snapshots", "benches", "xtask", ".ci"];
    let named = text.split('`').skip(1).step_by(2).filter(|code| !code.contains(['<', ' ', '*', '\n']));
    named.filter(move |code| {
        rooms.iter().any(|room| code.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    })
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for path in paths_in(&text) {
            assert!(root.join(path).exists(), "{document} names {path}, which does not exist");
        }
    }
}

#[test]
fn every_path_that_a_header_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in sources(&root.join("engine/src")) {
        let text = fs::read_to_string(&file).unwrap();
        let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        for path in paths_in(&header.join("\n")) {
            assert!(root.join(path).exists(), "{} names {path}, which does not exist", file.display());
        }
    }
}
