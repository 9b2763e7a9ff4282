//! Machines in a host process, for a host that must never wait.
//!
//! * [`workers`] threads that exist only while there is work for them
//! * [`sync`] locks and threads, which a test may replace
//! * [`alarms`] what happens at moments of the host's clock
//! * `anchor` guest time by the host's clock
//! * [`turns`] whose run executes when there are more than processors
//! * [`session`] one machine, one mailbox: operations in order, a run that can be paused, talked
//!   to and closed at any moment, panics turned into errors
//! * [`event_log`] everything a machine has said, encoded, read by position
//! * [`event_codec`] the encoding
//! * [`hosted`] a machine with its session and its log
//! * [`live`] a machine in the background, whose time follows the host's
//! * [`outside`] what its devices are connected to
//! * [`guarded`] panics that go no further
//! * [`refusal`] errors of any operation, flattened to a name and a message
//!
//! Nothing here knows who the host is: a binding to another language runtime adds only data
//! transfer objects.

pub mod alarms;
mod anchor;
pub mod event_codec;
pub mod event_log;
pub mod guarded;
pub mod hosted;
pub mod live;
pub mod outside;
mod paced;
pub mod refusal;
pub mod session;
pub mod sync;
pub mod turns;
pub mod workers;
