//! Our own engine as a page's `docker`: the command `layerlab`, shown in the lab and initialised there.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{FindError, Installation, Target, TargetError, Unavailable, Wanted, install_as, install_as_docker};
use crate::lab::furnish::{Program, data_root_on};
use crate::lab::machine::{ENGINE_LOG, command};
use crate::lab::sandbox::Inside;
use crate::page::DRIVERS;

/// Names the engine to use; without it, `layerlab` beside the running program is taken.
pub const ENGINE_VARIABLE: &str = "LAYERLAB_ENGINE";

/// The engine, in the lab.
pub const ENGINE: &str = "/lab/layerlab";

pub struct Layerlab;

impl Target for Layerlab {
    fn name(&self) -> &'static str {
        "layerlab"
    }

    fn find(&self, wanted: Wanted) -> Result<Box<dyn Installation>, FindError> {
        let engine = env::var_os(ENGINE_VARIABLE).map(PathBuf::from).unwrap_or_else(beside_us);
        let engine = fs::canonicalize(&engine).map_err(|error| FindError::NotBuilt {
            path: engine,
            hint: format!("{error}; `cargo xtask replay` builds it, or name one with {ENGINE_VARIABLE}"),
        })?;
        // Whether a driver works that wants a file system of its own only the lab shows.
        if wanted.driver != DRIVERS[0] && data_root_on(wanted.driver).is_none() {
            ask_for_driver(&engine, wanted.driver)?;
        }
        Ok(Box::new(InstalledLayerlab { engine }))
    }
}

fn beside_us() -> PathBuf {
    env::current_exe().unwrap_or_default().with_file_name("layerlab")
}

/// Asks the engine, in a data root that is thrown away, whether it has a driver. A refusal of the driver's name is what this
/// host lacks; whatever else goes wrong will show in the lab.
fn ask_for_driver(engine: &Path, driver: &str) -> Result<(), FindError> {
    let run = |source: io::Error| FindError::NotBuilt { path: engine.to_owned(), hint: source.to_string() };
    let scratch = tempfile::tempdir().map_err(run)?;
    let (data_root, exec_root) = (scratch.path().join("root"), scratch.path().join("exec"));
    let mut info = Command::new(engine);
    info.arg("--data-root").arg(data_root).arg("--exec-root").arg(exec_root).args(["--storage-driver", driver, "info"]);
    let output = info.output().map_err(run)?;
    let said = String::from_utf8_lossy(&output.stderr);
    match said.contains("storage driver") && said.contains("not supported") && !output.status.success() {
        true => Err(FindError::Unavailable(Unavailable {
            lacks: format!("our engine has no storage driver {driver}"),
            remedy: "run the page with another --driver".into(),
        })),
        false => Ok(()),
    }
}

struct InstalledLayerlab {
    engine: PathBuf,
}

impl Installation for InstalledLayerlab {
    fn programs(&self) -> Vec<Program> {
        vec![Program { host: self.engine.clone(), lab: ENGINE.into() }]
    }

    fn install(&mut self) -> Result<(), TargetError> {
        install_as_docker(Path::new(ENGINE))?;
        install_as(Path::new(ENGINE), "layerlab")
    }

    fn start(&mut self, _inside: &Inside) -> Result<(), TargetError> {
        let program = format!("{ENGINE} init");
        let output = command(ENGINE).arg("init").output();
        let output = output.map_err(|source| TargetError::Run { program: program.clone(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        Err(TargetError::Failed { program, status: output.status.to_string(), said })
    }

    fn engine_log(&self) -> String {
        fs::read_to_string(ENGINE_LOG).unwrap_or_default()
    }
}
