//! The engine's own log, for whoever wants to know what it does: `LAYERLAB_LOG=debug`, `LAYERLAB_LOG_FILE=/tmp/log`.

use std::fs::File;
use std::io;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// A filter in the syntax of `tracing-subscriber`; without it only warnings and errors are shown.
const FILTER: &str = "LAYERLAB_LOG";
/// A file to append to; the standard error without it.
const FILE: &str = "LAYERLAB_LOG_FILE";

/// Starts logging for the rest of the process.
pub fn start() {
    let filter = std::env::var(FILTER).ok().and_then(|text| {
        let filter = EnvFilter::try_new(&text);
        filter.inspect_err(|error| eprintln!("{FILTER}={text} is not understood ({error}); showing warnings only")).ok()
    });
    let writer = match std::env::var_os(FILE).map(|path| File::options().append(true).create(true).open(path)) {
        Some(Ok(file)) => BoxMakeWriter::new(file),
        Some(Err(error)) => {
            eprintln!("{FILE} cannot be opened ({error}); logging to the standard error");
            BoxMakeWriter::new(io::stderr)
        }
        None => BoxMakeWriter::new(io::stderr),
    };
    // A program that uses the engine as a library may have a log of its own: that one stays.
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(writer);
    let _ = match filter {
        Some(filter) => log.with_env_filter(filter).try_init(),
        // A filter's own expressions take longer to compile than most commands run.
        None => log.with_max_level(Level::WARN).try_init(),
    };
}
