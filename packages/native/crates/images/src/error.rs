//! Errors of resolving an image.

mod examples;

pub use examples::examples;

use std::io;
use std::path::Path;

/// Why an image was refused, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A reference of no known form.
    #[error("reference: expected {expected}, found {found:?}")]
    ReferenceInvalid {
        /// The forms that there are.
        expected: &'static str,
        /// The given reference.
        found: String,
    },
    /// An option that cannot be.
    #[error("option {option}: expected {expected}, found {found}")]
    OptionInvalid {
        /// Its name.
        option: String,
        /// The allowed values.
        expected: &'static str,
        /// The given value.
        found: String,
    },
    /// A file or folder of the source cannot be read.
    #[error("{path}: expected to read the image's source, found: {reason}")]
    SourceUnreadable {
        /// The path.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// The path is neither a layout nor an archive.
    #[error("{path}: expected {expected}, found {found}")]
    SourceInvalid {
        /// The path.
        path: String,
        /// The expected form.
        expected: String,
        /// The found form.
        found: String,
    },
    /// The source has no image of that name.
    #[error("{place}: expected the image {expected}, found {found}; name one of those")]
    ImageUnknown {
        /// The source.
        place: String,
        /// The requested image.
        expected: String,
        /// The names that it has.
        found: String,
    },
    /// The image is not made for that platform.
    #[error(
        "expected an image for {expected}, found one for {found}; ask for one of those, or take an image that has {expected}"
    )]
    PlatformMissing {
        /// The requested platform.
        expected: String,
        /// The platforms that the image has.
        found: String,
    },
    /// The source does not hold a blob that the image names.
    #[error("{place}: expected the blob {digest}, found none; fetch the image again")]
    BlobMissing {
        /// The source.
        place: String,
        /// The blob.
        digest: String,
    },
    /// A blob is longer or shorter than the image says.
    #[error("blob {digest}: expected {expected} bytes, found {found}")]
    BlobSizeWrong {
        /// The blob.
        digest: String,
        /// Its length, as the image says.
        expected: u64,
        /// `more`, or the bytes that there are.
        found: String,
    },
    /// A blob is another one than the image says.
    #[error("blob: expected the digest {expected}, found {found}; the source is damaged or lies")]
    BlobDigestWrong {
        /// The digest that the image names.
        expected: String,
        /// The digest of the received bytes.
        found: String,
    },
    /// A layer unpacks to another archive than the configuration says.
    #[error("layer {layer}: expected its archive to have the digest {expected}, found {found}")]
    DiffIdWrong {
        /// The layer; the lowest is 0.
        layer: usize,
        /// The digest that the configuration names.
        expected: String,
        /// The digest of the unpacked bytes.
        found: String,
    },
    /// An index, manifest or configuration is none.
    #[error("{what}: expected {expected}, found {found}")]
    DocumentInvalid {
        /// The document.
        what: String,
        /// The requirement.
        expected: String,
        /// The found value.
        found: String,
    },
    /// A document that claims to be larger than any is.
    #[error("{what}: expected at most {most} bytes, found {found}")]
    DocumentTooLarge {
        /// The document.
        what: String,
        /// The limit.
        most: u64,
        /// The claimed size, or `more`.
        found: String,
    },
    /// A document or layer of a kind that is not known.
    #[error("{what}: expected the media type {expected}, found {found:?}")]
    MediaTypeUnknown {
        /// Of what.
        what: String,
        /// The known ones.
        expected: &'static str,
        /// The found type.
        found: String,
    },
    /// A manifest of Docker's first form.
    #[error(
        "{what}: expected a manifest of schema 2 or of OCI, found schema 1, which cannot be verified; push the image again with a current tool"
    )]
    SchemaOne {
        /// The document.
        what: String,
    },
    /// A layer that its registry may not hand out.
    #[error(
        "layer {digest}: expected one that the registry distributes, found the foreign layer {media_type}, which lies elsewhere; take an image without foreign layers"
    )]
    ForeignLayer {
        /// The layer.
        digest: String,
        /// Its media type.
        media_type: String,
    },
    /// A layer's archive cannot be read.
    #[error("layer {layer}, byte {offset} of its archive: expected {expected}, found {found}")]
    LayerCorrupt {
        /// The layer; the lowest is 0.
        layer: usize,
        /// The offset in the uncompressed archive.
        offset: u64,
        /// The content that an archive must have there.
        expected: String,
        /// The found content.
        found: String,
    },
    /// An entry of a layer that no file system can have, or that reaches out of the root.
    #[error("layer {layer}, entry {path:?}: expected {expected}, found {found}")]
    EntryRefused {
        /// The layer; the lowest is 0.
        layer: usize,
        /// The entry.
        path: String,
        /// The allowed entries.
        expected: String,
        /// The found entry.
        found: String,
    },
    /// More than the limits allow.
    #[error(
        "{what}: expected at most {most} ({limit}), found {found}; raise the limit if the image is trusted"
    )]
    LimitExceeded {
        /// The limit's subject.
        what: String,
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        most: u64,
        /// The found amount, as far as it was read.
        found: u64,
    },
    /// The registry cannot be spoken with.
    #[error("{url}: expected an answer of the registry, found: {reason}")]
    RegistryUnreachable {
        /// The requested URL.
        url: String,
        /// The problem.
        reason: String,
    },
    /// The registry answered with an error status.
    #[error("{url}: expected it to be there, found status {status}{detail}")]
    RegistryRefused {
        /// The requested URL.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// The registry's message, after a colon.
        detail: String,
    },
    /// The registry does not speak the protocol.
    #[error("{url}: expected {expected}, found {found}")]
    RegistryInvalid {
        /// The requested URL.
        url: String,
        /// The protocol's requirement.
        expected: String,
        /// The found answer.
        found: String,
    },
    /// The registry does not let this user in.
    #[error("{registry}: expected access, found: {reason}; log in with: docker login {registry}")]
    Unauthorized {
        /// The registry.
        registry: String,
        /// The credentials that were sent, and the result.
        reason: String,
    },
    /// The configuration of Docker, or a helper that it names, is unusable.
    #[error("{source_name}: expected credentials, found: {reason}")]
    CredentialsUnusable {
        /// The file or helper.
        source_name: String,
        /// The problem.
        reason: String,
    },
    /// Plain HTTP to another host.
    #[error("{url}: expected https, found plain HTTP to a host that is not this one")]
    Insecure {
        /// The target.
        url: String,
    },
    /// Nothing came for too long.
    #[error("{what}: expected something to arrive within {after_millis} ms, found nothing")]
    TimedOut {
        /// The awaited operation.
        what: String,
        /// For how long.
        after_millis: u64,
    },
    /// The cache cannot be used.
    #[error("{path}: expected to use the cache, found: {reason}")]
    CacheUnusable {
        /// The path.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// The disk of the cache is full.
    #[error("{path}: expected room for the image, found a full disk; free some, or move the cache")]
    DiskFull {
        /// The path.
        path: String,
    },
    /// The cache may not take so much.
    #[error(
        "cache: expected room for {needed} bytes within {most}, found {held} held by images in use; raise maxBytes or close some of their users"
    )]
    CacheFull {
        /// The limit.
        most: u64,
        /// Size of the image.
        needed: u64,
        /// Bytes of images that are in use.
        held: u64,
    },
    /// The caller has given it up.
    #[error("the image is not wanted any more")]
    Cancelled,
    /// An error of this library.
    #[error("an error of the library: {message}; please report it")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

impl ImageError {
    /// The variant's fixed name, the same on every side of the bridge.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReferenceInvalid { .. } => "ReferenceInvalid",
            Self::OptionInvalid { .. } => "OptionInvalid",
            Self::SourceUnreadable { .. } => "SourceUnreadable",
            Self::SourceInvalid { .. } => "SourceInvalid",
            Self::ImageUnknown { .. } => "ImageUnknown",
            Self::PlatformMissing { .. } => "PlatformMissing",
            Self::BlobMissing { .. } => "BlobMissing",
            Self::BlobSizeWrong { .. } => "BlobSizeWrong",
            Self::BlobDigestWrong { .. } => "BlobDigestWrong",
            Self::DiffIdWrong { .. } => "DiffIdWrong",
            Self::DocumentInvalid { .. } => "DocumentInvalid",
            Self::DocumentTooLarge { .. } => "DocumentTooLarge",
            Self::MediaTypeUnknown { .. } => "MediaTypeUnknown",
            Self::SchemaOne { .. } => "SchemaOne",
            Self::ForeignLayer { .. } => "ForeignLayer",
            Self::LayerCorrupt { .. } => "LayerCorrupt",
            Self::EntryRefused { .. } => "EntryRefused",
            Self::LimitExceeded { .. } => "LimitExceeded",
            Self::RegistryUnreachable { .. } => "RegistryUnreachable",
            Self::RegistryRefused { .. } => "RegistryRefused",
            Self::RegistryInvalid { .. } => "RegistryInvalid",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::CredentialsUnusable { .. } => "CredentialsUnusable",
            Self::Insecure { .. } => "Insecure",
            Self::TimedOut { .. } => "TimedOut",
            Self::CacheUnusable { .. } => "CacheUnusable",
            Self::DiskFull { .. } => "DiskFull",
            Self::CacheFull { .. } => "CacheFull",
            Self::Cancelled => "Cancelled",
            Self::Panicked { .. } => "Panicked",
        }
    }

    /// An error of the system at a file of the cache.
    pub fn of_cache(path: &Path, error: &io::Error) -> Self {
        let path = path.display().to_string();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::CacheUnusable { path, reason: error.to_string() },
        }
    }

    /// An error of the system at a file of the source.
    pub fn of_source(path: &Path, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "it does not exist".to_owned(),
            _ => error.to_string(),
        };
        Self::SourceUnreadable { path: path.display().to_string(), reason }
    }
}

/// An [`ImageError`] on its way through [`std::io::Read`].
///
/// Code that reads through several decoders gets its own error back with [`ImageError::from_io`].
impl From<ImageError> for io::Error {
    fn from(error: ImageError) -> Self {
        Self::other(error)
    }
}

impl ImageError {
    /// The error that `error` carries, or what `other` makes of one of the system's.
    pub fn from_io(error: io::Error, other: impl FnOnce(io::Error) -> Self) -> Self {
        match error.downcast::<Self>() {
            Ok(carried) => carried,
            Err(plain) => other(plain),
        }
    }
}
