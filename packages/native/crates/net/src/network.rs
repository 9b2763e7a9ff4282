//! A hold on a machine's network, from any thread.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use stillpoint_vmm::machine::Machine;

use crate::addresses::GATEWAY_HARDWARE;
use crate::allowances::TrafficLimits;
use crate::egress::Egress;
use crate::error::NetworkError;
use crate::link::NetworkLink;
use crate::listening;
use crate::shared::{Limits, Opening, Shared};
use crate::transport::Transport;
use crate::watch::{Mailbox, Watch};

/// A port of the host's that leads to one of the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Names it.
    pub id: u64,
    /// The address that clients connect to.
    pub address: SocketAddr,
}

/// The network of one machine, as its host has a hold of it. Cheap to clone.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
    limits: Limits,
}

impl Network {
    /// Attaches the host's end to a machine's network interface. Connections that the machine has from
    /// its origin are ended before it executes anything. `wake`, called from any thread, makes a waiting
    /// machine check its link: `MachineHandle::wake`, or more.
    ///
    /// # Errors
    /// [`NetworkError::InterfaceMissing`] if the machine has no interface, or the host no thread.
    pub fn attach(
        machine: &mut Machine,
        limits: Limits,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, NetworkError> {
        let interface = machine.network_interface().ok_or(NetworkError::InterfaceMissing)?;
        let resets = machine.connection_resets(GATEWAY_HARDWARE);
        let (network, mut link) = Self::with_link(interface, resets, limits, wake)?;
        if machine.has_version_6() {
            link.knows_version_6();
        }
        machine.set_link(Some(Box::new(link)));
        Ok(network)
    }

    /// The host's end of an interface, with its hardware address and MTU, that is no machine's yet:
    /// `resets` are the frames that it gives first, and `wake`, called from any thread, has it asked
    /// to exchange.
    ///
    /// # Errors
    /// [`NetworkError::HostRefused`] if the host has no thread or descriptor to give.
    pub fn with_link(
        (hardware, mtu): ([u8; 6], u16),
        resets: Vec<Vec<u8>>,
        limits: Limits,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Self, NetworkLink), NetworkError> {
        let watch = Watch::current().map_err(|error| NetworkError::HostRefused {
            address: "network".to_owned(),
            reason: error.to_string(),
        })?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            mailbox: Mailbox::new(wake),
            connections: AtomicU64::new(0),
        });
        let link = NetworkLink::new(Arc::clone(&shared), watch, hardware, mtu, limits, resets);
        Ok((Self { shared, limits }, link))
    }

    /// As [`Self::publish_within`], without limits of its own.
    ///
    /// # Errors
    /// [`NetworkError`]; nothing listens then.
    pub fn publish(
        &self,
        transport: Transport,
        port: u16,
        address: impl Into<SocketAddr>,
    ) -> Result<Published, NetworkError> {
        self.publish_within(TrafficLimits::default(), transport, port, address)
    }

    /// Has `address` on the host lead to the guest's `port`; its own port is chosen by the host if it
    /// is 0. It listens from now on; connections are made while the guest runs, and wait with the
    /// host's kernel while it does not, as datagrams do, of which the kernel keeps only so many. No more
    /// passes than `limits` say.
    ///
    /// # Errors
    /// [`NetworkError`]; nothing listens then.
    pub fn publish_within(
        &self,
        limits: TrafficLimits,
        transport: Transport,
        port: u16,
        address: impl Into<SocketAddr>,
    ) -> Result<Published, NetworkError> {
        if port == 0 {
            let problems = vec!["port: expected 1 to 65535, found 0".to_owned()];
            return Err(NetworkError::Invalid { problems });
        }
        let address = address.into();
        let mut state = self.shared.lock();
        if state.is_over {
            return Err(NetworkError::Closed);
        }
        if state.published >= self.limits.ports {
            return Err(NetworkError::TooManyPorts { most: self.limits.ports });
        }
        let refused = |error: std::io::Error| {
            let address = address.to_string();
            match error.kind() {
                ErrorKind::AddrInUse => NetworkError::PortInUse { address },
                ErrorKind::PermissionDenied => NetworkError::PortPrivileged { address },
                ErrorKind::AddrNotAvailable => NetworkError::AddressUnknown { address },
                _ => NetworkError::HostRefused { address, reason: error.to_string() },
            }
        };
        let (socket, address) = listening::listen(transport, address).map_err(refused)?;
        state.last_id += 1;
        let id = state.last_id;
        state.published += 1;
        state.to_open.push(Opening { id, guest_port: port, socket, limits });
        drop(state);
        self.shared.mailbox.ring();
        Ok(Published { id, address })
    }

    /// As [`Self::publish`], with unchecked input.
    ///
    /// # Errors
    /// [`NetworkError`], with all that is wrong at once.
    pub fn publish_at(
        &self,
        protocol: &str,
        guest_port: u32,
        (host, host_port): (&str, u32),
        (connections, bytes_per_second): (Option<f64>, Option<f64>),
    ) -> Result<Published, NetworkError> {
        let mut problems = Vec::new();
        let transport = Transport::parse(Some(protocol))
            .map_err(|problem| problems.push(format!("protocol: {problem}")));
        let guest = u16::try_from(guest_port).ok().filter(|port| *port != 0);
        if guest.is_none() {
            problems.push(format!("port: expected 1 to 65535, found {guest_port}"));
        }
        let port = u16::try_from(host_port).ok();
        if port.is_none() {
            problems.push(format!("hostPort: expected 0 to 65535, found {host_port}"));
        }
        let address = listening::address_of(host);
        let address = address.map_err(|problem| problems.push(format!("host: {problem}")));
        let before = problems.len();
        let limits = TrafficLimits::parse("limits", connections, bytes_per_second, &mut problems);
        let limits = (problems.len() == before).then_some(limits);
        match (transport, guest, port, address, limits) {
            (Ok(transport), Some(guest), Some(port), Ok(address), Some(limits)) => {
                let address = SocketAddr::new(address, port);
                self.publish_within(limits, transport, guest, address)
            }
            _ => Err(NetworkError::Invalid { problems }),
        }
    }

    /// Closes a published port; its connections continue, its flows of datagrams do not. A second call
    /// has no effect.
    pub fn unpublish(&self, id: u64) {
        let mut state = self.shared.lock();
        // A port that the link has not taken over is closed here.
        let before = state.to_open.len();
        state.to_open.retain(|waiting| waiting.id != id);
        if state.to_open.len() < before {
            state.published -= 1;
            return;
        }
        state.to_close.push(id);
        drop(state);
        self.shared.mailbox.ring();
    }

    /// Sets the outside addresses that the guest may reach from now on; connections continue, flows of
    /// datagrams are checked again.
    pub fn set_egress(&self, egress: Egress) {
        self.shared.lock().egress = Arc::new(egress);
    }

    /// Connections that are open now, in both directions.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}
