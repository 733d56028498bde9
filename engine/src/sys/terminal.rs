//! Terminals: pseudo-terminals, raw mode, window sizes, and handing an open file to another process.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines from top to bottom.
    pub rows: u16,
    /// Characters from left to right.
    pub columns: u16,
}

/// The two ends of a pseudo-terminal: what the controlling program holds, and what the program inside takes for a
/// terminal.
pub struct Pty {
    /// The controlling end.
    pub controller: OwnedFd,
    /// The terminal.
    pub terminal: OwnedFd,
}

/// Opens a new pseudo-terminal of the devpts whose multiplexer is `ptmx`.
pub fn open_pty(ptmx: &Path) -> io::Result<Pty> {
    let controller = rustix::fs::open(ptmx, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    unlockpt(&controller)?;
    let terminal = ioctl_tiocgptpeer(&controller, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok(Pty { controller, terminal })
}

/// Makes `terminal` the controlling terminal of this process, which must lead a session.
pub fn take_control(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

/// The size of the terminal `fd`, when it is one.
pub fn size(fd: impl AsFd) -> Option<Size> {
    let size = tcgetwinsize(fd).ok()?;
    Some(Size { rows: size.ws_row, columns: size.ws_col })
}

/// Sets the size of a terminal; the kernel tells the processes in it.
pub fn set_size(fd: impl AsFd, size: Size) -> io::Result<()> {
    Ok(tcsetwinsize(fd, Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 })?)
}

/// A terminal in raw mode, as long as this value lives.
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Switches `fd` to raw mode.
    pub fn enter(fd: impl AsFd) -> io::Result<RawMode> {
        let terminal = fd.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Flush, &raw)?;
        Ok(RawMode { terminal, before })
    }
}

impl RawMode {
    /// Lets `fd` show nothing of what is typed, and changes nothing else.
    pub fn without_echo(fd: impl AsFd) -> io::Result<RawMode> {
        let terminal = fd.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(RawMode { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(&self.terminal, OptionalActions::Now, &self.before) {
            tracing::warn!(%error, "the terminal could not be set back from raw mode; `stty sane` mends it");
        }
    }
}

/// Sends `bytes` and, with them, an open file to the process at the other end of a Unix socket.
pub fn send_with_file(socket: impl AsFd, bytes: &[u8], file: Option<RawFd>) -> io::Result<()> {
    let files: Vec<RawFd> = file.into_iter().collect();
    let rights = [ControlMessage::ScmRights(&files)];
    let control = if files.is_empty() { &[][..] } else { &rights[..] };
    sendmsg::<()>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives what [`send_with_file`] sent: how many bytes came (0: the other end is closed), and the file.
pub fn receive_with_file(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!(RawFd);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut received = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(files) = control {
            // SAFETY: the kernel has just made these descriptors for this process, and nobody else owns them.
            received = files.into_iter().map(|file| unsafe { OwnedFd::from_raw_fd(file) }).next();
        }
    }
    Ok((message.bytes, received))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_pty_carries_text_and_its_size() {
        let pty = open_pty(Path::new("/dev/ptmx")).unwrap();
        set_size(&pty.controller, Size { rows: 7, columns: 30 }).unwrap();
        assert_eq!(size(&pty.terminal), Some(Size { rows: 7, columns: 30 }));
        std::fs::File::from(pty.terminal.try_clone().unwrap()).write_all(b"hi").unwrap();
        let mut buffer = [0; 2];
        std::fs::File::from(pty.controller).read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"hi");
    }

    #[test]
    fn an_open_file_travels_through_a_socket() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send_with_file(&here, b"x", Some(writer.as_raw_fd())).unwrap();
        drop(writer);
        let (count, file) = receive_with_file(&there, &mut [0; 8]).unwrap();
        assert_eq!(count, 1);
        std::fs::File::from(file.unwrap()).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }
}
