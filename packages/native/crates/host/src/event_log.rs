//! Everything a machine has said so far, encoded once, read by position as often as one likes.

use crate::event_codec::encode;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use stillpoint_vmm::event::{Event, EventsLost};

/// Encoded bytes after which a new chunk is begun.
const CHUNK_BYTES: usize = 64 * 1024;

/// Maximum encoded bytes of a log by default: more than ten million small events.
pub const DEFAULT_LIMIT_BYTES: usize = 256 * 1024 * 1024;

/// Maximum encoded bytes that a follower has not read yet, at which the guest waits for it. Far less
/// than a log keeps, so a follower never loses an event.
pub const UNREAD_LIMIT_BYTES: usize = 32 * 1024 * 1024;

type Wake = Box<dyn Fn() + Send + Sync>;

/// Consecutive events, encoded one after the other.
struct Chunk {
    first_seq: u64,
    /// Encoded bytes of all events before it.
    before_bytes: u64,
    /// The start of each event in `bytes`.
    starts: Vec<u32>,
    bytes: Vec<u8>,
}

struct Content {
    chunks: VecDeque<Chunk>,
    /// Sequence number of the oldest event that is kept, or of the next one if none is.
    oldest_seq: u64,
    next_seq: u64,
    limit_bytes: usize,
    bytes: usize,
    /// Encoded bytes that there ever were.
    total_bytes: u64,
    /// The next event that each follower wants, by the follower's number.
    followers: BTreeMap<u32, u64>,
    next_follower: u32,
    ended: bool,
    wake: Option<Wake>,
    /// The reader found nothing, and wants to be woken for the next event.
    reader_waits: bool,
}

/// Events read from a log: `count` of them from `first_seq` on, encoded one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Sequence number of the first event in `bytes`.
    pub first_seq: u64,
    /// Number of events in `bytes`.
    pub count: u32,
    /// The events.
    pub bytes: Vec<u8>,
    /// Whether no event can follow.
    pub ended: bool,
}

/// The log of one machine: appended to by the thread that runs it, read by the host.
///
/// The reader is not called for every event: it is woken once, reads until nothing is left, and is
/// woken again only after a read that found nothing. A wake-up costs the guest's thread far more
/// than an event does; a reader that collects the events of a millisecond costs it next to nothing.
/// A slow reader gets larger batches.
///
/// The log keeps a bounded number of bytes and drops the oldest events: a guest that floods its
/// console does not fill the host's memory. A *follower* of the log loses nothing: while one has
/// more than [`UNREAD_LIMIT_BYTES`] to read, [`EventLog::wait_for_room`] stops the guest between two
/// instructions. No guest time passes meanwhile, so the guest cannot notice. Later readers, and
/// readers that do not follow, get [`EventsLost`] for dropped events.
pub struct EventLog {
    content: Mutex<Content>,
    /// A follower has read, or the guest must not be held up any more.
    read: Condvar,
}

impl EventLog {
    /// An empty log whose first event will have `first_seq` as its number, and which keeps about
    /// `limit_bytes` of encoded events.
    pub fn new(first_seq: u64, limit_bytes: usize) -> Self {
        Self {
            content: Mutex::new(Content {
                chunks: VecDeque::new(),
                oldest_seq: first_seq,
                next_seq: first_seq,
                limit_bytes,
                bytes: 0,
                total_bytes: 0,
                followers: BTreeMap::new(),
                next_follower: 0,
                ended: false,
                wake: None,
                reader_waits: false,
            }),
            read: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what tells the reader that there is more. It is called on the appending thread and
    /// must not block.
    pub fn set_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.lock().wake = Some(Box::new(wake));
    }

    /// Appends `events`, whose sequence numbers continue the last one's.
    pub fn append(&self, events: &[Event]) {
        let mut content = self.lock();
        let content = &mut *content;
        for event in events {
            let begin_chunk =
                content.chunks.back().is_none_or(|chunk| chunk.bytes.len() >= CHUNK_BYTES);
            if begin_chunk {
                if let Some(full) = content.chunks.back_mut() {
                    // Large events, which pieces of files are, have doubled its room.
                    full.bytes.shrink_to_fit();
                }
                content.chunks.push_back(Chunk {
                    first_seq: event.seq,
                    before_bytes: content.total_bytes,
                    starts: Vec::new(),
                    bytes: Vec::with_capacity(if content.chunks.is_empty() {
                        1024
                    } else {
                        CHUNK_BYTES + 1024
                    }),
                });
            }
            content.next_seq = event.seq + 1;
            if let Some(chunk) = content.chunks.back_mut() {
                let start = chunk.bytes.len();
                chunk.starts.push(u32::try_from(start).unwrap_or(u32::MAX));
                encode(event, &mut chunk.bytes);
                content.bytes += chunk.bytes.len() - start;
                content.total_bytes += (chunk.bytes.len() - start) as u64;
            }
        }
        while content.bytes > content.limit_bytes && content.chunks.len() > 1 {
            if let Some(dropped) = content.chunks.pop_front() {
                content.bytes -= dropped.bytes.len();
                content.oldest_seq += dropped.starts.len() as u64;
            }
        }
        content.wake_reader();
    }

    /// Follows the log from `seq` on, and returns the follower's unique number. The guest waits for
    /// the follower until [`EventLog::unfollow`].
    pub fn follow(&self, seq: u64) -> u32 {
        let mut content = self.lock();
        let number = content.next_follower;
        content.next_follower = number.wrapping_add(1);
        content.followers.insert(number, seq);
        number
    }

    /// A follower has read everything before `seq`.
    pub fn followed(&self, number: u32, seq: u64) {
        if let Some(next) = self.lock().followers.get_mut(&number) {
            *next = seq.max(*next);
        }
        self.read.notify_all();
    }

    /// A follower follows no longer.
    pub fn unfollow(&self, number: u32) {
        self.lock().followers.remove(&number);
        self.read.notify_all();
    }

    /// Whether no follower has so much to read that the guest must wait.
    pub fn has_room(&self) -> bool {
        self.lock().has_room()
    }

    /// Waits until there is room, or `is_called` for something else; the caller that makes that true
    /// calls [`EventLog::call`].
    pub fn wait_for_room(&self, is_called: impl Fn() -> bool) {
        let mut content = self.lock();
        while !content.has_room() && !is_called() {
            content = self.read.wait(content).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes a thread that waits for room check whether it is called.
    pub fn call(&self) {
        drop(self.lock());
        self.read.notify_all();
    }

    /// Says that no event can follow: the machine was closed.
    pub fn end(&self) {
        let mut content = self.lock();
        content.ended = true;
        content.wake_reader();
        // The wake holds on to the reader; nothing is left to say to it.
        content.wake = None;
    }

    /// Sequence number that the next event will have.
    pub fn next_seq(&self) -> u64 {
        self.lock().next_seq
    }

    /// Sequence number of the oldest event that is kept, or of the next one if none is.
    pub fn oldest_seq(&self) -> u64 {
        self.lock().oldest_seq
    }

    /// Bytes that the encoded events take.
    pub fn size_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Reads from `from_seq` on, about `max_bytes` at most, and at least one event if there is one.
    /// If there is none, the next append wakes the reader.
    ///
    /// # Errors
    /// [`EventsLost`] if `from_seq` was dropped for the limit.
    pub fn read(&self, from_seq: u64, max_bytes: usize) -> Result<Batch, EventsLost> {
        let mut content = self.lock();
        if from_seq < content.oldest_seq {
            return Err(EventsLost { asked: from_seq, oldest: content.oldest_seq });
        }
        let mut batch =
            Batch { first_seq: from_seq, count: 0, bytes: Vec::new(), ended: content.ended };
        let begin = content
            .chunks
            .partition_point(|chunk| chunk.first_seq + (chunk.starts.len() as u64) <= from_seq);
        for chunk in content.chunks.range(begin..) {
            let skip =
                usize::try_from(from_seq.saturating_sub(chunk.first_seq)).unwrap_or(usize::MAX);
            let Some(&start) = chunk.starts.get(skip) else { continue };
            if !batch.bytes.is_empty() && batch.bytes.len() + chunk.bytes.len() > max_bytes {
                return Ok(Batch { ended: false, ..batch });
            }
            batch.bytes.extend_from_slice(&chunk.bytes[start as usize..]);
            batch.count += u32::try_from(chunk.starts.len() - skip).unwrap_or(u32::MAX);
        }
        content.reader_waits |= batch.count == 0;
        Ok(batch)
    }
}

impl Content {
    fn has_room(&self) -> bool {
        let Some(seq) = self.followers.values().min().copied() else { return true };
        let at = self
            .chunks
            .partition_point(|chunk| chunk.first_seq + (chunk.starts.len() as u64) <= seq);
        // Counts the whole chunk around it as unread: a chunk is small.
        let read = self.chunks.get(at).map_or(self.total_bytes, |chunk| chunk.before_bytes);
        self.total_bytes - read < (self.limit_bytes / 2).min(UNREAD_LIMIT_BYTES) as u64
    }

    fn wake_reader(&mut self) {
        if self.reader_waits
            && let Some(wake) = &self.wake
        {
            wake();
            self.reader_waits = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use stillpoint_vmm::event::EventBody;

    fn tick(seq: u64) -> Event {
        Event { seq, at_nanos: seq * 10, body: EventBody::HeartbeatTick { count: seq } }
    }

    #[test]
    fn any_cut_of_a_log_gives_the_same_events() {
        let log = EventLog::new(5, usize::MAX);
        let mut expected = Vec::new();
        for seq in 5..20_000 {
            let mut one = Vec::new();
            encode(&tick(seq), &mut one);
            expected.push(one);
            log.append(&[tick(seq)]);
        }
        for from in [5, 6, 100, 4_000, 19_998, 19_999] {
            for max in [1, 1_000, 100_000, usize::MAX] {
                let mut bytes = Vec::new();
                let mut next = from;
                loop {
                    let batch = log.read(next, max).unwrap();
                    if batch.count == 0 {
                        break;
                    }
                    assert_eq!(batch.first_seq, next);
                    next += u64::from(batch.count);
                    bytes.extend(batch.bytes);
                }
                assert_eq!(next, 20_000);
                let skip = usize::try_from(from - 5).unwrap();
                assert_eq!(bytes, expected[skip..].concat());
            }
        }
        assert_eq!(log.read(20_000, 1).unwrap().count, 0);
        assert_eq!(log.read(30_000, 1).unwrap().count, 0);
    }

    #[test]
    fn a_reader_is_woken_once_after_each_read_that_found_nothing() {
        let log = EventLog::new(0, usize::MAX);
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        log.set_wake(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        log.append(&[tick(0)]);
        assert_eq!(woken.load(Ordering::SeqCst), 0, "nobody has read yet");
        assert_eq!(log.read(0, usize::MAX).unwrap().count, 1);
        log.append(&[tick(1)]);
        assert_eq!(woken.load(Ordering::SeqCst), 0, "it found something, and will look again");
        assert_eq!(log.read(1, usize::MAX).unwrap().count, 1);
        assert_eq!(log.read(2, usize::MAX).unwrap().count, 0);
        log.append(&[tick(2)]);
        log.append(&[tick(3)]);
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(log.read(2, usize::MAX).unwrap().count, 2);
        assert_eq!(log.read(4, usize::MAX).unwrap().count, 0);
        log.end();
        assert_eq!(woken.load(Ordering::SeqCst), 2);
        assert!(log.read(4, usize::MAX).unwrap().ended);
    }

    #[test]
    fn whoever_follows_loses_nothing_and_holds_up_nobody_but_the_guest() {
        let log = Arc::new(EventLog::new(0, 400_000));
        let follower = log.follow(0);
        let ahead = log.follow(u64::MAX);
        let guest = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for seq in 0..100_000 {
                    log.wait_for_room(|| false);
                    log.append(&[tick(seq)]);
                }
            }
        });
        let mut next = 0;
        while next < 100_000 {
            let batch = log.read(next, 1).unwrap();
            assert!(log.size_bytes() <= 400_000);
            next += u64::from(batch.count);
            log.followed(follower, next);
        }
        guest.join().unwrap();
        // A follower that stops reading stops the guest, until it unfollows or the guest is called.
        let stuck = log.follow(log.oldest_seq());
        while log.has_room() {
            log.append(&[tick(log.next_seq())]);
        }
        log.wait_for_room(|| true);
        assert!(!log.has_room());
        log.unfollow(stuck);
        log.unfollow(ahead);
        log.wait_for_room(|| false);
        assert!(log.has_room());
    }

    #[test]
    fn what_is_kept_takes_hardly_more_than_its_bytes_whatever_the_size_of_events() {
        for piece_bytes in [1, 1_000, 30_000, 60_000, 300_000] {
            let log = EventLog::new(0, 4_000_000);
            for seq in 0..8_000_000 / (piece_bytes as u64 + 100) {
                let body = EventBody::GuestPanicked { message: "x".repeat(piece_bytes) };
                log.append(&[Event { seq, at_nanos: seq, body }]);
            }
            let content = log.lock();
            let room: usize = content.chunks.iter().map(|it| it.bytes.capacity()).sum();
            assert!(room < content.bytes / 10 * 11 + 700_000, "{room} for {}", content.bytes);
        }
    }

    #[test]
    fn what_passes_the_limit_is_named_when_it_is_asked_for() {
        let log = EventLog::new(0, 300_000);
        for seq in 0..100_000 {
            log.append(&[tick(seq)]);
        }
        assert!(log.size_bytes() <= 300_000);
        let lost = log.read(0, usize::MAX).unwrap_err();
        assert_eq!(lost, EventsLost { asked: 0, oldest: log.oldest_seq() });
        let rest = log.read(lost.oldest, usize::MAX).unwrap();
        assert_eq!(rest.first_seq + u64::from(rest.count), 100_000);
    }
}
