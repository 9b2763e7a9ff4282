//! An image that was resolved.

use crate::event_batch::seq;
use napi_derive::napi;
use std::collections::HashMap;
use std::time::UNIX_EPOCH;
use stillpoint_images::cache::{Cached, Held};
use stillpoint_images::resolve::Resolved;

/// An image's configuration for execution.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct ImageExecution {
    /// The user.
    pub user: String,
    /// `80/tcp`, …
    pub exposed_ports: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// The program.
    pub entrypoint: Vec<String>,
    /// Its arguments.
    pub cmd: Vec<String>,
    /// Folders whose content is to outlive a container.
    pub volumes: Vec<String>,
    /// The working directory.
    pub working_dir: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// The signal that asks it to end.
    pub stop_signal: String,
}

/// A resolved image.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct ImageFacts {
    /// Its file.
    pub file: String,
    /// BLAKE3 of that, in hexadecimal digits.
    pub digest: String,
    /// Length of that.
    pub size_bytes: f64,
    /// Digest of its manifest, or of its configuration if it has none.
    pub image_digest: String,
    /// Its platform.
    pub platform: String,
    /// Its configuration for execution.
    pub config: ImageExecution,
    /// Digests of what its layers unpack to, the lowest first.
    pub layers: Vec<String>,
    /// Files, directories, links, devices and pipes in it.
    pub inodes: f64,
    /// Names of extended attributes that were left out.
    pub ignored_xattrs: Vec<String>,
    /// Whether it was in the cache already.
    pub was_cached: bool,
}

/// An image of the cache.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct CachedImage {
    /// BLAKE3 of its file, in hexadecimal digits.
    pub digest: String,
    /// Length of that.
    pub size_bytes: f64,
    /// Digests of what its layers unpack to, the lowest first.
    pub layers: Vec<String>,
    /// The time of its last use, in milliseconds since 1970.
    pub last_used_millis: f64,
    /// Whether it is in use.
    pub in_use: bool,
}

/// An image that stays in the cache while this is held.
#[napi]
pub struct NativeImage {
    held: Option<Held>,
    facts: Option<ImageFacts>,
}

#[napi]
impl NativeImage {
    /// Its facts; the first call takes them.
    #[napi]
    pub fn take_facts(&mut self) -> Option<ImageFacts> {
        self.facts.take()
    }

    /// It may go.
    #[napi]
    pub fn release(&mut self) {
        self.held = None;
    }
}

impl From<Resolved> for NativeImage {
    fn from(resolved: Resolved) -> Self {
        let Resolved { held, digest, platform, execution, was_cached } = resolved;
        let description = &held.description;
        let facts = ImageFacts {
            file: held.file.to_string_lossy().into_owned(),
            digest: description.digest.clone(),
            size_bytes: seq(description.size_bytes),
            image_digest: digest.to_string(),
            platform: platform.to_string(),
            config: ImageExecution {
                user: execution.user,
                exposed_ports: execution.exposed_ports,
                env: execution.env,
                entrypoint: execution.entrypoint,
                cmd: execution.cmd,
                volumes: execution.volumes,
                working_dir: execution.working_dir,
                labels: execution.labels.into_iter().collect(),
                stop_signal: execution.stop_signal,
            },
            layers: description.layers.clone(),
            inodes: seq(description.inodes),
            ignored_xattrs: description.ignored_xattrs.clone(),
            was_cached,
        };
        Self { held: Some(held), facts: Some(facts) }
    }
}

impl From<Cached> for CachedImage {
    fn from(cached: Cached) -> Self {
        let since = cached.last_used.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            digest: cached.description.digest,
            size_bytes: seq(cached.description.size_bytes),
            layers: cached.description.layers,
            last_used_millis: since.as_millis() as f64,
            in_use: cached.is_in_use,
        }
    }
}
