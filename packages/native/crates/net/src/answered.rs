//! The addresses that this guest got for names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// Maximum number of addresses of a name, in each version: those of IPv4 still fit, with the longest name,
/// into the 512 bytes that every client accepts, and half as many of IPv6.
pub const MOST_ADDRESSES: usize = 14;

/// Maximum number of pairs of a name and an address that are remembered; the oldest go first.
const MOST_PAIRS: usize = 4096;

/// The names that each address was answered for. A rule that allows a host by name allows the
/// addresses that this guest was answered for it, and no others.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    names: BTreeMap<IpAddr, BTreeSet<String>>,
    order: VecDeque<(IpAddr, String)>,
}

impl Answered {
    /// Remembers that the guest got an address for a name.
    pub(crate) fn insert(&mut self, address: IpAddr, name: &str) {
        if !self.names.entry(address).or_default().insert(name.to_owned()) {
            return;
        }
        self.order.push_back((address, name.to_owned()));
        if self.order.len() > MOST_PAIRS
            && let Some((address, name)) = self.order.pop_front()
            && let Some(names) = self.names.get_mut(&address)
        {
            names.remove(&name);
            if names.is_empty() {
                self.names.remove(&address);
            }
        }
    }

    /// The names that an address was answered for.
    pub(crate) fn names_of(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.names.get(&address).into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first_and_nothing_else_is() {
        let mut answered = Answered::default();
        let address = |number: usize| IpAddr::from((number as u32 / 2).to_be_bytes());
        for number in 0..MOST_PAIRS + 3 {
            answered.insert(address(number), &number.to_string());
            answered.insert(address(number), &number.to_string());
        }
        assert_eq!(answered.names_of(address(0)).count(), 0);
        assert_eq!(answered.names_of(address(2)).collect::<Vec<_>>(), ["3"]);
        assert_eq!(answered.names_of(address(4)).count(), 2);
        assert_eq!(answered.order.len(), MOST_PAIRS);
    }
}
