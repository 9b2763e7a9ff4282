//! A port of the host's that leads to one of a guest's.

use crate::event_batch::seq;
use napi_derive::napi;
use stillpoint_net::Published;

/// A port of the host's that leads to one of a guest's.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct PublishedPort {
    /// Names it, to close it.
    pub id: f64,
    /// The host's address.
    pub host: String,
    /// The host's port.
    pub host_port: u32,
}

impl From<Published> for PublishedPort {
    fn from(published: Published) -> Self {
        Self {
            id: seq(published.id),
            host: published.address.ip().to_string(),
            host_port: published.address.port().into(),
        }
    }
}
