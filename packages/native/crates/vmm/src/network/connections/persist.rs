//! The saved state of an interface's connections, in each form that it has had.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Connections, MAX_CONNECTIONS, Progress, Traffic};
use crate::network::Connection;
use crate::state::{StateError, StateReader, StateWriter};

type LoadAddress = fn(&mut StateReader<'_>) -> Result<IpAddr, StateError>;

impl Connections {
    /// Appends the state.
    pub(crate) fn save(&self, state: &mut StateWriter) {
        self.save_with(state, save_address);
    }

    /// Appends the state in the second form, which knew addresses of version 4 only.
    pub(crate) fn save_second(&self, state: &mut StateWriter) {
        self.save_with(state, |state, address| {
            if let IpAddr::V4(address) = address {
                state.u32(address.into());
            }
        });
    }

    fn save_with(&self, state: &mut StateWriter, address: fn(&mut StateWriter, IpAddr)) {
        state.u32(self.known.len() as u32);
        for (connection, progress) in &self.known {
            address(state, connection.guest);
            state.u16(connection.guest_port);
            address(state, connection.peer);
            state
                .u16(connection.peer_port)
                .u32(progress.next)
                .u32(progress.guest_next)
                .bool(progress.guest_has_ended)
                .bool(progress.peer_has_ended)
                .bool(progress.is_outward)
                .bool(progress.is_open)
                .u64(progress.bytes_in)
                .u64(progress.bytes_out)
                .u64(progress.request_bytes)
                .u64(progress.answer_bytes);
        }
        state.u64(self.traffic.bytes_in).u64(self.traffic.bytes_out);
    }

    /// Reads what `save` wrote.
    ///
    /// # Errors
    /// [`StateError`] if it is not there, or not in that form.
    pub(crate) fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        Self::load_told(state, load_address)
    }

    /// Reads what `save_second` wrote.
    ///
    /// # Errors
    /// [`StateError`] if it is not there, or not in that form.
    pub(crate) fn load_second(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        Self::load_told(state, load_address_4)
    }

    fn load_told(state: &mut StateReader<'_>, address: LoadAddress) -> Result<Self, StateError> {
        let mut connections = Self::load_with(state, address, |state| {
            Ok(Progress {
                next: state.u32()?,
                guest_next: state.u32()?,
                guest_has_ended: state.bool()?,
                peer_has_ended: state.bool()?,
                is_outward: state.bool()?,
                is_open: state.bool()?,
                bytes_in: state.u64()?,
                bytes_out: state.u64()?,
                request_bytes: state.u64()?,
                answer_bytes: state.u64()?,
            })
        })?;
        connections.traffic = Traffic { bytes_in: state.u64()?, bytes_out: state.u64()? };
        Ok(connections)
    }

    /// Reads the first form, which contains only the values for a reset. Its connections were not
    /// reported, and will not be.
    ///
    /// # Errors
    /// [`StateError`] if it is not there, or not in that form.
    pub(crate) fn load_first(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        Self::load_with(state, load_address_4, |state| {
            Ok(Progress {
                next: state.u32()?,
                guest_has_ended: state.bool()?,
                peer_has_ended: state.bool()?,
                ..Progress::default()
            })
        })
    }

    fn load_with(
        state: &mut StateReader<'_>,
        address: LoadAddress,
        progress: impl Fn(&mut StateReader<'_>) -> Result<Progress, StateError>,
    ) -> Result<Self, StateError> {
        let count = state.u32()?;
        if count as usize > MAX_CONNECTIONS {
            return Err(
                state.refuse(format!("at most {MAX_CONNECTIONS} connections"), count.to_string())
            );
        }
        let mut known = BTreeMap::new();
        let mut open = 0;
        for _ in 0..count {
            let connection = Connection {
                guest: address(state)?,
                guest_port: state.u16()?,
                peer: address(state)?,
                peer_port: state.u16()?,
            };
            let progress = progress(state)?;
            let is_next = known.last_key_value().is_none_or(|(last, _)| *last < connection);
            let is_of_one_version = connection.guest.is_ipv4() == connection.peer.is_ipv4();
            let is_over = progress.guest_has_ended && progress.peer_has_ended;
            if !is_next || !is_of_one_version || is_over {
                return Err(state.refuse("open connections, ascending", format!("{connection:?}")));
            }
            open += u64::from(progress.is_open);
            known.insert(connection, progress);
        }
        Ok(Self { known, open, traffic: Traffic::default() })
    }
}

/// Appends an address: its version, and its bytes.
fn save_address(state: &mut StateWriter, address: IpAddr) {
    match address {
        IpAddr::V4(address) => state.u8(4).u32(address.into()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            state.u8(6).u64((bits >> 64) as u64).u64(bits as u64)
        }
    };
}

fn load_address(state: &mut StateReader<'_>) -> Result<IpAddr, StateError> {
    match state.u8()? {
        4 => load_address_4(state),
        6 => {
            let bits = u128::from(state.u64()?) << 64 | u128::from(state.u64()?);
            Ok(Ipv6Addr::from_bits(bits).into())
        }
        other => Err(state.refuse("an address of version 4 or 6", other.to_string())),
    }
}

fn load_address_4(state: &mut StateReader<'_>) -> Result<IpAddr, StateError> {
    Ok(Ipv4Addr::from_bits(state.u32()?).into())
}
