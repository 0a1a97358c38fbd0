//! What a holder's disk costs: columns written, made durable and read, by the store that nodes run, on the disk of the
//! build. A large column has a file of its own; small ones share packs, and their syncs when they come together.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use ostrakon_benches::{count, noise};
use ostrakon_node::store::{Columns, Disk, DiskConfig, Place, PlaceState};
use ostrakon_proto::{
    id::Epoch,
    limits::{CHUNK, GROUP},
    manifest::Manifest,
    tree::TreeBuilder,
    wire::put::UploadId,
};

/// A column with a file of its own.
const LARGE: usize = 4 << 20;
/// A column in a pack.
const SMALL: usize = 4 << 10;
/// Small columns that arrive together.
const CONCURRENT: usize = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // Beside the binaries: the system's temporary directory may be memory.
    let home = std::env::current_exe().expect("a running program has a file");
    let beside = home.parent().expect("a file has a directory");
    let dir = tempfile::Builder::new().prefix("store-bench-").tempdir_in(beside).expect("the target directory is ours");
    let config = DiskConfig { reserve_bytes: Some(0), ..DiskConfig::default() };
    let disk = Disk::open(dir.path(), config).expect("an empty directory is a store");
    put(&mut criterion, &disk);
    get(&mut criterion, &disk);
    criterion.final_summary();
}

/// A column that no store has seen.
struct Column {
    bytes: Bytes,
    place: Place,
    manifest: Bytes,
}

impl Column {
    /// One of `len` bytes, different for every number.
    fn new(len: usize, number: u64) -> Self {
        let mut bytes = noise(len);
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let mut tree = TreeBuilder::new();
        tree.update(&bytes);
        let manifest = Bytes::from(format!("manifest of column {number} of {len} bytes"));
        let place = Place {
            object: Manifest::object_id(&manifest),
            extent: 0,
            index: 0,
            column: tree.finish().0,
            column_len: count(len),
            manifest_len: u32::try_from(manifest.len()).expect("short"),
            token: None,
            expires: Epoch(10),
        };
        Self { bytes: bytes.into(), place, manifest }
    }

    /// Uploads it chunk by chunk; it is durable when this returns.
    fn put(&self, disk: &Disk) {
        let upload = UploadId(self.place.column.bytes()[..16].try_into().expect("an id has 32 bytes"));
        disk.begin(upload, self.place.column_len).expect("there is room");
        for start in (0..self.bytes.len()).step_by(CHUNK) {
            let chunk = self.bytes.slice(start..self.bytes.len().min(start + CHUNK));
            disk.write(upload, count(start), chunk).expect("it is the next chunk");
        }
        disk.finish(upload, self.place, self.manifest.clone()).expect("it is the column that it says");
    }

    fn read(&self, disk: &Disk, length: usize) -> usize {
        let starts = (0..self.place.column_len).step_by(length);
        let length = u32::try_from(length).expect("a chunk is small");
        let read = |start| disk.read(&self.place.column, start, length).expect("it is stored");
        starts.map(|start| read(start).bytes.len()).sum()
    }

    fn purge(&self, disk: &Disk) {
        let state = PlaceState::Temporary { expires: self.place.expires };
        assert!(disk.purge(&self.place.key(), state).expect("the index works"), "it is as it was stored");
    }
}

fn put(criterion: &mut Criterion, disk: &Disk) {
    let mut group = criterion.benchmark_group("store::put");
    group.sample_size(20);
    let mut numbers = 0..u64::MAX;
    let mut fresh = |len| Column::new(len, numbers.next().expect("there are enough numbers"));
    for (id, len) in [("kib=4096", LARGE), ("kib=4/concurrent=1", SMALL)] {
        group.throughput(Throughput::Bytes(count(len)));
        group.bench_function(id, |bench| {
            bench.iter_custom(|times| (0..times).map(|_| put_concurrent(disk, &[fresh(len)])).sum());
        });
    }
    group.throughput(Throughput::Bytes(count(CONCURRENT * SMALL)));
    group.bench_function(format!("kib=4/concurrent={CONCURRENT}"), |bench| {
        let mut together = || (0..CONCURRENT).map(|_| fresh(SMALL)).collect::<Vec<_>>();
        bench.iter_custom(|times| (0..times).map(|_| put_concurrent(disk, &together())).sum());
    });
    group.finish();
}

/// How long it takes until all are durable, each put by a thread of its own. The store then forgets them, uncounted.
fn put_concurrent(disk: &Disk, columns: &[Column]) -> Duration {
    let ready = &Barrier::new(columns.len() + 1);
    let took = thread::scope(|scope| {
        let put = |column: &Column| {
            ready.wait();
            column.put(disk);
        };
        let threads = columns.iter().map(|column| scope.spawn(move || put(column)));
        let threads: Vec<_> = threads.collect();
        ready.wait();
        let since = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().expect("a put does not panic"));
        since.elapsed()
    });
    columns.iter().for_each(|column| column.purge(disk));
    took
}

/// Read back from the page cache, with the hashes that prove each range.
fn get(criterion: &mut Criterion, disk: &Disk) {
    let mut group = criterion.benchmark_group("store::get");
    for (id, len, length) in [("kib=4096/range_kib=256", LARGE, CHUNK), ("kib=4/range_kib=16", SMALL, GROUP)] {
        let column = Column::new(len, u64::MAX);
        column.put(disk);
        group.throughput(Throughput::Bytes(count(len)));
        group.bench_function(id, |bench| bench.iter(|| column.read(disk, length)));
        column.purge(disk);
    }
    group.finish();
}
