//! Layers that are as large compressed as they are plain, for tests of transfers that break off or are slow.

/// A tar with one file whose bytes do not compress.
pub fn tar_of(index: usize, size_bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32 + index as u32;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(size_bytes)
    .collect();
    let mut header = tar::Header::new_ustar();
    header.set_size(size_bytes as u64);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, format!("file{index}"), &content[..]).unwrap();
    builder.into_inner().unwrap()
}
