//! State that a network's handle and its link share: orders from other threads, and limits.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::allowances::TrafficLimits;
use crate::egress::Egress;
use crate::watch::Mailbox;

/// Limits of a machine's network on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, in both directions together. Further ones into the guest wait with the
    /// host's kernel; further ones out of it are refused.
    pub connections: usize,
    /// Flows of datagrams at once, in both directions together: one for each peer of a published
    /// port, and for each pair of a guest port and an outside address. The one that was silent for
    /// longest makes room for the next.
    pub flows: usize,
    /// Published ports.
    pub ports: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, flows: 512, ports: 64 }
    }
}

/// State that a handle and its link share.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) connections: AtomicU64,
}

/// A port that is to lead into the guest.
pub(crate) struct Opening {
    pub(crate) id: u64,
    pub(crate) guest_port: u16,
    pub(crate) socket: Listening,
    pub(crate) limits: TrafficLimits,
}

/// The socket of a published port.
pub(crate) enum Listening {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

#[derive(Default)]
pub(crate) struct State {
    /// Ports that the link has not taken over yet.
    pub(crate) to_open: Vec<Opening>,
    /// Ports that are to be closed.
    pub(crate) to_close: Vec<u64>,
    pub(crate) published: usize,
    pub(crate) last_id: u64,
    pub(crate) egress: Arc<Egress>,
    pub(crate) is_over: bool,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
