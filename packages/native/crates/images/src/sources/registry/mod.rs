//! A registry.
//!
//! ```text
//! GET /v2/NAME/manifests/TAG-or-DIGEST   an index or a manifest
//! GET /v2/NAME/blobs/DIGEST              everything else
//! ```
//!
//! Plain HTTP is for this host only. Mirrors are tried first; one that lacks the content, or cannot be
//! reached, is skipped. A temporary failure is retried, and a blob continues where it broke off. Secrets are
//! sent to the registry that they belong to, never to a redirect's target.
//!
//! Source: OCI distribution specification 1.1, "Pull".

mod arrival;
mod artifact;
mod blob;
mod credentials;
mod endpoint;
mod http;
mod login;
mod options;
mod steady;

pub use arrival::{Arrival, ArrivalState, Arriving, ArrivingFile};
pub use artifact::{Artifact, MOST_PIECE_BYTES, Piece, Place, Pushed};
pub use credentials::Credentials;
pub use options::{Registries, RegistryOptions};

use super::{Root, Source};
use crate::digest::{Digest, Hasher};
use crate::documents::{Descriptor, MOST_DOCUMENT_BYTES, accepted_types, read_document};
use crate::error::ImageError;
use crate::reference::Selector;
use crate::watch::Watch;
use blob::Blob;
use endpoint::{Endpoint, repository};
use http::{Answer, Ask, Client, Verb};
use login::{Login, challenge};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use steady::Steady;
use ureq::BodyReader;

/// A blob's bytes, as they come.
type Body = Steady<BodyReader<'static>>;

/// Attempts at what fails for a moment.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// An image of a registry.
pub struct RegistrySource<'a> {
    client: Client,
    endpoints: Vec<Endpoint>,
    name: String,
    registry: String,
    selector: Selector,
    options: RegistryOptions,
    docker_config: Option<PathBuf>,
    watch: &'a Watch,
    /// The actions on the repository, in a scope.
    actions: &'static str,
    /// The authorization for each endpoint, once it is known.
    shown: RefCell<HashMap<String, String>>,
}

impl<'a> RegistrySource<'a> {
    /// That image of that registry.
    ///
    /// # Errors
    /// For options that cannot be.
    pub fn new(
        registries: &Registries,
        registry: &str,
        name: &str,
        selector: &Selector,
        watch: &'a Watch,
    ) -> Result<Self, ImageError> {
        let options = registries.by_host.get(registry).cloned().unwrap_or_default();
        let client = Client::new(registries, &options)?;
        client.end_with(watch);
        Ok(Self {
            endpoints: Endpoint::all(registry, &options)?,
            name: repository(registry, name),
            registry: registry.to_owned(),
            selector: selector.clone(),
            client,
            options,
            docker_config: registries.docker_config.clone(),
            watch,
            actions: "pull",
            shown: RefCell::default(),
        })
    }

    /// Asks the registry alone from now on; whether mirrors would have been asked.
    pub fn pass_over_mirrors(&mut self) -> bool {
        let mirrors = self.endpoints.len().saturating_sub(1);
        self.endpoints.drain(..mirrors);
        mirrors > 0
    }

    fn blob_url(&self, endpoint: &Endpoint, digest: &Digest) -> String {
        format!("{}/v2/{}/blobs/{digest}", endpoint.base, self.name)
    }

    /// Sends a request to one endpoint, authenticates as required, and retries temporary failures.
    fn ask(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> Result<Answer, ImageError> {
        self.patiently(|| {
            let answer = self.ask_once(endpoint, ask)?;
            if is_of_a_moment(answer.status().as_u16()) {
                Err(refusal(&self.client, answer))
            } else {
                Ok(answer)
            }
        })
    }

    /// Does again what fails for a moment.
    fn patiently<T>(&self, attempt: impl Fn() -> Result<T, ImageError>) -> Result<T, ImageError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match attempt() {
                Err(ImageError::RegistryUnreachable { .. }) => {}
                Err(ImageError::RegistryRefused { status, .. }) if is_of_a_moment(status) => {}
                done => return done,
            }
            self.watch.pause(pause)?;
            pause *= 4;
        }
        attempt()
    }

    fn ask_once(&self, endpoint: &Endpoint, asked: &Ask<'_>) -> Result<Answer, ImageError> {
        let url = asked.url;
        let shown = self.shown.borrow().get(&endpoint.base).cloned();
        let ask = |authorization: Option<&str>| {
            self.client.ask(&Ask { authorization, ..*asked }, endpoint.is_local, self.watch)
        };
        let answer = ask(shown.as_deref())?;
        if answer.status().as_u16() != 401 || answer.url != url {
            return Ok(answer);
        }
        // The authorization may have expired; a new one is obtained once.
        let invalid = |found: &str| ImageError::RegistryInvalid {
            url: url.to_owned(),
            expected: "a challenge of Basic or Bearer".to_owned(),
            found: found.chars().take(200).collect(),
        };
        let header = answer.header("www-authenticate").ok_or_else(|| invalid("none"))?;
        let challenge = challenge(header).ok_or_else(|| invalid(header))?;
        let credentials = match &self.options.credentials {
            Some(given) if endpoint.registry == self.registry => Some(given.clone()),
            _ => credentials::of_docker(
                self.docker_config.as_deref(),
                &endpoint.names(),
                self.watch,
            )?,
        };
        let login = Login {
            client: &self.client,
            registry: &endpoint.registry,
            credentials: credentials.as_ref(),
            is_local: endpoint.is_local,
        };
        let scope = format!("repository:{}:{}", self.name, self.actions);
        let shown = login.answer(&challenge, &scope, self.watch)?;
        let answer = ask(Some(&shown))?;
        if answer.status().as_u16() == 401 {
            let reason = "its credentials are refused".to_owned();
            return Err(ImageError::Unauthorized { registry: endpoint.registry.clone(), reason });
        }
        self.shown.borrow_mut().insert(endpoint.base.clone(), shown);
        Ok(answer)
    }

    /// Asks the mirrors, then the registry; the error is the registry's.
    fn first<'s, T>(
        &'s self,
        ask: impl Fn(&'s Endpoint) -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let mut last = None;
        for endpoint in &self.endpoints {
            match ask(endpoint) {
                Err(ImageError::Cancelled) => return Err(ImageError::Cancelled),
                Err(error) => last = Some(error),
                found => return found,
            }
        }
        Err(last.unwrap_or(ImageError::Cancelled))
    }

    /// The bytes of a blob in `wanted`, and where those that come stand in it: a registry need not know ranges.
    fn open_at(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
        size: u64,
        wanted: &Range<u64>,
    ) -> Result<(Body, Range<u64>), ImageError> {
        let url = self.blob_url(endpoint, digest);
        let (from, to) = (wanted.start, (wanted.end < size).then_some(wanted.end));
        let answer = self.ask(endpoint, &Ask { from, to, ..Ask::of(&url, Verb::Get) })?;
        let status = answer.status().as_u16();
        if status == 404 {
            let place = format!("{}/{}", self.registry, self.name);
            return Err(ImageError::BlobMissing { place, digest: digest.to_string() });
        }
        let is_range = from > 0 || to.is_some();
        if status != 200 && (status != 206 || !is_range) {
            return Err(refusal(&self.client, answer));
        }
        let coming = if status == 206 { wanted.clone() } else { 0..size };
        if status == 206 {
            let begins = format!("bytes {from}-");
            let range = answer.header("content-range").unwrap_or_default();
            if !range.starts_with(&begins) {
                let found = range.to_owned();
                return Err(ImageError::RegistryInvalid { url, expected: begins, found });
            }
        }
        let length = answer.response.body().content_length();
        if let Some(length) = length.filter(|length| *length != coming.end - coming.start) {
            let found = length.saturating_add(coming.start).to_string();
            let digest = digest.to_string();
            return Err(ImageError::BlobSizeWrong { digest, expected: coming.end, found });
        }
        let body = answer.response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok((self.client.steady(body), coming))
    }

    /// The requested content: its digest, its size, and the announced media type.
    fn selected(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(Digest, Vec<u8>, Option<String>), ImageError> {
        let which = match &self.selector {
            Selector::Only => "latest".to_owned(),
            Selector::Tag(tag) => tag.clone(),
            Selector::Digest(digest) => digest.to_string(),
        };
        let (bytes, announced) = self.manifest(endpoint, &which)?;
        let digest = match &self.selector {
            Selector::Digest(expected) => {
                verify(expected, &bytes)?;
                expected.clone()
            }
            _ => Digest::sha256(&bytes),
        };
        Ok((digest, bytes, announced))
    }

    /// A manifest or index: its bytes, and the media type that it is announced with.
    fn manifest(
        &self,
        endpoint: &Endpoint,
        which: &str,
    ) -> Result<(Vec<u8>, Option<String>), ImageError> {
        let url = format!("{}/v2/{}/manifests/{which}", endpoint.base, self.name);
        let accept = accepted_types();
        let ask = Ask { accept: Some(&accept), ..Ask::of(&url, Verb::Get) };
        let mut answer = self.ask(endpoint, &ask)?;
        if answer.status().as_u16() == 404 {
            return Err(ImageError::ImageUnknown {
                place: endpoint.registry.clone(),
                expected: format!("{}:{which}", self.name).replace(":sha", "@sha"),
                found: "none of that name".to_owned(),
            });
        }
        if answer.status().as_u16() != 200 {
            return Err(refusal(&self.client, answer));
        }
        let too_large = |found: String| ImageError::DocumentTooLarge {
            what: url.clone(),
            most: MOST_DOCUMENT_BYTES,
            found,
        };
        let length = answer.response.body().content_length();
        if let Some(length) = length.filter(|length| *length > MOST_DOCUMENT_BYTES) {
            return Err(too_large(format!("{length} bytes")));
        }
        let announced = answer
            .header("content-type")
            .map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
        let said = answer.header("docker-content-digest").map(str::parse::<Digest>);
        let mut bytes = Vec::new();
        let body = answer.response.body_mut().with_config().limit(u64::MAX).reader();
        let reader = self.client.steady(body);
        let read = reader.take(MOST_DOCUMENT_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| {
            self.watch
                .check()
                .err()
                .unwrap_or_else(|| self.client.failed(&url, &ureq::Error::from(error)))
        })?;
        if bytes.len() as u64 > MOST_DOCUMENT_BYTES {
            return Err(too_large("more".to_owned()));
        }
        if let Some(Ok(expected)) = said {
            verify(&expected, &bytes)?;
        }
        Ok((bytes, announced))
    }
}

fn verify(expected: &Digest, bytes: &[u8]) -> Result<(), ImageError> {
    let mut hasher = Hasher::new(expected.algorithm());
    hasher.update(bytes);
    let found = hasher.finish();
    if found == *expected {
        return Ok(());
    }
    Err(ImageError::BlobDigestWrong { expected: expected.to_string(), found: found.to_string() })
}

fn is_of_a_moment(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// The error for a registry's refusal.
fn refusal(client: &Client, mut answer: Answer) -> ImageError {
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    // A message that cannot be read to its end is used as far as it came.
    let reader = client.steady(answer.response.body_mut().as_reader());
    let _ = reader.take(4096).read_to_end(&mut body);
    let text = String::from_utf8_lossy(&body);
    let said: String =
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    let detail = if said.is_empty() { said } else { format!(": {said}") };
    ImageError::RegistryRefused { url: answer.url, status, detail }
}

impl Source for RegistrySource<'_> {
    fn place(&self) -> String {
        format!("{}/{}", self.registry, self.name)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, ImageError> {
        self.first(|endpoint| {
            // Manifests are asked for as such: many registries do not hand them out as blobs.
            if crate::documents::is_manifest(&descriptor.media_type) {
                let (bytes, _) = self.manifest(endpoint, &descriptor.digest.to_string())?;
                return Ok(Box::new(std::io::Cursor::new(bytes)) as Box<dyn Read>);
            }
            let Descriptor { digest, size, .. } = descriptor;
            let (body, _) = self.open_at(endpoint, digest, *size, &(0..*size))?;
            let at = self.endpoints.iter().position(|one| std::ptr::eq(one, endpoint));
            let from_here = &self.endpoints[at.unwrap_or_default()..];
            Ok(Box::new(Blob::new(self, from_here, digest.clone(), *size, body)) as Box<dyn Read>)
        })
    }

    fn root(&self) -> Result<Root, ImageError> {
        self.first(|endpoint| {
            let (digest, bytes, announced) = self.selected(endpoint)?;
            let document = read_document(&self.place(), announced.as_deref(), &bytes)?;
            Ok(Root::Document { digest, document })
        })
    }
}
