//! The command `layerlab-init`: the first process of a machine that is there for the laws alone (`cargo xtask kernels`).
//!
//! *Why*: another kernel than the host's has no userland yet, and needs none but this and `layerlab-laws`. *Holds*: it does what `/orders.json`
//! says, tells each event in a line of JSON the moment it happens, and switches the machine off. *Never*: a verdict of its own: how the laws
//! ended is told as they ended. *Proved by*: `cargo xtask kernels`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;
use serde::Deserialize;
use serde_json::{Value, json};

const ORDERS: &str = "/orders.json";
/// How long a device may take to show.
const DEVICE_MAX: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Deserialize)]
struct Orders {
    /// Files of kernel modules, in the order in which they are loaded.
    modules: Vec<String>,
    /// A directory of the host's that user-mode Linux shows here, on `/host`.
    host: Option<String>,
    /// Where events are told: a terminal, or a file below `/host`.
    events: String,
    /// One after the other.
    runs: Vec<Run>,
}

/// The laws on one file system.
#[derive(Deserialize)]
struct Run {
    /// The file system's type, and the name of its directory.
    backing: String,
    /// Where it is; none where it is in memory.
    device: Option<String>,
    /// What is run with the directory's path as last argument.
    command: Vec<String>,
    /// The file in which it leaves what came of each law, a line each.
    results: String,
}

fn main() -> ExitCode {
    if !rustix::process::getpid().is_init() {
        eprintln!("layerlab-init is the first process of a machine of its own (cargo xtask kernels), and nothing else");
        return ExitCode::FAILURE;
    }
    if let Err(error) = work() {
        // The kernel's console is all there is without events.
        eprintln!("layerlab-init: {error:#}");
    }
    rustix::fs::sync();
    if let Err(errno) = rustix::system::reboot(RebootCommand::PowerOff) {
        eprintln!("layerlab-init: cannot switch the machine off: {errno}");
    }
    // The kernel panics when its first process ends, which is an end, too.
    ExitCode::FAILURE
}

fn work() -> anyhow::Result<()> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")] {
        mounted(kind, kind, Path::new(place))?;
    }
    let orders: Orders = serde_json::from_slice(&fs::read(ORDERS).context(ORDERS)?).context(ORDERS)?;
    for module in &orders.modules {
        // One that this processor cannot use, or that is there already, is not missed; what needs it says so.
        if let Err(error) = load(Path::new(module)) {
            eprintln!("layerlab-init: {module}: {error:#}");
        }
    }
    if let Some(host) = &orders.host {
        fs::create_dir_all("/host")?;
        mount("host", "/host", "hostfs", MountFlags::empty(), &*std::ffi::CString::new(host.as_str())?)
            .context("cannot see the host's directory")?;
    }
    let events = fs::OpenOptions::new().append(true).open(&orders.events).with_context(|| orders.events.clone())?;
    let events = Mutex::new(events);
    tell(&events, &json!({"up": rustix::system::uname().release().to_string_lossy()}))?;
    for run in &orders.runs {
        let ended = held(run, &events);
        // What broke has its script there; where nothing came there is no file.
        for line in fs::read_to_string(&run.results).unwrap_or_default().lines() {
            tell(&events, &json!({"run": run.backing, "result": serde_json::from_str::<Value>(line)?}))?;
        }
        match ended {
            Ok(status) => tell(&events, &json!({"run": run.backing, "status": status}))?,
            Err(error) => tell(&events, &json!({"run": run.backing, "refused": format!("{error:#}")}))?,
        }
    }
    Ok(())
}

fn tell(events: &Mutex<File>, event: &Value) -> anyhow::Result<()> {
    let mut events = events.lock().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
    // One write: what ends in the middle of a line was cut off.
    Ok(events.write_all(format!("{event}\n").as_bytes())?)
}

/// Runs the laws on one file system; the exit status, 128 and the signal's number if one ended them.
fn held(run: &Run, events: &Mutex<File>) -> anyhow::Result<i32> {
    let place = format!("/{}", run.backing);
    if let Some(device) = &run.device {
        wait_for(Path::new(device))?;
    }
    mounted(run.device.as_deref().unwrap_or(&run.backing), &run.backing, Path::new(&place))?;
    let (program, arguments) = run.command.split_first().context("no command")?;
    let mut laws = Command::new(program)
        .args(arguments)
        .arg(&place)
        .env("PATH", "/bin")
        .env("HOME", "/tmp")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let (output, complaints) = (laws.stdout.take(), laws.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| output.map(|output| pass_on(output, run, events)));
        scope.spawn(|| complaints.map(|complaints| pass_on(complaints, run, events)));
    });
    let status = laws.wait()?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    rustix::mount::unmount(&*place, rustix::mount::UnmountFlags::DETACH)?;
    Ok(code)
}

/// Tells each line as it comes.
fn pass_on(output: impl Read, run: &Run, events: &Mutex<File>) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Err(error) = tell(events, &json!({"run": run.backing, "line": line})) {
            eprintln!("layerlab-init: {line}: {error:#}");
        }
    }
}

fn mounted(source: &str, kind: &str, place: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(place)?;
    mount(source, place, kind, MountFlags::empty(), None).with_context(|| format!("cannot mount {kind} from {source}"))
}

fn wait_for(device: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !device.exists() {
        ensure!(begun.elapsed() < DEVICE_MAX, "there is no {}", device.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Loads a module, which may be packed.
fn load(path: &Path) -> anyhow::Result<()> {
    let packed = fs::read(path)?;
    let mut module = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => module = packed,
        Some("xz") => {
            lzma_rust2::XzReader::new(&*packed, true).read_to_end(&mut module)?;
        }
        Some("gz") => {
            flate2::read::MultiGzDecoder::new(&*packed).read_to_end(&mut module)?;
        }
        other => bail!("a module packed as {other:?} cannot be read"),
    }
    Ok(rustix::system::init_module(&module, c"")?)
}
