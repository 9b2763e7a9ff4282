//! Credentials: from the caller, from Docker's configuration, or from the helper that it names.
//!
//! ```text
//! config.json  {"auths": {HOST: {"auth": BASE64 of NAME:PASSWORD, "identitytoken": …}},
//!               "credHelpers": {HOST: HELPER}, "credsStore": HELPER}
//! docker-credential-HELPER get   HOST on its input, {"Username", "Secret"} on its output
//! ```
//!
//! Source: `docker login`, "Credential stores" of Docker's reference.

use crate::error::ImageError;
use crate::sources::files::read_file;
use crate::watch::Watch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Credentials. Their secret parts are not printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password, or a token in its place.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A token that is exchanged for access tokens.
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Password { .. } => "Password { .. }",
            Self::IdentityToken(_) => "IdentityToken(..)",
        })
    }
}

impl Credentials {
    /// As HTTP's basic authentication has them.
    pub(super) fn basic(username: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
struct Auth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

const MOST_CONFIG_BYTES: u64 = 1 << 20;
const HELPER_WAITS: Duration = Duration::from_secs(30);

fn unusable(source_name: impl ToString, reason: impl ToString) -> ImageError {
    ImageError::CredentialsUnusable {
        source_name: source_name.to_string(),
        reason: reason.to_string(),
    }
}

/// The default path of Docker's configuration.
fn usual_path() -> Option<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DOCKER_CONFIG")
        .or_else(|| set("HOME").map(|home| home.join(".docker")))
        .map(|folder| folder.join("config.json"))
}

/// The credentials for a registry in Docker's configuration, under any of `names`.
///
/// # Errors
/// If it exists and cannot be used.
pub(super) fn of_docker(
    path: Option<&Path>,
    names: &[&str],
    watch: &Watch,
) -> Result<Option<Credentials>, ImageError> {
    let Some(path) = path.map(Path::to_owned).or_else(usual_path) else { return Ok(None) };
    let text = match read_file(&path, MOST_CONFIG_BYTES) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| unusable(path.display(), error))?,
    };
    let found: Configuration =
        serde_json::from_slice(&text).map_err(|error| unusable(path.display(), error))?;
    // `https://HOST/v1/` and `HOST` are the same to Docker.
    let host = |key: &str| {
        let rest =
            key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        rest.split('/').next().unwrap_or_default().to_owned()
    };
    let is_meant = |key: &str| names.contains(&key) || names.contains(&host(key).as_str());
    if let Some((key, helper)) = found.cred_helpers.iter().find(|(key, _)| is_meant(key)) {
        return ask(helper, key, watch);
    }
    let named = found.auths.iter().find(|(key, _)| is_meant(key));
    if let Some(store) = found.creds_store.as_deref().filter(|store| !store.is_empty()) {
        return match named {
            Some((key, _)) => ask(store, key, watch),
            None => names.first().map_or(Ok(None), |name| ask(store, name, watch)),
        };
    }
    named.map_or(Ok(None), |(key, auth)| {
        of_auth(auth).map_err(|reason| unusable(format!("{}, {key}", path.display()), reason))
    })
}

fn of_auth(auth: &Auth) -> Result<Option<Credentials>, &'static str> {
    if let Some(token) = auth.identitytoken.as_ref().filter(|token| !token.is_empty()) {
        return Ok(Some(Credentials::IdentityToken(token.clone())));
    }
    if let (Some(username), Some(password)) = (&auth.username, &auth.password) {
        let (username, password) = (username.clone(), password.clone());
        return Ok(Some(Credentials::Password { username, password }));
    }
    let Some(encoded) = auth.auth.as_ref().filter(|auth| !auth.is_empty()) else { return Ok(None) };
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| "auth is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "auth is not text")?;
    let (username, password) = text.split_once(':').ok_or("auth holds no name and password")?;
    let password = password.trim_end_matches('\0').to_owned();
    Ok(Some(Credentials::Password { username: username.to_owned(), password }))
}

/// Asks a helper.
fn ask(helper: &str, server: &str, watch: &Watch) -> Result<Option<Credentials>, ImageError> {
    let name = format!("docker-credential-{helper}");
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if helper.is_empty() || !helper.bytes().all(is_name) {
        return Err(unusable(name, "no name of a program"));
    }
    let failed = |error: std::io::Error| unusable(&name, error);
    let mut command = Command::new(&name);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read its input may still answer, or fails.
        let _ = input.write_all(server.as_bytes());
    }
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        output.map(|output| output.take(MOST_CONFIG_BYTES).read_to_end(&mut text));
        text
    });
    let is_well = wait(&mut child, &name, watch)?;
    let text = reader.join().unwrap_or_default();
    if !is_well {
        let said = String::from_utf8_lossy(&text).trim().to_owned();
        // The message of helpers that have no credentials for a registry.
        if said.contains("credentials not found") || said.contains("no credentials") {
            return Ok(None);
        }
        return Err(unusable(&name, if said.is_empty() { "it failed".to_owned() } else { said }));
    }
    let answer: Answer = serde_json::from_slice(&text).map_err(|error| unusable(&name, error))?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credentials::IdentityToken(answer.secret),
        _ => Credentials::Password { username: answer.username, password: answer.secret },
    }))
}

/// Whether the helper succeeded; one that takes too long is killed.
fn wait(child: &mut Child, name: &str, watch: &Watch) -> Result<bool, ImageError> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| unusable(name, error))? {
            return Ok(status.success());
        }
        let error = if begun.elapsed() > HELPER_WAITS {
            let after_millis = HELPER_WAITS.as_millis() as u64;
            Some(ImageError::TimedOut { what: name.to_owned(), after_millis })
        } else {
            watch.pause(Duration::from_millis(5)).err()
        };
        if let Some(error) = error {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    }
}
