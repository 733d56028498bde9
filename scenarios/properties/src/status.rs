//! The exit statuses of our commands that hold something against something.

/// Something broke, or is not as told.
pub const FAILED: u8 = 1;
/// There is no verdict: something is asked for that is not there, or the machine let us down. As of words that are not understood.
pub const CANNOT: u8 = 2;
/// Somebody asked for an end (Ctrl-C): as a shell tells it, 128 and the signal's number.
pub const ENDED: u8 = 130;
/// As automake and others have it: not run, because this host cannot.
pub const SKIPPED: u8 = 77;
