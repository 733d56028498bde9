//! Seams: what the engine asks of the world by chance or by time, so that a test can answer instead.

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present instant, in UTC with nanoseconds.
    fn now(&self) -> Timestamp;
}

/// Gives random bytes, for identifiers and names.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with bytes nobody can guess.
    fn fill(&self, buffer: &mut [u8]);

    /// 64 random hex digits: a container ID or a cache ID.
    fn hex_id(&self) -> String {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        hex::encode(bytes)
    }

    /// 26 random characters of A-Z2-7: the short name of a layer directory below `overlay2/l`.
    fn link_id(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut bytes = [0; 26];
        self.fill(&mut bytes);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
    }

    /// One random number.
    fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_ne_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for (index, byte) in buffer.iter_mut().enumerate() {
                *byte = index as u8;
            }
        }
    }

    #[test]
    fn ids_have_dockers_alphabets_and_lengths() {
        assert_eq!(Counting.hex_id().len(), 64);
        assert_eq!(Counting.link_id(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    }
}
