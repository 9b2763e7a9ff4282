//! The authentication that a registry requires: none, a name and password, or a token.
//!
//! ```text
//! 401  WWW-Authenticate: Bearer realm="URL", service="NAME", scope="repository:NAME:pull"
//! GET  realm?service=…&scope=…   with the name and password, or nothing  ──> {"token": …}
//! POST realm                     with an identity token                  ──> {"access_token": …}
//! ```
//!
//! Source: distribution, "Token Authentication Specification" and "OAuth2 Token Authentication".

use super::credentials::Credentials;
use super::http::{Ask, Client, Verb};
use crate::error::ImageError;
use crate::watch::Watch;
use serde::Deserialize;
use std::fmt::Write as _;
use std::io::Read as _;

/// Maximum bytes of an answer that contains a token.
const MOST_TOKEN_BYTES: u64 = 1 << 20;

/// The authentication that a registry requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Reads `WWW-Authenticate`; of several challenges the first that is understood.
pub(super) fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    let mut rest = rest;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        match key.trim_matches([' ', ',']).to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            "scope" => scope = Some(value.to_owned()),
            _ => {}
        }
        rest = after;
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

/// The registry's name, for errors.
pub(super) struct Login<'a> {
    pub(super) client: &'a Client,
    pub(super) registry: &'a str,
    pub(super) credentials: Option<&'a Credentials>,
    pub(super) is_local: bool,
}

impl Login<'_> {
    fn refused(&self, reason: impl ToString) -> ImageError {
        ImageError::Unauthorized { registry: self.registry.to_owned(), reason: reason.to_string() }
    }

    /// The authorization to send; `scope` is used if the registry names none.
    pub(super) fn answer(
        &self,
        challenge: &Challenge,
        scope: &str,
        watch: &Watch,
    ) -> Result<String, ImageError> {
        let Challenge::Bearer { realm, service, scope: asked } = challenge else {
            return match self.credentials {
                Some(Credentials::Password { username, password }) => {
                    Ok(Credentials::basic(username, password))
                }
                Some(Credentials::IdentityToken(_)) => {
                    Err(self.refused("a token where a password is wanted"))
                }
                None => Err(self.refused("no credentials for it")),
            };
        };
        let scope = asked.as_deref().unwrap_or(scope);
        let mut query = format!("scope={}", escaped(scope));
        if let Some(service) = service {
            let _ = write!(query, "&service={}", escaped(service));
        }
        let answer = match self.credentials {
            Some(Credentials::IdentityToken(token)) => {
                let form = format!(
                    "{query}&grant_type=refresh_token&client_id=stillpoint&refresh_token={}",
                    escaped(token)
                );
                self.ask(realm, None, Some(&form), watch)?
            }
            credentials => {
                let joint = if realm.contains('?') { '&' } else { '?' };
                let basic = match credentials {
                    Some(Credentials::Password { username, password }) => {
                        Some(Credentials::basic(username, password))
                    }
                    _ => None,
                };
                self.ask(&format!("{realm}{joint}{query}"), basic.as_deref(), None, watch)?
            }
        };
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| ImageError::RegistryInvalid {
            url: realm.clone(),
            expected: "a token".to_owned(),
            found: "none".to_owned(),
        })?;
        Ok(format!("Bearer {token}"))
    }

    fn ask(
        &self,
        url: &str,
        authorization: Option<&str>,
        form: Option<&str>,
        watch: &Watch,
    ) -> Result<Token, ImageError> {
        let verb = form.map_or(Verb::Get, Verb::Form);
        let ask = Ask { accept: Some("application/json"), authorization, ..Ask::of(url, verb) };
        let mut answer = self.client.ask(&ask, self.is_local, watch)?;
        let status = answer.status().as_u16();
        if matches!(status, 400 | 401 | 403) {
            let shown = if self.credentials.is_some() {
                "its credentials are refused"
            } else {
                "no credentials for it"
            };
            return Err(self.refused(format!("{shown} (status {status})")));
        }
        if status != 200 {
            return Err(ImageError::RegistryRefused {
                url: url.to_owned(),
                status,
                detail: String::new(),
            });
        }
        let mut bytes = Vec::new();
        let reader = self.client.steady(answer.response.body_mut().as_reader());
        let read = reader.take(MOST_TOKEN_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| self.client.failed(url, &ureq::Error::from(error)))?;
        serde_json::from_slice(&bytes).map_err(|error| ImageError::RegistryInvalid {
            url: url.to_owned(),
            expected: "a token".to_owned(),
            found: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Headers of the pieces that challenges are made of, in any order.
        #[test]
        fn whatever_a_registry_challenges_with_is_read_or_not(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec!["Bearer ", "bearer ", "Basic", "realm", "service", "scope", "=", "\"", ",", " ", "\\"])
                        .prop_map(str::to_owned),
                    ".{0,8}",
                ],
                0..20,
            ),
        ) {
            let header = pieces.concat();
            if let Some(Challenge::Bearer { realm, .. }) = challenge(&header) {
                prop_assert!(header.contains(&realm));
            }
        }
    }

    #[test]
    fn challenges_are_read() {
        let text = r#"Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a/b:pull,push""#;
        assert_eq!(
            challenge(text),
            Some(Challenge::Bearer {
                realm: "https://auth.test/token".to_owned(),
                service: Some("registry.test".to_owned()),
                scope: Some("repository:a/b:pull,push".to_owned())
            })
        );
        assert_eq!(challenge("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(challenge("Bearer service=\"x\""), None);
        assert_eq!(challenge("Bearer realm=\"x"), None);
        assert_eq!(challenge("Negotiate"), None);
    }
}
