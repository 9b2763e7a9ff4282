//! The endpoint of a registry: itself, or a mirror.

use super::options::RegistryOptions;
use crate::error::ImageError;

/// The endpoint of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `https://HOST`, without a slash at the end.
    pub(super) base: String,
    /// Host and port, by which it is known in configurations.
    pub(super) registry: String,
    /// Whether plain HTTP to this host is allowed.
    pub(super) is_local: bool,
}

/// The name that Docker Hub is known by, and the host that speaks for it: `docker.io` itself answers no registry's questions, and
/// references to it are what most people have.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

impl Endpoint {
    /// The mirrors of a registry, then itself.
    pub(super) fn all(registry: &str, options: &RegistryOptions) -> Result<Vec<Self>, ImageError> {
        let mut all = Vec::new();
        for mirror in &options.mirrors {
            let invalid = || ImageError::OptionInvalid {
                option: format!("mirrors of {registry}"),
                expected: "URLs with https, or of this host",
                found: mirror.chars().take(200).collect(),
            };
            let (is_plain, rest) =
                match (mirror.strip_prefix("https://"), mirror.strip_prefix("http://")) {
                    (Some(rest), _) => (false, rest),
                    (_, Some(rest)) => (true, rest),
                    _ => return Err(invalid()),
                };
            let host = rest.trim_end_matches('/');
            if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
                return Err(invalid());
            }
            if is_plain && !super::http::is_loopback(without_port(host)) {
                return Err(ImageError::Insecure { url: mirror.clone() });
            }
            let scheme = if is_plain { "http" } else { "https" };
            all.push(Self {
                base: format!("{scheme}://{host}"),
                registry: host.to_owned(),
                is_local: is_plain,
            });
        }
        let host = if registry == HUB.0 { HUB.1 } else { registry };
        let is_local = super::http::is_loopback(without_port(host)) && !options.is_tls;
        let scheme = if is_local { "http" } else { "https" };
        all.push(Self {
            base: format!("{scheme}://{host}"),
            registry: registry.to_owned(),
            is_local,
        });
        Ok(all)
    }

    /// The names by which Docker's configuration may know it.
    pub(super) fn names(&self) -> Vec<&str> {
        if self.registry == HUB.0 {
            vec!["https://index.docker.io/v1/", "docker.io", "index.docker.io"]
        } else {
            vec![&self.registry]
        }
    }
}

/// A repository's name at its registry: Docker Hub has a folder for official images.
pub(super) fn repository(registry: &str, name: &str) -> String {
    if registry == HUB.0 && !name.contains('/') {
        format!("library/{name}")
    } else {
        name.to_owned()
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_is_spoken_with_where_it_answers_and_others_where_they_are_named() {
        let base = |registry: &str| {
            let all = Endpoint::all(registry, &RegistryOptions::default()).expect("no mirrors");
            all.into_iter().map(|endpoint| endpoint.base).collect::<Vec<_>>()
        };
        assert_eq!(base("docker.io"), ["https://registry-1.docker.io"]);
        assert_eq!(base("registry.test:5000"), ["https://registry.test:5000"]);
        assert_eq!(repository("docker.io", "redis"), "library/redis");
        assert_eq!(repository("docker.io", "me/redis"), "me/redis");
        assert_eq!(repository("registry.test", "redis"), "redis");
    }
}
