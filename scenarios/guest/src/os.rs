//! The few C library calls the applets need beyond std and rustix; the only `unsafe` outside the shell.

use std::ffi::CString;
use std::mem::MaybeUninit;

/// Lets a closed pipe end the process, as C programs expect; Rust starts with SIGPIPE ignored.
pub fn restore_sigpipe() {
    // SAFETY: setting a disposition to the default has no preconditions.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Broken-down local (or UTC) time of seconds since the epoch.
pub fn broken_down(seconds: i64, utc: bool) -> libc::tm {
    let mut tm = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid; a zeroed tm is a valid tm when the call fails.
    unsafe {
        if utc {
            libc::gmtime_r(&seconds, tm.as_mut_ptr());
        } else {
            libc::localtime_r(&seconds, tm.as_mut_ptr());
        }
        tm.assume_init()
    }
}

/// Seconds since the epoch of a broken-down local (or UTC) time.
pub fn seconds_of(mut tm: libc::tm, utc: bool) -> i64 {
    tm.tm_isdst = -1;
    // SAFETY: `tm` is a valid, owned tm.
    unsafe { if utc { libc::timegm(&mut tm) } else { libc::mktime(&mut tm) } }
}

/// C's strftime.
pub fn strftime(format: &str, tm: &libc::tm) -> String {
    if format.is_empty() {
        return String::new();
    }
    let Ok(format) = CString::new(format) else { return String::new() };
    let mut buffer = vec![0u8; 4096];
    // SAFETY: the buffer's length is passed; format and tm are valid.
    let written = unsafe { libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), tm) };
    buffer.truncate(written);
    String::from_utf8_lossy(&buffer).into_owned()
}

/// A zeroed broken-down time.
pub fn empty_time() -> libc::tm {
    // SAFETY: tm holds integers and a pointer that may be null.
    unsafe { MaybeUninit::<libc::tm>::zeroed().assume_init() }
}

/// Clock ticks per second of /proc/PID/stat.
pub fn clock_ticks() -> u64 {
    // SAFETY: no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100)
}

/// Sends a signal; 0 only asks whether the process exists.
pub fn kill(pid: i32, signal: i32) -> std::io::Result<()> {
    // SAFETY: kill takes plain integers.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Installs a handler for a signal, interrupting blocking calls.
pub fn on_signal(signal: i32, handler: extern "C" fn(i32)) {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a zeroed sigaction is valid; the handlers passed here only touch atomics and write(2).
    unsafe {
        let action_ref = action.assume_init_mut();
        action_ref.sa_sigaction = handler as *const () as usize;
        libc::sigemptyset(&mut action_ref.sa_mask);
        libc::sigaction(signal, action_ref, std::ptr::null_mut());
    }
}

pub fn ignore_signal(signal: i32) {
    // SAFETY: no preconditions.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

pub fn default_signal(signal: i32) {
    // SAFETY: no preconditions.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Signal names without SIG, by number.
pub const SIGNALS: [&str; 32] = [
    "EXIT", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
    "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
    "IO", "PWR", "SYS",
];

/// A signal's number from `TERM`, `SIGTERM`, `term` or `15`.
pub fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    SIGNALS.iter().position(|candidate| *candidate == name).and_then(|at| i32::try_from(at).ok())
}
