//! A pipe within this process: what one thread writes another reads, block by block, without the kernel's copies and turns.
//!
//! *Holds*: few blocks wait, as large as they were written. A writer whose reader is gone gets `BrokenPipe`, a reader whose
//! writer is gone the end.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// How many blocks wait to be read.
const WAITING_MAX: usize = 4;

/// The end that is written to.
pub struct BlockWriter {
    blocks: SyncSender<Vec<u8>>,
    /// Blocks that have been read: memory that is there already.
    read: Receiver<Vec<u8>>,
}

/// The end that is read from.
pub struct BlockReader {
    blocks: Receiver<Vec<u8>>,
    read: Sender<Vec<u8>>,
    block: Vec<u8>,
    /// How much of the block has been read.
    taken: usize,
}

/// Both ends.
pub fn blocks() -> (BlockReader, BlockWriter) {
    let (to_reader, from_writer) = sync_channel(WAITING_MAX);
    let (to_writer, from_reader) = channel();
    let reader = BlockReader { blocks: from_writer, read: to_writer, block: Vec::new(), taken: 0 };
    (reader, BlockWriter { blocks: to_reader, read: from_reader })
}

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            let mut block = self.read.try_recv().unwrap_or_default();
            block.clear();
            block.extend_from_slice(bytes);
            self.blocks.send(block).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for BlockReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() {
            let Ok(block) = self.blocks.recv() else { return Ok(0) };
            self.taken = 0;
            // A writer that is done wants none.
            let _ = self.read.send(std::mem::replace(&mut self.block, block));
        }
        let left = &self.block[self.taken..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_written_is_read_in_order_however_it_is_cut() {
        let (mut reader, mut writer) = blocks();
        let wanted: Vec<u8> = (0..100_000u32).map(|number| (number % 251) as u8).collect();
        let read = thread::scope(|scope| {
            scope.spawn(|| wanted.chunks(777).for_each(|chunk| writer.write_all(chunk).unwrap()));
            let mut read = vec![0; 60_000];
            reader.read_exact(&mut read).unwrap();
            read.extend_from_slice(&[0; 40_000]);
            reader.read_exact(&mut read[60_000..]).unwrap();
            read
        });
        assert!(read == wanted);
        drop(writer);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn who_writes_to_nobody_is_told() {
        let (reader, mut writer) = blocks();
        drop(reader);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
