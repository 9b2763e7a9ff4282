//! Queries to the host's resolver, which blocks: each query has its own thread until it is answered.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::answered::MOST_ADDRESSES;
use crate::watch::Mailbox;

/// Threads of the process that ask. A resolver that does not answer keeps one until it gives up.
const MOST_THREADS: usize = 16;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// A name, and its addresses from the host's resolver: none if the name does not exist.
pub(crate) type Found = (String, Vec<IpAddr>);

/// The queries of one machine.
pub(crate) struct Lookups {
    found: Arc<Mutex<Vec<Found>>>,
    mailbox: Weak<Mailbox>,
}

impl Lookups {
    pub(crate) fn new(mailbox: &Arc<Mailbox>) -> Self {
        Self { found: Arc::default(), mailbox: Arc::downgrade(mailbox) }
    }

    /// Asks for a name; whether there was a thread for it.
    pub(crate) fn ask(&self, name: String) -> bool {
        let take = |count| (count < MOST_THREADS).then_some(count + 1);
        if THREADS.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_err() {
            return false;
        }
        let (found, mailbox) = (Arc::downgrade(&self.found), self.mailbox.clone());
        let asking = stillpoint_confine::spawn("stillpoint-name", move || {
            let addresses = addresses_of(&name);
            THREADS.fetch_sub(1, Ordering::AcqRel);
            if let Some(found) = found.upgrade() {
                found.lock().unwrap_or_else(PoisonError::into_inner).push((name, addresses));
            }
            if let Some(mailbox) = mailbox.upgrade() {
                mailbox.ring();
            }
        });
        if asking.is_err() {
            THREADS.fetch_sub(1, Ordering::AcqRel);
        }
        asking.is_ok()
    }

    /// The answers since the last call.
    pub(crate) fn take(&self) -> Vec<Found> {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn addresses_of(name: &str) -> Vec<IpAddr> {
    let mut known: Vec<IpAddr> = Vec::new();
    for found in (name, 0).to_socket_addrs().into_iter().flatten() {
        let address = found.ip();
        let like = known.iter().filter(|it| it.is_ipv4() == address.is_ipv4()).count();
        if like < MOST_ADDRESSES && !known.contains(&address) {
            known.push(address);
        }
    }
    known
}
