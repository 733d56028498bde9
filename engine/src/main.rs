//! The docker-compatible command `layerlab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    layerlab_engine::cli::main()
}
