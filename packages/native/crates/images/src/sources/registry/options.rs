//! Options for access to registries.

use super::credentials::Credentials;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Options for all registries, and for single ones.
#[derive(Debug, Clone)]
pub struct Registries {
    /// Options of single registries, by host and port.
    pub by_host: BTreeMap<String, RegistryOptions>,
    /// Docker's configuration; `None`: where Docker itself has it.
    pub docker_config: Option<PathBuf>,
    /// Maximum time without a byte.
    pub silence: Duration,
}

impl Default for Registries {
    fn default() -> Self {
        Self { by_host: BTreeMap::new(), docker_config: None, silence: Duration::from_secs(30) }
    }
}

/// Options of one registry.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// URLs of others that have the same images, asked first, in this order.
    pub mirrors: Vec<String>,
    /// In place of what Docker's configuration says.
    pub credentials: Option<Credentials>,
    /// Files of certificates of authorities that are trusted besides the system's.
    pub authorities: Vec<PathBuf>,
    /// Whether TLS is used for a registry on this host. It is always used for others.
    pub is_tls: bool,
}
