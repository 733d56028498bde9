//! What it costs to take a layer in and to give it out: a thousand small files in ten directories.
//!
//! Fairness: both workloads run on the temporary directory's file system and check what they made.

use std::fs;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use layerlab_engine::layer::{Contents, OverlayXattr, Owners, PackOptions, UnpackOptions, pack, unpack};

const FILES: usize = 1000;
const FILE_BYTES: usize = 4096;

fn make_files(root: &Path) -> std::io::Result<()> {
    for number in 0..FILES {
        let directory = root.join(format!("directory-{}", number % 10));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(number.to_string()), [b'x'; FILE_BYTES])?;
    }
    Ok(())
}

fn layers(criterion: &mut Criterion) {
    let source = tempfile::tempdir().expect("a temporary directory");
    make_files(source.path()).expect("files to pack");
    let options = PackOptions { overlay: OverlayXattr::User, user_name: &|_| None, group_name: &|_| None };
    let mut tar = Vec::new();
    let packed = pack(source.path(), &options, &mut tar).expect("a layer");
    let mut group = criterion.benchmark_group("layer");
    group.throughput(Throughput::Bytes((FILES * FILE_BYTES) as u64)).sample_size(10);

    group.bench_function("pack_1000_files", |bencher| {
        bencher.iter(|| {
            let again = pack(source.path(), &options, std::io::sink()).expect("a layer");
            assert_eq!(again, packed, "packing is deterministic");
        });
    });
    let unpack_options =
        UnpackOptions { contents: Contents::Layer, overlay: OverlayXattr::User, owners: Owners::CallerOnly };
    group.bench_function("unpack_1000_files", |bencher| {
        bencher.iter_batched(
            || tempfile::tempdir().expect("a temporary directory"),
            |root| {
                let unpacked = unpack(tar.as_slice(), root.path(), &unpack_options).expect("a tree");
                assert_eq!(unpacked.size_bytes, (FILES * FILE_BYTES) as u64);
                root
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, layers);
criterion_main!(benches);
