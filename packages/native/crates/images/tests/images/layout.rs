//! Writes OCI layouts, and resolves what is in them.

use crate::archive::{Item, archive};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use stillpoint_images::digest::Digest;
use stillpoint_images::error::ImageError;
use stillpoint_images::limits::Limits;
use stillpoint_images::platform::Platform;
use stillpoint_images::resolve::{Request, Resolved, Store};
use stillpoint_images::sources::registry::Registries;
use stillpoint_images::watch::Watch;

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn put(folder: &Path, bytes: &[u8]) -> (Digest, usize) {
    let digest = Digest::sha256(bytes);
    fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    fs::write(folder.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    (digest, bytes.len())
}

/// A layout of one image, of layers that are tar archives.
pub fn write_archives(folder: &Path, layers: &[Vec<u8>]) {
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| format!("\"{}\"", Digest::sha256(layer))).collect();
    let config = format!(
        r#"{{"os":"linux","architecture":"riscv64","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let (config, config_size) = put(folder, config.as_bytes());
    let described: Vec<String> = layers
        .iter()
        .map(|layer| {
            let (digest, size) = put(folder, &gzip(layer));
            format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":{size}}}"#)
        })
        .collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_size}}},"layers":[{}]}}"#,
        described.join(",")
    );
    let (manifest, manifest_size) = put(folder, manifest.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{manifest}","size":{manifest_size},"annotations":{{"org.opencontainers.image.ref.name":"latest"}}}}]}}"#
    );
    fs::write(folder.join("index.json"), index).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

pub fn write_layout(folder: &Path, layers: &[Vec<Item>]) {
    let layers: Vec<Vec<u8>> = layers.iter().map(|items| archive(items)).collect();
    write_archives(folder, &layers);
}

pub fn store(folder: &Path) -> Store {
    Store {
        directory: folder.join("cache"),
        most_bytes: 8 << 30,
        registries: Registries::default(),
    }
}

pub fn resolve(store: &Store, reference: &str, limits: Limits) -> Result<Resolved, ImageError> {
    let request = Request { reference: reference.parse()?, platform: Platform::default(), limits };
    store.resolve(&request, &Watch::unwatched())
}

/// An image of those layers, in a folder of its own.
pub struct Built {
    pub folder: tempfile::TempDir,
    pub resolved: Resolved,
}

impl Built {
    pub fn file(&self) -> PathBuf {
        self.resolved.held.file.clone()
    }

    pub fn reference(&self) -> String {
        format!("{}:latest", self.folder.path().join("layout").display())
    }
}

pub fn build_archives(layers: &[Vec<u8>], limits: Limits) -> Result<Built, ImageError> {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    write_archives(&layout, layers);
    let resolved = resolve(&store(folder.path()), &format!("oci:{}", layout.display()), limits)?;
    Ok(Built { folder, resolved })
}

pub fn build(layers: &[Vec<Item>]) -> Result<Built, ImageError> {
    let layers: Vec<Vec<u8>> = layers.iter().map(|items| archive(items)).collect();
    build_archives(&layers, Limits::default())
}
