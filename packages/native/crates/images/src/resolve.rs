//! From a reference to a file: finds the image in the cache, or builds it.

use crate::build::{Layers, build};
use crate::cache::{Cache, Cached, Held};
use crate::digest::Digest;
use crate::documents::{
    Configuration, Descriptor, Document, Execution, Manifest, parse, read_document,
};
use crate::erofs::WRITER_VERSION;
use crate::error::ImageError;
use crate::limits::Limits;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::sources::docker_archive::DockerArchive;
use crate::sources::files::{Folder, TarFile};
use crate::sources::layout::Layout;
use crate::sources::registry::{Registries, RegistrySource};
use crate::sources::{Root, Source, check_platform, document};
use crate::watch::{Progress, Watch};
use std::path::PathBuf;

/// The requested image, and its use.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its reference.
    pub reference: Reference,
    /// Its platform.
    pub platform: Platform,
    /// Its limits.
    pub limits: Limits,
}

/// Options for the cache and for access to registries.
#[derive(Debug, Clone)]
pub struct Store {
    /// The folder of the cache.
    pub directory: PathBuf,
    /// Bytes that it may take.
    pub most_bytes: u64,
    /// Access to registries.
    pub registries: Registries,
}

/// An image, in use while this lives.
#[derive(Debug)]
pub struct Resolved {
    /// Its file.
    pub held: Held,
    /// The digest of its manifest, or of its configuration if it has no manifest.
    pub digest: Digest,
    /// Its platform.
    pub platform: Platform,
    /// Its configuration for execution.
    pub execution: Execution,
    /// Whether it was cached already.
    pub was_cached: bool,
}

impl Store {
    /// The cache.
    ///
    /// # Errors
    /// If it cannot be used.
    fn cache(&self) -> Result<Cache, ImageError> {
        Cache::open(&self.directory, self.most_bytes)
    }

    /// The requested image: cached, or built.
    ///
    /// # Errors
    /// Any problem with it.
    pub fn resolve(&self, request: &Request, watch: &Watch) -> Result<Resolved, ImageError> {
        request.limits.check()?;
        let cache = self.cache()?;
        watch.tell(Progress::Resolving);
        match &request.reference {
            Reference::Layout { path, selector } => {
                let source = Layout::new(Folder::new(path)?, selector.clone())?;
                resolve_from(&source, &cache, request, watch)
            }
            Reference::LayoutArchive { path, selector } => {
                let source = Layout::new(TarFile::new(path)?, selector.clone())?;
                resolve_from(&source, &cache, request, watch)
            }
            Reference::DockerArchive { path, selector } => {
                let archive = DockerArchive::new(TarFile::new(path)?, selector)?;
                let (digest, configuration) = archive.configuration()?;
                let layers = Layers::Saved(&archive);
                finish(digest, configuration, archive.layers(), &layers, &cache, request, watch)
            }
            Reference::Registry { registry, name, selector } => {
                let mut source =
                    RegistrySource::new(&self.registries, registry, name, selector, watch)?;
                match resolve_from(&source, &cache, request, watch) {
                    // Bytes unpacked from a mirror that lies cannot be taken back: the build starts again.
                    Err(ImageError::BlobDigestWrong { .. } | ImageError::BlobSizeWrong { .. })
                        if source.pass_over_mirrors() =>
                    {
                        resolve_from(&source, &cache, request, watch)
                    }
                    resolved => resolved,
                }
            }
        }
    }

    /// The images in the cache, least recently used first.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn list(&self, watch: &Watch) -> Result<Vec<Cached>, ImageError> {
        self.cache()?.list(watch)
    }

    /// Removes unused images until at most the given number of bytes are left, and leftovers of killed
    /// processes; returns the removed images.
    ///
    /// # Errors
    /// If the cache cannot be changed.
    pub fn prune(&self, most_bytes: u64, watch: &Watch) -> Result<Vec<Cached>, ImageError> {
        self.cache()?.prune(most_bytes, watch)
    }
}

/// Indexes inside one another; real ones are at most two.
const MOST_INDEXES: usize = 4;

fn resolve_from(
    source: &dyn Source,
    cache: &Cache,
    request: &Request,
    watch: &Watch,
) -> Result<Resolved, ImageError> {
    let (digest, manifest) = choose(source, &request.platform, watch)?;
    let kinds = manifest.layer_kinds()?;
    let config = document(source, &manifest.config, "configuration")?;
    let configuration: Configuration = parse("configuration", &config)?;
    let count = kinds.len();
    let layers = Layers::Of { source, descriptors: &manifest.layers, kinds };
    finish(digest, configuration, count, &layers, cache, request, watch)
}

/// The manifest for that platform, and its digest.
fn choose(
    source: &dyn Source,
    platform: &Platform,
    watch: &Watch,
) -> Result<(Digest, Manifest), ImageError> {
    let read = |descriptor: &Descriptor| {
        watch.check()?;
        let what = format!("manifest {}", descriptor.digest);
        let bytes = document(source, descriptor, &what)?;
        let document = read_document(&what, Some(&descriptor.media_type), &bytes)?;
        Ok((descriptor.digest.clone(), document))
    };
    let (mut digest, mut found) = match source.root()? {
        Root::Descriptor(descriptor) => read(&descriptor)?,
        Root::Document { digest, document } => (digest, document),
    };
    for _ in 0..MOST_INDEXES {
        match found {
            Document::Manifest(manifest) => return Ok((digest, manifest)),
            Document::Index(index) => (digest, found) = read(index.choose(platform)?)?,
        }
    }
    Err(ImageError::DocumentInvalid {
        what: format!("index {digest}"),
        expected: "an index of manifests".to_owned(),
        found: "indexes inside one another".to_owned(),
    })
}

fn finish(
    digest: Digest,
    configuration: Configuration,
    count: usize,
    layers: &Layers<'_>,
    cache: &Cache,
    request: &Request,
    watch: &Watch,
) -> Result<Resolved, ImageError> {
    check_platform(&configuration.platform, &request.platform)?;
    let invalid = |expected: String, found: String| ImageError::DocumentInvalid {
        what: "configuration".to_owned(),
        expected,
        found,
    };
    let kind = &configuration.rootfs.kind;
    if kind != "layers" {
        return Err(invalid("rootfs.type \"layers\"".to_owned(), format!("{kind:?}")));
    }
    let diff_ids = configuration.diff_ids();
    if diff_ids.len() != count {
        return Err(invalid(
            format!("a digest for each of {count} layers"),
            format!("{} digests", diff_ids.len()),
        ));
    }
    Limits::keep("layers", request.limits.layers, count as u64, || "layers".to_owned())?;
    let key = key(diff_ids);
    let mut was_cached = true;
    let held = cache.find_or_build(&key, watch, |folder| {
        was_cached = false;
        build(layers, diff_ids, &key, cache, folder, request.limits, watch)
    })?;
    let Configuration { platform, config: execution, .. } = configuration;
    Ok(Resolved { held, digest, platform, execution, was_cached })
}

/// Images whose layers unpack to the same bytes are the same, whatever their compression.
fn key(diff_ids: &[Digest]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("stillpoint images: what a file is built of");
    hasher.update(&WRITER_VERSION.to_le_bytes());
    for digest in diff_ids {
        hasher.update(digest.to_string().as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_string()
}
