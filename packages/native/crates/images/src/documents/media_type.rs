//! The kinds of documents and layers.
//!
//! Source: OCI image specification, `media-types.md`; Docker's `manifest-v2-2.md`.

/// The compression of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// The properties of a layer in its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// A tar archive, compressed like that.
    Archive(Compression),
}

pub(super) const MANIFEST_TYPES: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

pub(super) const INDEX_TYPES: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

pub(super) const SCHEMA_ONE_TYPES: &[&str] = &[
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

pub(super) const IMAGE_TYPES: &str = "of an OCI image manifest or index, or of Docker's schema 2 (application/vnd.oci.image.manifest.v1+json …)";

pub(super) const LAYER_TYPES: &str =
    "of a tar archive, plain or with gzip or zstd (application/vnd.oci.image.layer.v1.tar+gzip …)";

pub(super) fn layer_kind(media_type: &str) -> Option<LayerKind> {
    let compression = match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Compression::None,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Compression::Gzip,
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Compression::Zstd,
        _ => return None,
    };
    Some(LayerKind::Archive(compression))
}

/// Layers that registries point elsewhere for; the OCI names are deprecated since 1.1.
pub(super) fn is_foreign(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
        || media_type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
}
