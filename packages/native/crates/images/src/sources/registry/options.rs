//! How registries are spoken with.

use super::credentials::Credentials;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How all registries are spoken with, and single ones.
#[derive(Debug, Clone)]
pub struct Registries {
    /// What is said of single ones, by host and port.
    pub by_host: BTreeMap<String, RegistryOptions>,
    /// Docker's configuration; `None`: where Docker itself has it.
    pub docker_config: Option<PathBuf>,
    /// How long nothing may come before it is given up.
    pub silence: Duration,
}

impl Default for Registries {
    fn default() -> Self {
        Self { by_host: BTreeMap::new(), docker_config: None, silence: Duration::from_secs(30) }
    }
}

/// What is said of one registry.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// URLs of others that have the same images, asked first, in this order.
    pub mirrors: Vec<String>,
    /// In place of what Docker's configuration says.
    pub credentials: Option<Credentials>,
    /// Files of certificates of authorities that are trusted besides the system's.
    pub authorities: Vec<PathBuf>,
    /// Whether a registry of this host is spoken with by TLS. Others always are.
    pub is_tls: bool,
}
