//! The guest's activity.

use crate::event_batch::seq;
use napi_derive::napi;
use stillpoint_vmm::engine::Nanos;
use stillpoint_vmm::event::{OpenListener, Protocol};
use stillpoint_vmm::machine::Activity;

/// The guest's activity before an event of its log.
#[napi(object, object_from_js = false)]
pub struct GuestActivity {
    /// Sequence number of the next event.
    pub seq: f64,
    /// Guest time.
    pub at_nanos: f64,
    /// Whether the hart waits for an interrupt.
    pub is_idle: bool,
    /// Whether the agent has frozen the workload.
    pub is_frozen: bool,
    /// Names of the devices that have a request in flight.
    pub devices_in_flight: Vec<String>,
    /// Listeners that are open, oldest first.
    pub open_listeners: Vec<GuestListener>,
    /// Number of open TCP connections.
    pub connections_open: f64,
}

/// A listener that is open, as `ListenerBound` announced it.
#[napi(object, object_from_js = false)]
pub struct GuestListener {
    /// Sequence number of the announcement.
    pub seq: f64,
    /// Guest time of the announcement.
    pub at_nanos: f64,
    /// Transport protocol.
    #[napi(ts_type = "'tcp' | 'udp'")]
    pub protocol: String,
    /// Address that it listens on.
    pub address: String,
    /// Port number.
    pub port: u32,
}

impl From<OpenListener> for GuestListener {
    fn from(listener: OpenListener) -> Self {
        let OpenListener { seq: number, at_nanos, protocol, address, port } = listener;
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
        .to_owned();
        Self { seq: seq(number), at_nanos: seq(at_nanos), protocol, address, port: port.into() }
    }
}

pub(crate) fn activity(next_seq: u64, at: Nanos, activity: Activity) -> GuestActivity {
    let Activity {
        is_idle,
        is_frozen,
        working_devices: devices_in_flight,
        open_listeners,
        connections_open,
    } = activity;
    let open_listeners = open_listeners.into_iter().map(GuestListener::from).collect();
    GuestActivity {
        seq: seq(next_seq),
        at_nanos: seq(at),
        is_idle,
        is_frozen,
        devices_in_flight,
        open_listeners,
        connections_open: seq(connections_open),
    }
}
