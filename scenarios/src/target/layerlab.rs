//! Our own engine as a page's `docker`: the command `layerlab`, shown in the lab and initialised there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::{FindError, Installation, Target, TargetError, install_as_docker};
use crate::lab::furnish::Program;
use crate::lab::machine::{ENGINE_LOG, command};
use crate::lab::sandbox::Inside;

/// Names the engine to use; without it, `layerlab` beside the running program is taken.
pub const ENGINE_VARIABLE: &str = "LAYERLAB_ENGINE";

const ENGINE: &str = "/lab/layerlab";

pub struct Layerlab;

impl Target for Layerlab {
    fn name(&self) -> &'static str {
        "layerlab"
    }

    fn find(&self, _rootless: bool) -> Result<Box<dyn Installation>, FindError> {
        let engine = env::var_os(ENGINE_VARIABLE).map(PathBuf::from).unwrap_or_else(beside_us);
        let engine = fs::canonicalize(&engine).map_err(|error| FindError::NotBuilt {
            path: engine,
            hint: format!("{error}; `cargo xtask replay` builds it, or name one with {ENGINE_VARIABLE}"),
        })?;
        Ok(Box::new(InstalledLayerlab { engine }))
    }
}

fn beside_us() -> PathBuf {
    env::current_exe().unwrap_or_default().with_file_name("layerlab")
}

struct InstalledLayerlab {
    engine: PathBuf,
}

impl Installation for InstalledLayerlab {
    fn programs(&self) -> Vec<Program> {
        vec![Program { host: self.engine.clone(), lab: ENGINE.into() }]
    }

    fn install(&mut self) -> Result<(), TargetError> {
        install_as_docker(Path::new(ENGINE))
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
