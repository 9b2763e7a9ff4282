//! The listeners that the events so far leave open. They are part of a machine's state, so that a
//! subscriber of a restored or forked machine knows the listeners that it has not seen bound.

use super::{EventBody, Protocol, limits};
use crate::state::{StateError, StateReader, StateWriter};
use crate::time::Nanos;

/// Maximum number of listeners that are remembered; further ones are ignored. The library has the
/// same bound (`core/src/GuestActivity.ts`).
pub const MOST_OPEN_LISTENERS: usize = 1024;

/// A listener that is open, as `ListenerBound` announced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenListener {
    /// Sequence number of the announcement.
    pub seq: u64,
    /// Guest time of the announcement.
    pub at_nanos: Nanos,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Address that it listens on.
    pub address: String,
    /// Port number.
    pub port: u16,
}

/// The open listeners of a guest, oldest first, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OpenListeners {
    open: Vec<OpenListener>,
}

impl OpenListeners {
    /// Takes in an event.
    pub(crate) fn take(&mut self, seq: u64, at_nanos: Nanos, body: &EventBody) {
        match body {
            EventBody::ListenerBound { protocol, address, port } => {
                let is_open = |one: &OpenListener| one.is_at(*protocol, address, *port);
                if self.open.len() < MOST_OPEN_LISTENERS && !self.open.iter().any(is_open) {
                    let (protocol, address, port) = (*protocol, address.clone(), *port);
                    self.open.push(OpenListener { seq, at_nanos, protocol, address, port });
                }
            }
            EventBody::ListenerClosed { protocol, address, port } => {
                self.open.retain(|one| !one.is_at(*protocol, address, *port));
            }
            _ => {}
        }
    }

    pub(crate) fn all(&self) -> &[OpenListener] {
        &self.open
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        state.u32(self.open.len() as u32);
        for OpenListener { seq, at_nanos, protocol, address, port } in &self.open {
            state.u64(*seq).u64(*at_nanos).u8(protocol.number());
            state.bytes(address.as_bytes()).u16(*port);
        }
        state.finish()
    }

    pub(crate) fn load(state: &[u8]) -> Result<Self, StateError> {
        let mut state = StateReader::new("open listeners", state);
        let count = state.u32()?;
        if count == 0 || count as usize > MOST_OPEN_LISTENERS {
            let expected = format!("1 to {MOST_OPEN_LISTENERS} listeners");
            return Err(state.refuse(expected, count.to_string()));
        }
        let mut open = Vec::new();
        for _ in 0..count {
            let (seq, at_nanos, number) = (state.u64()?, state.u64()?, state.u8()?);
            let protocol = Protocol::by_number(number)
                .ok_or_else(|| state.refuse("a protocol", number.to_string()))?;
            let address = state.bytes(limits::TEXT_BYTES)?.to_vec();
            let address = String::from_utf8(address)
                .map_err(|_| state.refuse("an address in UTF-8", "other bytes"))?;
            open.push(OpenListener { seq, at_nanos, protocol, address, port: state.u16()? });
        }
        state.finish()?;
        Ok(Self { open })
    }
}

impl OpenListener {
    fn is_at(&self, protocol: Protocol, address: &str, port: u16) -> bool {
        self.protocol == protocol && self.address == address && self.port == port
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound(port: u16) -> EventBody {
        EventBody::ListenerBound { protocol: Protocol::Tcp, address: "::".into(), port }
    }

    fn closed(port: u16) -> EventBody {
        EventBody::ListenerClosed { protocol: Protocol::Tcp, address: "::".into(), port }
    }

    fn ports(listeners: &OpenListeners) -> Vec<u16> {
        listeners.all().iter().map(|one| one.port).collect()
    }

    #[test]
    fn so_many_are_remembered_the_oldest() {
        let mut listeners = OpenListeners::default();
        for port in 1..=2 * MOST_OPEN_LISTENERS as u16 {
            listeners.take(port.into(), 0, &bound(port));
        }
        assert_eq!(ports(&listeners), (1..=MOST_OPEN_LISTENERS as u16).collect::<Vec<_>>());
        listeners.take(9000, 0, &closed(1));
        listeners.take(9001, 0, &bound(5));
        listeners.take(9002, 7, &bound(1));
        assert_eq!(listeners.all().len(), MOST_OPEN_LISTENERS);
        let last = listeners.all().last().expect("full");
        assert_eq!((last.port, last.seq, last.at_nanos), (1, 9002, 7));
        assert_eq!(OpenListeners::load(&listeners.save()), Ok(listeners));
    }

    #[test]
    fn what_is_no_state_of_listeners_is_refused() {
        let mut listeners = OpenListeners::default();
        assert!(OpenListeners::load(&listeners.save()).is_err(), "none is left out");
        listeners.take(1, 2, &bound(3));
        let saved = listeners.save();
        assert!(OpenListeners::load(&saved[1..]).is_err());
        let many = (MOST_OPEN_LISTENERS as u32 + 1).to_le_bytes();
        assert!(OpenListeners::load(&[&many[..], &saved[4..]].concat()).is_err());
    }

    proptest! {
        #![proptest_config(crate::generated::cases(256))]

        /// A listener is open if it was bound and not closed since, under its first announcement.
        #[test]
        fn open_is_what_was_bound_and_not_closed_since(
            events in proptest::collection::vec((any::<bool>(), 0u16..4), 0..40),
        ) {
            let mut listeners = OpenListeners::default();
            let mut since: [Option<u64>; 4] = [None; 4];
            for (seq, (is_bound, port)) in (0u64..).zip(&events) {
                let body = if *is_bound { bound(*port) } else { closed(*port) };
                listeners.take(seq, seq, &body);
                let known = &mut since[usize::from(*port)];
                *known = is_bound.then(|| known.unwrap_or(seq));
            }
            let mut expected: Vec<_> =
                (0u16..).zip(since).filter_map(|(port, since)| Some((since?, port))).collect();
            expected.sort_unstable();
            let told: Vec<_> = listeners.all().iter().map(|one| (one.seq, one.port)).collect();
            prop_assert_eq!(told, expected);
            if !listeners.all().is_empty() {
                prop_assert_eq!(OpenListeners::load(&listeners.save()), Ok(listeners));
            }
        }
    }
}
