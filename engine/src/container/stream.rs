//! What a container's monitor and an attached command say to each other over a Unix socket.
//!
//! A frame is one byte for its kind, four for the length of its body (big endian), and the body.

use std::io::{self, Read, Write};

use crate::sys::terminal::Size;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// To the monitor: input for the container.
    Stdin(Vec<u8>),
    /// To the monitor: there will be no more input.
    StdinEnd,
    /// To the monitor: the terminal has this size now.
    Resize(Size),
    /// From the monitor: output, or everything a terminal shows.
    Stdout(Vec<u8>),
    /// From the monitor: error output.
    Stderr(Vec<u8>),
    /// From the monitor: the container has ended with this code.
    Exit(i32),
}

/// The longest body that is believed; longer ones mean that the peer does not speak this language.
const BODY_MAX_BYTES: usize = 1 << 20;

impl Frame {
    /// Writes the frame.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let (kind, body) = match self {
            Frame::Stdin(bytes) => (0, bytes.clone()),
            Frame::Stdout(bytes) => (1, bytes.clone()),
            Frame::Stderr(bytes) => (2, bytes.clone()),
            Frame::StdinEnd => (3, Vec::new()),
            Frame::Resize(size) => (4, [size.rows.to_be_bytes(), size.columns.to_be_bytes()].concat()),
            Frame::Exit(code) => (5, code.to_be_bytes().to_vec()),
        };
        let mut message = vec![kind];
        message.extend((body.len() as u32).to_be_bytes());
        message.extend(body);
        out.write_all(&message)
    }

    /// Reads the next frame; nothing at the end of the stream.
    pub fn read_from(input: &mut impl Read) -> io::Result<Option<Frame>> {
        let mut head = [0; 5];
        match input.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > BODY_MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let frame = match (head[0], body.as_slice()) {
            (0, _) => Frame::Stdin(body),
            (1, _) => Frame::Stdout(body),
            (2, _) => Frame::Stderr(body),
            (3, []) => Frame::StdinEnd,
            (4, &[a, b, c, d]) => {
                Frame::Resize(Size { rows: u16::from_be_bytes([a, b]), columns: u16::from_be_bytes([c, d]) })
            }
            (5, &[a, b, c, d]) => Frame::Exit(i32::from_be_bytes([a, b, c, d])),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_comes_back_as_it_was() {
        let frames = [
            Frame::Stdin(b"ls\n".to_vec()),
            Frame::StdinEnd,
            Frame::Resize(Size { rows: 24, columns: 80 }),
            Frame::Stdout(vec![]),
            Frame::Stderr(vec![0, 255]),
            Frame::Exit(137),
        ];
        let mut wire = Vec::new();
        frames.iter().for_each(|frame| frame.write_to(&mut wire).unwrap());
        let mut wire = wire.as_slice();
        for frame in frames {
            assert_eq!(Frame::read_from(&mut wire).unwrap(), Some(frame));
        }
        assert_eq!(Frame::read_from(&mut wire).unwrap(), None);
    }

    #[test]
    fn noise_is_refused() {
        assert!(Frame::read_from(&mut &[9, 0, 0, 0, 0][..]).is_err());
        assert!(Frame::read_from(&mut &[0, 255, 255, 255, 255][..]).is_err());
    }
}
