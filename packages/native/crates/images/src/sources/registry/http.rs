//! HTTP requests: follows redirects, sends secrets to their own host only, bounds every wait.

use super::options::{Registries, RegistryOptions};
use super::steady::Steady;
use crate::error::ImageError;
use crate::sources::files::read_file;
use crate::watch::Watch;
use std::time::Duration;
use ureq::http::{Response, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};

/// Whether a name means this host.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Speaks HTTP with one registry, its mirrors, and where they lead.
pub(super) struct Client {
    agent: Agent,
    silence: Duration,
}

/// Maximum bytes of a file of certificates: all authorities of a system take a few hundred
/// thousand.
const MOST_CERTIFICATE_BYTES: u64 = 16 << 20;

/// Registries lead to where their blobs are, once; a few times is no harm.
const MOST_REDIRECTS: usize = 5;

/// The method, and the body.
#[derive(Clone, Copy)]
pub(super) enum Verb<'a> {
    Get,
    Head,
    Post,
    /// A form that is posted.
    Form(&'a str),
    Put {
        content: &'a [u8],
        media_type: &'a str,
    },
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) url: &'a str,
    pub(super) accept: Option<&'a str>,
    pub(super) authorization: Option<&'a str>,
    /// From which byte on.
    pub(super) from: u64,
    /// The first byte that is not wanted; none: all that follow.
    pub(super) to: Option<u64>,
    pub(super) verb: Verb<'a>,
}

impl<'a> Ask<'a> {
    /// An anonymous request.
    pub(super) fn of(url: &'a str, verb: Verb<'a>) -> Self {
        Self { url, accept: None, authorization: None, from: 0, to: None, verb }
    }
}

/// An answer, and its origin.
pub(super) struct Answer {
    pub(super) url: String,
    pub(super) response: Response<Body>,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }
}

impl Client {
    pub(super) fn new(
        registries: &Registries,
        options: &RegistryOptions,
    ) -> Result<Self, ImageError> {
        let mut certificates = Vec::new();
        for path in &options.authorities {
            let invalid = |reason: String| ImageError::OptionInvalid {
                option: format!("certificateAuthorities {}", path.display()),
                expected: "a file of certificates in PEM",
                found: reason,
            };
            let bytes = read_file(path, MOST_CERTIFICATE_BYTES)
                .map_err(|error| invalid(error.to_string()))?;
            let before = certificates.len();
            for item in ureq::tls::parse_pem(&bytes) {
                if let ureq::tls::PemItem::Certificate(found) =
                    item.map_err(|error| invalid(error.to_string()))?
                {
                    certificates.push(found);
                }
            }
            if certificates.len() == before {
                return Err(invalid("no certificate".to_owned()));
            }
        }
        let roots = if certificates.is_empty() {
            RootCerts::PlatformVerifier
        } else {
            RootCerts::new_with_certs(&certificates as &[Certificate<'static>])
        };
        let silence = Some(registries.silence);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("stillpoint")
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_resolve(silence)
            .timeout_connect(silence)
            .timeout_send_request(silence)
            .timeout_send_body(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .timeout_per_write(silence)
            .max_response_header_size(64 << 10)
            .build();
        Ok(Self { agent: config.new_agent(), silence: registries.silence })
    }

    /// Ends the present wait when the operation is interrupted.
    pub(super) fn end_with(&self, watch: &Watch) {
        let agent = self.agent.clone();
        watch.on_cancel(move || agent.shutdown());
    }

    /// A body that fails if it arrives too slowly.
    pub(super) fn steady<R>(&self, body: R) -> Steady<R> {
        Steady::new(body, self.silence)
    }

    /// Asks, and follows where it is led. `is_local`: plain HTTP to this host is meant.
    pub(super) fn ask(
        &self,
        ask: &Ask<'_>,
        is_local: bool,
        watch: &Watch,
    ) -> Result<Answer, ImageError> {
        let mut url = ask.url.to_owned();
        let origin = origin(&url)?;
        for _ in 0..=MOST_REDIRECTS {
            watch.check()?;
            let here = self::origin(&url)?;
            check_transport(&url, &here, is_local)?;
            let authorization = ask.authorization.filter(|_| here == origin);
            let response = self.once(&url, ask, authorization, &here).map_err(|error| {
                watch.check().err().unwrap_or_else(|| self.failed(&url, &error))
            })?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !is_redirect || !matches!(ask.verb, Verb::Get | Verb::Head) {
                return Ok(Answer { url, response });
            }
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            url = match location {
                Some(absolute)
                    if absolute.starts_with("https://") || absolute.starts_with("http://") =>
                {
                    absolute.to_owned()
                }
                Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                    format!("{}://{}{path}", here.scheme, here.authority)
                }
                other => {
                    return Err(ImageError::RegistryInvalid {
                        url,
                        expected: "a redirect to a URL or a path".to_owned(),
                        found: other.unwrap_or("none").chars().take(200).collect(),
                    });
                }
            };
        }
        Err(ImageError::RegistryInvalid {
            url: ask.url.to_owned(),
            expected: format!("at most {MOST_REDIRECTS} redirects"),
            found: "more".to_owned(),
        })
    }

    fn once(
        &self,
        url: &str,
        ask: &Ask<'_>,
        authorization: Option<&str>,
        here: &Origin,
    ) -> Result<Response<Body>, ureq::Error> {
        macro_rules! prepared {
            ($request:expr) => {{
                let mut request = $request;
                if let Some(accept) = ask.accept {
                    request = request.header("accept", accept);
                }
                if let Some(authorization) = authorization {
                    request = request.header("authorization", authorization);
                }
                if ask.from > 0 || ask.to.is_some() {
                    let last =
                        ask.to.map_or_else(String::new, |to| to.saturating_sub(1).to_string());
                    request = request.header("range", format!("bytes={}-{last}", ask.from));
                }
                // No proxy leads to this host.
                if is_loopback(&here.host) { request.config().proxy(None).build() } else { request }
            }};
        }
        match ask.verb {
            Verb::Get => prepared!(self.agent.get(url)).call(),
            Verb::Head => prepared!(self.agent.head(url)).call(),
            Verb::Post => prepared!(self.agent.post(url)).send_empty(),
            Verb::Form(form) => prepared!(self.agent.post(url))
                .header("content-type", "application/x-www-form-urlencoded")
                .send(form),
            Verb::Put { content, media_type } => {
                prepared!(self.agent.put(url)).header("content-type", media_type).send(content)
            }
        }
    }

    /// The image error for an error of HTTP.
    pub(super) fn failed(&self, url: &str, error: &ureq::Error) -> ImageError {
        match error {
            ureq::Error::Timeout(which) => {
                let what = match which {
                    Timeout::Resolve => format!("the address of {url}"),
                    Timeout::Connect => format!("a connection for {url}"),
                    _ => url.to_owned(),
                };
                ImageError::TimedOut { what, after_millis: self.silence.as_millis() as u64 }
            }
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
                ImageError::TimedOut {
                    what: url.to_owned(),
                    after_millis: self.silence.as_millis() as u64,
                }
            }
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
                ImageError::RegistryInvalid {
                    url: url.to_owned(),
                    expected: "an answer in HTTP/1.1".to_owned(),
                    found: error.to_string(),
                }
            }
            _ => ImageError::RegistryUnreachable { url: url.to_owned(), reason: error.to_string() },
        }
    }
}

/// The origin that a secret belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    authority: String,
    host: String,
}

pub(super) fn origin(url: &str) -> Result<Origin, ImageError> {
    let invalid = |found: String| ImageError::RegistryInvalid {
        url: url.chars().take(500).collect(),
        expected: "a URL with https and a host".to_owned(),
        found,
    };
    let uri: Uri =
        url.parse().map_err(|error: ureq::http::uri::InvalidUri| invalid(error.to_string()))?;
    let scheme = uri.scheme_str().unwrap_or_default().to_owned();
    let authority = uri.authority().ok_or_else(|| invalid("no host".to_owned()))?;
    // A name and password in a URL are for a person's browser.
    if authority.as_str().contains('@') {
        return Err(invalid("one with a user in it".to_owned()));
    }
    Ok(Origin { scheme, host: authority.host().to_owned(), authority: authority.to_string() })
}

/// Plain HTTP stays on this host, and no answer from another host leads to it.
fn check_transport(url: &str, origin: &Origin, is_local: bool) -> Result<(), ImageError> {
    match origin.scheme.as_str() {
        "https" => Ok(()),
        "http" if is_local && is_loopback(&origin.host) => Ok(()),
        _ => Err(ImageError::Insecure { url: url.to_owned() }),
    }
}
