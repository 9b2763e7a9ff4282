//! The places of chunks, in runs.

/// A slot of an object, which is counted among some objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::snapshot) struct Place {
    pub(in crate::snapshot) object: u32,
    pub(in crate::snapshot) slot: u32,
}

/// Chunks that follow each other, in slots that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Number of the first chunk, among those that have a place.
    first: u32,
    place: Place,
}

/// The place of each of some chunks, by number.
#[derive(Debug, Default)]
pub(in crate::snapshot) struct Places {
    runs: Vec<Run>,
    count: u32,
}

impl Places {
    pub(in crate::snapshot) fn len(&self) -> usize {
        self.count as usize
    }

    /// Adds the place of the next chunk.
    pub(in crate::snapshot) fn push(&mut self, place: Place) {
        let goes_on = self.runs.last().is_some_and(|run| {
            let length = self.count - run.first;
            run.place.object == place.object && run.place.slot + length == place.slot
        });
        if !goes_on {
            self.runs.push(Run { first: self.count, place });
        }
        self.count += 1;
    }

    /// Adds the places of the next `length` chunks.
    pub(in crate::snapshot) fn push_run(&mut self, place: Place, length: u32) {
        self.runs.push(Run { first: self.count, place });
        self.count += length;
    }

    /// The place of a chunk.
    pub(in crate::snapshot) fn get(&self, number: usize) -> Option<Place> {
        let number = u32::try_from(number).ok().filter(|number| *number < self.count)?;
        let behind = self.runs.partition_point(|run| run.first <= number);
        let run = self.runs.get(behind.checked_sub(1)?)?;
        Some(Place { slot: run.place.slot + (number - run.first), ..run.place })
    }

    /// Each run: the number of its first chunk, the place of that, and its length.
    pub(in crate::snapshot) fn runs(&self) -> impl Iterator<Item = (usize, Place, u32)> + '_ {
        self.runs.iter().enumerate().map(|(at, run)| {
            let end = self.runs.get(at + 1).map_or(self.count, |next| next.first);
            (run.first as usize, run.place, end - run.first)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_chunk_is_found_where_it_was_put(
            all in proptest::collection::vec((0..3u32, 0..4u32), 0..60)
        ) {
            let all: Vec<_> = all.into_iter().map(|(object, slot)| Place { object, slot }).collect();
            let (mut places, mut again) = (Places::default(), Places::default());
            all.iter().for_each(|place| places.push(*place));
            places.runs().for_each(|(_, place, length)| again.push_run(place, length));
            for places in [places, again] {
                prop_assert_eq!(places.len(), all.len());
                let found: Vec<_> = (0..all.len()).filter_map(|at| places.get(at)).collect();
                prop_assert_eq!(&found, &all);
                prop_assert_eq!(places.get(all.len()), None);
            }
        }
    }
}
