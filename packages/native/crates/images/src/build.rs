//! From layers to a file: each is verified, unpacked and applied while it streams, then the file is written.

use crate::block_digests::beside;
use crate::cache::{Cache, Description, ROOT};
use crate::digest::{Digest, Hasher, Verified};
use crate::documents::{Compression, Descriptor, LayerKind};
use crate::erofs::{Plan, write};
use crate::error::ImageError;
use crate::layers::apply::Applier;
use crate::layers::archive::Archive;
use crate::layers::decompressed;
use crate::limits::Limits;
use crate::sources::Source;
use crate::sources::docker_archive::DockerArchive;
use crate::spool::Spool;
use crate::watch::{Progress, Watch};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

/// The source of layers.
pub(crate) enum Layers<'a> {
    Of { source: &'a dyn Source, descriptors: &'a [Descriptor], kinds: Vec<LayerKind> },
    Saved(&'a DockerArchive),
}

/// Writes the image of those layers into `folder`, flushed; returns its description.
pub(crate) fn build(
    layers: &Layers<'_>,
    diff_ids: &[Digest],
    key: &str,
    cache: &Cache,
    folder: &Path,
    limits: Limits,
    watch: &Watch,
) -> Result<Description, ImageError> {
    let mut applier = Applier::new(Spool::new(folder)?, limits);
    for (at, diff_id) in diff_ids.iter().enumerate() {
        layer(layers, at, diff_ids.len(), diff_id, &mut applier, limits, watch)?;
    }
    let Applier { tree, spool, ignored_xattrs, .. } = applier;
    let contents = spool.finish()?;
    let plan = Plan::new(&tree)?;
    let total_bytes = plan.size_bytes();
    cache.expect_room(total_bytes, watch)?;
    let path = folder.join(ROOT);
    let file = create(&path)?;
    let told_at = Cell::new(None);
    let told = |done_bytes: u64| {
        let mebibyte = done_bytes >> 20;
        if told_at.replace(Some(mebibyte)) == Some(mebibyte) {
            return Ok(());
        }
        watch.tell(Progress::Writing { done_bytes: mebibyte << 20, total_bytes });
        watch.check()
    };
    let out = BufWriter::with_capacity(1 << 20, &file);
    let written = write(&tree, &contents, &plan, uuid(key), out, &path, &told)?;
    flush(&file, &path)?;
    let blocks_path = beside(&path);
    let mut blocks_file = create(&blocks_path)?;
    let put = blocks_file.write_all(&written.blocks);
    put.map_err(|error| ImageError::of_cache(&blocks_path, &error))?;
    flush(&blocks_file, &blocks_path)?;
    let mut ignored: Vec<String> = ignored_xattrs.into_iter().collect();
    ignored.sort_unstable();
    ignored.truncate(100);
    let names = diff_ids.iter().map(Digest::to_string).collect();
    Ok(Description::new(
        written.digest.to_string(),
        blake3::hash(&written.blocks).to_string(),
        written.size_bytes,
        written.inodes,
        names,
        ignored,
    ))
}

fn create(path: &Path) -> Result<File, ImageError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path);
    created.map_err(|error| ImageError::of_cache(path, &error))
}

fn flush(file: &File, path: &Path) -> Result<(), ImageError> {
    file.sync_all().map_err(|error| ImageError::of_cache(path, &error))
}

/// A UUID of version 8, derived from the image's key: equal images have equal ones.
fn uuid(key: &str) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// Says of everything that is read how much it was.
struct Counted<R, F> {
    inner: R,
    count: F,
}

impl<R: Read, F: Fn(u64) -> Result<(), ImageError>> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.count)(count as u64)?;
        Ok(count)
    }
}

/// The unpacked bytes of a layer: digested, and bounded by the compressed size.
struct Unpacked<R> {
    inner: R,
    hasher: Hasher,
    done: u64,
    compressed: Rc<Cell<u64>>,
    limits: Limits,
    layer: usize,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.done += count as u64;
        if self.done > self.limits.ratio_free_bytes {
            Limits::keep(
                "ratio",
                self.limits.ratio,
                self.done / self.compressed.get().max(1),
                || format!("bytes that layer {} unpacks to for each of its own", self.layer),
            )?;
        }
        Ok(count)
    }
}

fn layer(
    layers: &Layers<'_>,
    index: usize,
    count: usize,
    diff_id: &Digest,
    applier: &mut Applier,
    limits: Limits,
    watch: &Watch,
) -> Result<(), ImageError> {
    let corrupt = |error: io::Error| {
        ImageError::from_io(error, |error| ImageError::LayerCorrupt {
            layer: index,
            offset: 0,
            expected: "a layer that can be read to its end".to_owned(),
            found: error.to_string(),
        })
    };
    let compressed = Rc::new(Cell::new(0));
    let tell = |done_bytes, total_bytes| {
        watch.check()?;
        watch.tell(Progress::Layer { index, count, done_bytes, total_bytes });
        Ok(())
    };
    let counted = |total_bytes: u64| {
        let count = Rc::clone(&compressed);
        move |more: u64| {
            count.set(count.get() + more);
            tell(count.get(), total_bytes)
        }
    };
    let mut unpack = |compression, reader: &mut dyn Read| -> Result<(), ImageError> {
        let inner = decompressed(compression, reader).map_err(corrupt)?;
        let mut unpacked = Unpacked {
            inner,
            hasher: Hasher::new(diff_id.algorithm()),
            done: 0,
            compressed: Rc::clone(&compressed),
            limits,
            layer: index,
        };
        let mut archive = Archive::new(&mut unpacked, index);
        applier.apply(index, &mut archive, &|| watch.check())?;
        // The digest also covers bytes behind the archive's end.
        io::copy(&mut unpacked, &mut io::sink()).map_err(corrupt)?;
        let found = unpacked.hasher.finish();
        if found != *diff_id {
            let [expected, found] = [diff_id, &found].map(Digest::to_string);
            return Err(ImageError::DiffIdWrong { layer: index, expected, found });
        }
        Ok(())
    };
    match layers {
        Layers::Of { source, descriptors, kinds } => {
            let descriptor = &descriptors[index];
            tell(0, descriptor.size)?;
            let LayerKind::Archive(compression) = kinds[index];
            let reader =
                Counted { inner: source.open(descriptor)?, count: counted(descriptor.size) };
            let mut verified = Verified::new(reader, descriptor.digest.clone(), descriptor.size);
            let unpacked = unpack(compression, &mut verified);
            // A blob with a wrong digest explains any other problem with it.
            match (unpacked, io::copy(&mut verified, &mut io::sink())) {
                (
                    Err(error @ (ImageError::LayerCorrupt { .. } | ImageError::DiffIdWrong { .. })),
                    Err(cause),
                ) => Err(ImageError::from_io(cause, |_| error)),
                (Err(error), _) => Err(error),
                (Ok(()), copied) => copied.map(|_| ()).map_err(corrupt),
            }
        }
        Layers::Saved(archive) => {
            tell(0, 0)?;
            let mut reader = Counted { inner: archive.layer(index)?, count: counted(0) };
            let mut magic = [0; 4];
            let mut filled = 0;
            while filled < magic.len() {
                match reader.read(&mut magic[filled..]).map_err(corrupt)? {
                    0 => break,
                    read => filled += read,
                }
            }
            let compression = match magic {
                [0x1f, 0x8b, ..] => Compression::Gzip,
                [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
                _ => Compression::None,
            };
            unpack(compression, &mut (&magic[..filled]).chain(reader))
        }
    }
}
