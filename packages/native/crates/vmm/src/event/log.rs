//! The events of a machine so far, kept for late readers, within a limit.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Event;

/// Events in a sealed segment. Segments are shared between forks.
const SEGMENT_EVENTS: usize = 512;

/// The requested events are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "event {asked} is no longer kept, the oldest kept is {oldest}: the reader fell behind by more than the log holds; \
     read events while the guest runs, or raise the limit of the event log"
)]
pub struct EventsLost {
    /// The first requested event.
    pub asked: u64,
    /// The oldest event that is kept.
    pub oldest: u64,
}

impl EventsLost {
    /// The error's name, the same on every side.
    pub fn name(&self) -> &'static str {
        "EventsLost"
    }
}

struct Segment {
    events: Vec<Event>,
    bytes: usize,
}

/// Events in order, the oldest dropped when they pass the limit. Each reader keeps its own
/// cursor, the `seq` of the event that it wants next, so that none waits for another.
pub struct EventLog {
    sealed: VecDeque<Arc<Segment>>,
    tail: Vec<Event>,
    tail_bytes: usize,
    bytes: usize,
    limit_bytes: usize,
    oldest: u64,
    next: u64,
}

impl EventLog {
    /// A log whose first event will have `next` as its `seq`.
    pub fn new(next: u64, limit_bytes: usize) -> Self {
        Self {
            sealed: VecDeque::new(),
            tail: Vec::new(),
            tail_bytes: 0,
            bytes: 0,
            limit_bytes,
            oldest: next,
            next,
        }
    }

    /// The `seq` that the next event will have.
    #[inline]
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// The `seq` of the oldest event kept (or of the next one, if none is).
    pub fn oldest_seq(&self) -> u64 {
        self.oldest
    }

    /// Bytes that the events kept hold, about.
    pub fn size_bytes(&self) -> usize {
        self.bytes + self.tail_bytes
    }

    /// Appends an event whose `seq` is [`Self::next_seq`].
    pub(crate) fn push(&mut self, event: Event) {
        debug_assert_eq!(event.seq, self.next);
        self.next += 1;
        self.tail_bytes += event.body.size_bytes();
        self.tail.push(event);
        if self.tail.len() >= SEGMENT_EVENTS || self.tail_bytes >= self.limit_bytes / 4 {
            self.seal();
        }
        while self.size_bytes() > self.limit_bytes {
            let Some(segment) = self.sealed.pop_front() else { break };
            self.bytes -= segment.bytes;
            self.oldest += segment.events.len() as u64;
        }
    }

    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let segment = Segment { events: std::mem::take(&mut self.tail), bytes: self.tail_bytes };
        self.bytes += std::mem::take(&mut self.tail_bytes);
        self.sealed.push_back(Arc::new(segment));
    }

    /// Up to `most` events from `seq` on.
    ///
    /// # Errors
    /// [`EventsLost`] if events from `seq` on have been dropped for the limit.
    pub fn since(&self, seq: u64, most: usize) -> Result<Vec<Event>, EventsLost> {
        let mut events = Vec::new();
        for piece in self.pieces_since(seq)? {
            let count = piece.len().min(most - events.len());
            events.extend_from_slice(&piece[..count]);
            if events.len() == most {
                break;
            }
        }
        Ok(events)
    }

    /// The events from `seq` on, in pieces as they are kept.
    ///
    /// # Errors
    /// As [`Self::since`].
    pub fn pieces_since(&self, seq: u64) -> Result<impl Iterator<Item = &[Event]>, EventsLost> {
        if seq < self.oldest {
            return Err(EventsLost { asked: seq, oldest: self.oldest });
        }
        // From the end: most readers want what came last.
        let (mut first, mut begins) = (self.sealed.len(), self.next - self.tail.len() as u64);
        while begins > seq && first > 0 {
            first -= 1;
            begins -= self.sealed[first].events.len() as u64;
        }
        let mut skip = seq - begins.min(seq);
        let segments = self.sealed.range(first..).map(|segment| segment.events.as_slice());
        Ok(segments.chain(std::iter::once(self.tail.as_slice())).filter_map(move |segment| {
            let from = usize::try_from(skip).unwrap_or(usize::MAX).min(segment.len());
            skip -= from as u64;
            (from < segment.len()).then(|| &segment[from..])
        }))
    }

    /// A log with the same events, shared.
    pub(crate) fn fork(&mut self) -> Self {
        self.seal();
        Self {
            sealed: self.sealed.clone(),
            tail: Vec::new(),
            tail_bytes: 0,
            bytes: self.bytes,
            limit_bytes: self.limit_bytes,
            oldest: self.oldest,
            next: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::EventBody;
    use super::*;

    fn line(seq: u64) -> Event {
        Event { seq, at_nanos: seq, body: EventBody::SerialLine { port: 0, text: "x".repeat(50) } }
    }

    #[test]
    fn readers_get_every_event_in_order_or_are_told_what_is_lost() {
        let mut log = EventLog::new(5, 1 << 20);
        for seq in 5..2000 {
            log.push(line(seq));
        }
        let mut fork = log.fork();
        log.push(line(2000));
        fork.push(line(2000));
        let events = fork.since(5, usize::MAX).expect("all kept");
        assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), (5..2001).collect::<Vec<_>>());
        let page = log.since(700, 3).expect("all kept");
        assert_eq!(page.iter().map(|e| e.seq).collect::<Vec<_>>(), [700, 701, 702]);
        for seq in 2001..100_000 {
            log.push(line(seq));
        }
        assert!(log.size_bytes() <= 1 << 20);
        let lost = log.since(5, 1).expect_err("dropped");
        assert!(lost.oldest > 5);
        assert_eq!(log.since(lost.oldest, 1).expect("kept")[0].seq, lost.oldest);
        assert!(log.since(100_000, 5).expect("none yet").is_empty());
    }
}
