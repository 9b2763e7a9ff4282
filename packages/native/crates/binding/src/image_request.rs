//! The requested image, and its cache.

use crate::event_batch::integer;
use crate::failure::Failure;
use napi_derive::napi;
use std::time::Duration;
use stillpoint_images::error::ImageError;
use stillpoint_images::limits::Limits;
use stillpoint_images::resolve::{Request, Store};
use stillpoint_images::sources::registry::{Credentials, Registries, RegistryOptions};

/// Limits on the host's resources for an image; defaults if absent.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct ImageLimits {
    /// Entries of all layers.
    pub entries: Option<f64>,
    /// Bytes of all files, holes included.
    pub unpacked_bytes: Option<f64>,
    /// Bytes that a layer may unpack to for each of its own.
    pub ratio: Option<f64>,
    /// Bytes of names, links, attributes and maps of holes.
    pub metadata_bytes: Option<f64>,
    /// Directories inside one another.
    pub depth: Option<f64>,
    /// Layers.
    pub layers: Option<f64>,
}

/// Options of one registry.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct ImageRegistry {
    /// Host and port, as in references.
    pub registry: String,
    /// URLs of mirrors, in their order.
    pub mirrors: Vec<String>,
    /// A user's name, with a password.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// A token in their place.
    pub identity_token: Option<String>,
    /// Files of certificates of authorities that are trusted.
    pub certificate_authorities: Vec<String>,
    /// Whether TLS is used for a registry on this host.
    pub tls: bool,
}

/// Options for the image cache and for access to registries.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct ImageStore {
    /// The cache's folder.
    pub cache_directory: String,
    /// Bytes that it may take.
    pub max_bytes: f64,
    /// Single registries.
    pub registries: Vec<ImageRegistry>,
    /// Docker's configuration; absent: where Docker has it.
    pub docker_config: Option<String>,
    /// Maximum time without a byte from a registry.
    pub silence_millis: f64,
}

/// The requested image.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct ImageRequest {
    /// Its reference.
    pub reference: String,
    /// Its platform.
    pub platform: String,
    /// Its limits.
    pub limits: ImageLimits,
}

impl From<ImageStore> for Store {
    fn from(store: ImageStore) -> Self {
        let by_host = store.registries.into_iter().map(|one| {
            let credentials = match (one.username, one.password, one.identity_token) {
                (_, _, Some(token)) => Some(Credentials::IdentityToken(token)),
                (Some(username), Some(password), None) => {
                    Some(Credentials::Password { username, password })
                }
                _ => None,
            };
            let options = RegistryOptions {
                mirrors: one.mirrors,
                credentials,
                authorities: one.certificate_authorities.into_iter().map(Into::into).collect(),
                is_tls: one.tls,
            };
            (one.registry, options)
        });
        Self {
            directory: store.cache_directory.into(),
            most_bytes: integer(store.max_bytes),
            registries: Registries {
                by_host: by_host.collect(),
                docker_config: store.docker_config.map(Into::into),
                silence: Duration::from_millis(integer(store.silence_millis)),
            },
        }
    }
}

impl TryFrom<ImageRequest> for Request {
    type Error = ImageError;

    fn try_from(request: ImageRequest) -> Result<Self, ImageError> {
        let usual = Limits::default();
        let limit = |given: Option<f64>, usual: u64| given.map_or(usual, integer);
        let ImageLimits { entries, unpacked_bytes, ratio, metadata_bytes, depth, layers } =
            request.limits;
        Ok(Self {
            reference: request.reference.parse()?,
            platform: request.platform.parse()?,
            limits: Limits {
                entries: limit(entries, usual.entries),
                unpacked_bytes: limit(unpacked_bytes, usual.unpacked_bytes),
                ratio: limit(ratio, usual.ratio),
                metadata_bytes: limit(metadata_bytes, usual.metadata_bytes),
                depth: limit(depth, usual.depth),
                layers: limit(layers, usual.layers),
                ratio_free_bytes: usual.ratio_free_bytes,
            },
        })
    }
}

pub(crate) fn failure(error: &ImageError) -> Failure {
    Failure::new("ImageError", error.name(), error)
}
