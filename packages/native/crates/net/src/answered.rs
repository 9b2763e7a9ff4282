//! What names were said to mean to this guest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

/// Most addresses of an answer: with the longest name it still fits into the 512 bytes that everybody
/// takes.
pub const MOST_ADDRESSES: usize = 14;

/// Most pairs of a name and an address that are remembered; the oldest go first.
const MOST_PAIRS: usize = 4096;

/// The names that each address was answered for. A rule that allows a host by name allows the
/// addresses that this guest was answered for it, and no others.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    names: BTreeMap<Ipv4Addr, BTreeSet<String>>,
    order: VecDeque<(Ipv4Addr, String)>,
}

impl Answered {
    /// Remembers that a name was said to have an address.
    pub(crate) fn insert(&mut self, address: Ipv4Addr, name: &str) {
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
    pub(crate) fn names_of(&self, address: Ipv4Addr) -> impl Iterator<Item = &str> {
        self.names.get(&address).into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first_and_nothing_else_is() {
        let mut answered = Answered::default();
        let address = |number: usize| Ipv4Addr::from_bits(number as u32 / 2);
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
