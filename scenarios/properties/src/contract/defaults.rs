//! The kernel's overlay module with all of its features on by default, for as long as a value lives.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PARAMETERS: &str = "/sys/module/overlay/parameters";
/// What may be the kernel builder's choice. An export needs the index, which the kernel looks at when the one is set.
const FEATURES: [&str; 5] = ["index", "metacopy", "nfs_export", "redirect_dir", "xino_auto"];

/// Whoever has it changes what is every process's.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether a feature is on by default now.
pub fn is_on(feature: &str) -> bool {
    fs::read_to_string(Path::new(PARAMETERS).join(feature)).is_ok_and(|value| value.trim() == "Y")
}

/// The defaults stay what they are, for as long as a value lives.
pub struct Still {
    _alone: MutexGuard<'static, ()>,
    /// The same against other processes.
    _locked: Option<File>,
}

impl Still {
    pub fn begin() -> Still {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let locked = File::open(PARAMETERS).ok();
        if let Some(locked) = &locked {
            locked.lock_shared().unwrap();
        }
        Still { _alone: alone, _locked: locked }
    }
}

pub struct AllOn {
    /// Sets everything back when nobody holds its input any more, however this process ends.
    guard: Child,
    _alone: MutexGuard<'static, ()>,
    /// The same against other processes.
    _locked: File,
}

impl AllOn {
    /// Nothing where this user may not, or the kernel has no such module.
    pub fn begin() -> Option<AllOn> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let locked = File::open(PARAMETERS).ok()?;
        locked.lock().ok()?;
        let was = FEATURES.map(|name| fs::read_to_string(Path::new(PARAMETERS).join(name)).unwrap_or_default());
        let back = FEATURES.iter().zip(&was).filter(|(_, was)| !was.is_empty());
        let back: String = back.map(|(name, was)| format!("echo {} > {name}\n", was.trim())).collect();
        let mut guard = Command::new("sh");
        // Who interrupts the tests does not interrupt it.
        guard
            .process_group(0)
            .args(["-c", &format!("read -r _\n{back}")])
            .current_dir(PARAMETERS)
            .stdin(Stdio::piped());
        let guard = guard.spawn().ok()?;
        // What was turned on is turned off again by the guard, also when the next cannot be.
        let on = AllOn { guard, _alone: alone, _locked: locked };
        FEATURES.iter().all(|name| fs::write(Path::new(PARAMETERS).join(name), "Y").is_ok()).then_some(on)
    }
}

impl Drop for AllOn {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap();
    }
}
