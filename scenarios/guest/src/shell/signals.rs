//! Signals of the shell: which arrived, which have a trap, and what happens to those that have none.
//!
//! brush keeps traps for signals but delivers only DEBUG, ERR and EXIT. The handlers here note a signal's arrival; the
//! hidden builtin of `builtins.rs` runs the trap before the next command, as bash does.

use crate::os;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, IntoRawFd as _};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

static ARRIVED: AtomicU64 = AtomicU64::new(0);
static CHILD_INTERRUPTED: AtomicBool = AtomicBool::new(false);
static RESIZED: AtomicBool = AtomicBool::new(false);
static WAKE_READ: AtomicI32 = AtomicI32::new(-1);
static WAKE_WRITE: AtomicI32 = AtomicI32::new(-1);
static INTERRUPT_TRAPPED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(signal: i32) {
    ARRIVED.fetch_or(1 << (signal & 63), Ordering::SeqCst);
    wake();
}

/// In a shell that is not interactive ctrl-C ends it, unless trapped; tokio's own listener must not swallow it.
extern "C" fn note_or_die(signal: i32) {
    if INTERRUPT_TRAPPED.load(Ordering::SeqCst) {
        note(signal);
    } else {
        // SAFETY: signal and raise are async-signal-safe.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

extern "C" fn note_child(_signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo for SIGCHLD.
    let interrupted =
        unsafe { !info.is_null() && (*info).si_code == libc::CLD_KILLED && (*info).si_status() == libc::SIGINT };
    if interrupted {
        CHILD_INTERRUPTED.store(true, Ordering::SeqCst);
        wake();
    }
}

extern "C" fn note_resize(_signal: i32) {
    RESIZED.store(true, Ordering::SeqCst);
    wake();
}

extern "C" fn nothing(_signal: i32) {}

fn wake() {
    let descriptor = WAKE_WRITE.load(Ordering::SeqCst);
    if descriptor >= 0 {
        // SAFETY: write is async-signal-safe; the byte lives on this stack.
        unsafe { libc::write(descriptor, [1u8].as_ptr().cast(), 1) };
    }
}

/// Installs what every shell needs before any child is started.
pub fn start(interactive: bool) {
    use rustix::pipe::{PipeFlags, pipe_with};
    if let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
        WAKE_READ.store(high(read), Ordering::SeqCst);
        WAKE_WRITE.store(high(write), Ordering::SeqCst);
    }
    if interactive {
        os::on_signal(libc::SIGINT, note);
        os::on_signal(libc::SIGWINCH, note_resize);
        for signal in [libc::SIGTERM, libc::SIGQUIT, libc::SIGTSTP] {
            os::on_signal(signal, nothing);
        }
        os::ignore_signal(libc::SIGTTOU);
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a zeroed sigaction is valid; the handler only touches atomics and write(2).
        unsafe {
            let action_ref = action.assume_init_mut();
            action_ref.sa_sigaction = note_child as *const () as usize;
            action_ref.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(libc::SIGCHLD, action_ref, std::ptr::null_mut());
        }
    } else {
        os::on_signal(libc::SIGINT, note_or_die);
    }
}

/// Moves a descriptor out of the way of the shell's own small numbers.
fn high(descriptor: std::os::fd::OwnedFd) -> i32 {
    match rustix::io::fcntl_dupfd_cloexec(&descriptor, 200) {
        Ok(moved) => moved.into_raw_fd(),
        Err(_) => descriptor.into_raw_fd(),
    }
}

pub fn wake_descriptor() -> Option<BorrowedFd<'static>> {
    let descriptor = WAKE_READ.load(Ordering::SeqCst);
    // SAFETY: the descriptor is opened once by `start` and never closed.
    (descriptor >= 0).then(|| unsafe { BorrowedFd::borrow_raw(descriptor) })
}

pub fn drain() {
    if let Some(descriptor) = wake_descriptor() {
        let mut bytes = [0u8; 64];
        while rustix::io::read(descriptor, &mut bytes).is_ok_and(|count| count > 0) {}
        debug_assert!(descriptor.as_raw_fd() >= 0);
    }
}

/// Whether ctrl-C reached the shell or killed its foreground child since the last call.
pub fn take_interrupt() -> bool {
    let shell = ARRIVED.fetch_and(!(1 << libc::SIGINT), Ordering::SeqCst) & (1 << libc::SIGINT) != 0;
    let child = CHILD_INTERRUPTED.swap(false, Ordering::SeqCst);
    shell || child
}

/// Whether the terminal's size changed since the last call.
pub fn take_resize() -> bool {
    RESIZED.swap(false, Ordering::SeqCst)
}

pub fn interrupted() -> bool {
    ARRIVED.load(Ordering::SeqCst) & (1 << libc::SIGINT) != 0 || CHILD_INTERRUPTED.load(Ordering::SeqCst)
}

/// The lowest-numbered signal that arrived, and forgets it; SIGINT of an interactive shell is left to the session.
pub fn take(interactive: bool) -> Option<i32> {
    let keep = if interactive && !INTERRUPT_TRAPPED.load(Ordering::SeqCst) { 1 << libc::SIGINT } else { 0 };
    loop {
        let arrived = ARRIVED.load(Ordering::SeqCst) & !keep;
        if arrived == 0 {
            return None;
        }
        let signal = arrived.trailing_zeros();
        if ARRIVED.fetch_and(!(1 << signal), Ordering::SeqCst) & (1 << signal) != 0 {
            return i32::try_from(signal).ok();
        }
    }
}

pub fn any_arrived() -> bool {
    ARRIVED.load(Ordering::SeqCst) != 0
}

/// What `trap` asked for.
pub enum Disposition {
    Trapped,
    Ignored,
    Default,
}

pub fn dispose(signal: i32, disposition: &Disposition, interactive: bool) {
    if signal == libc::SIGINT {
        INTERRUPT_TRAPPED.store(!matches!(disposition, Disposition::Default), Ordering::SeqCst);
    }
    match disposition {
        Disposition::Trapped => os::on_signal(signal, note),
        Disposition::Ignored => os::ignore_signal(signal),
        Disposition::Default if signal == libc::SIGINT => {
            os::on_signal(signal, if interactive { note } else { note_or_die });
        }
        Disposition::Default if signal == libc::SIGWINCH && interactive => os::on_signal(signal, note_resize),
        Disposition::Default if interactive && matches!(signal, libc::SIGTERM | libc::SIGQUIT | libc::SIGTSTP) => {
            os::on_signal(signal, nothing);
        }
        Disposition::Default => os::default_signal(signal),
    }
}
