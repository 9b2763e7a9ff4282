//! An image's configuration: what its layers unpack to, and how it is run.

use super::null_is_empty;
use crate::digest::Digest;
use crate::platform::Platform;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The image's configuration for execution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// `NAME`, `UID`, `NAME:GROUP`, …; names are of the image's own files.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub user: String,
    /// `80/tcp`, …
    #[serde(default, deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// `NAME=VALUE`.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub env: Vec<String>,
    /// The program.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments; without an entry point, the program and its arguments.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub cmd: Vec<String>,
    /// Folders whose content is to outlive a container.
    #[serde(default, deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// The working directory.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub working_dir: String,
    /// Its labels.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to end: `SIGTERM`, `15`, …
    #[serde(default, deserialize_with = "null_is_empty")]
    pub stop_signal: String,
}

/// The keys of a map whose values say nothing, which is how sets are written.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let map = Option::<BTreeMap<String, serde::de::IgnoredAny>>::deserialize(deserializer)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) diff_ids: Vec<Digest>,
}

/// A configuration.
#[derive(Debug, Clone, Deserialize)]
pub struct Configuration {
    /// Its platform.
    #[serde(flatten)]
    pub platform: Platform,
    /// Its configuration for execution.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub config: Execution,
    pub(crate) rootfs: RootFs,
}

impl Configuration {
    /// Digests of what its layers unpack to, the lowest first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }
}
