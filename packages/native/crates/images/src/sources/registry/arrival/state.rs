//! Which blocks are here, and which are to be fetched next.

use crate::error::ImageError;
use std::collections::VecDeque;
use std::ops::Range;

/// Blocks of one request ahead; whoever waits meanwhile has the other fetchers.
const MOST_RUN: usize = 64;

/// Blocks around one that somebody waits for: its neighbours are often next.
const WINDOW: usize = 8;

/// Failures that are remembered for those that wait.
const MOST_FAILURES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    Absent,
    /// Among the demands.
    Wanted,
    Coming,
    Here,
}

#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) file: usize,
    pub(super) blocks: Range<usize>,
}

impl Run {
    fn meets(&self, file: usize, blocks: &Range<usize>) -> bool {
        self.file == file && self.blocks.start < blocks.end && blocks.start < self.blocks.end
    }
}

struct Failure {
    number: u64,
    run: Run,
    error: ImageError,
}

pub(super) struct State {
    pub(super) blocks: Vec<Vec<Block>>,
    /// Blocks that are not here.
    pub(super) left: usize,
    demands: VecDeque<Run>,
    pub(super) ahead: VecDeque<Run>,
    /// Runs of `ahead` that are being fetched.
    pub(super) ahead_coming: usize,
    pub(super) ahead_failed: Option<ImageError>,
    failures: VecDeque<Failure>,
    /// Failures so far.
    pub(super) failed: u64,
    pub(super) fetched_bytes: u64,
    pub(super) is_closed: bool,
}

impl State {
    pub(super) fn new(blocks: Vec<Vec<Block>>) -> Self {
        Self {
            left: blocks.iter().flatten().filter(|block| **block != Block::Here).count(),
            blocks,
            demands: VecDeque::new(),
            ahead: VecDeque::new(),
            ahead_coming: 0,
            ahead_failed: None,
            failures: VecDeque::new(),
            failed: 0,
            fetched_bytes: 0,
            is_closed: false,
        }
    }

    /// The failure of any of these blocks after so many failures.
    pub(super) fn failure_of(
        &self,
        file: usize,
        blocks: &Range<usize>,
        before: u64,
    ) -> Option<ImageError> {
        let is_ours = |one: &&Failure| one.number > before && one.run.meets(file, blocks);
        self.failures.iter().find(is_ours).map(|failure| failure.error.clone())
    }

    /// Puts blocks and their neighbours among the demands; whether any was not.
    pub(super) fn demand(&mut self, file: usize, blocks: &Range<usize>) -> bool {
        let Some(all) = self.blocks.get_mut(file) else { return false };
        let is_absent = |block: &Block| *block == Block::Absent;
        if !all[blocks.clone()].iter().any(is_absent) {
            return false;
        }
        let begin = blocks.start / WINDOW * WINDOW;
        let end = blocks.end.next_multiple_of(WINDOW).min(all.len());
        for block in all[begin..end].iter_mut().filter(|block| is_absent(block)) {
            *block = Block::Wanted;
        }
        self.demands.push_back(Run { file, blocks: begin..end });
        true
    }

    /// The next run to fetch, and whether it is one ahead.
    pub(super) fn next(&mut self) -> Option<(Run, bool)> {
        while let Some(asked) = self.demands.pop_front() {
            if let Some((run, left)) = self.claim(&asked, |block| block == Block::Wanted) {
                self.demands.extend(left);
                return Some((run, false));
            }
        }
        while let Some(asked) = self.ahead.pop_front() {
            let is_wanted = |block| matches!(block, Block::Absent | Block::Wanted);
            if let Some((run, left)) = self.claim(&asked, is_wanted) {
                if let Some(left) = left {
                    self.ahead.push_front(left);
                }
                self.ahead_coming += 1;
                return Some((run, true));
            }
        }
        None
    }

    /// Takes the first blocks of a run that are wanted; the rest of it is left.
    fn claim(
        &mut self,
        asked: &Run,
        is_wanted: impl Fn(Block) -> bool,
    ) -> Option<(Run, Option<Run>)> {
        let Run { file, blocks } = asked.clone();
        let all = self.blocks.get_mut(file)?;
        let first = blocks.clone().find(|block| is_wanted(all[*block]))?;
        let most = blocks.end.min(first + MOST_RUN);
        let end = (first..most).find(|block| !is_wanted(all[*block])).unwrap_or(most);
        let run = first..end;
        all[run.clone()].fill(Block::Coming);
        let left = run.end..blocks.end;
        let left = (!left.is_empty()).then_some(Run { file, blocks: left });
        Some((Run { file, blocks: run }, left))
    }

    pub(super) fn land(&mut self, Run { file, blocks }: &Run) {
        let Some(all) = self.blocks.get_mut(*file) else { return };
        for block in all[blocks.clone()].iter_mut().filter(|block| **block != Block::Here) {
            *block = Block::Here;
            self.left -= 1;
        }
    }

    pub(super) fn fail(&mut self, run: Run, error: ImageError, is_ahead: bool) {
        if let Some(all) = self.blocks.get_mut(run.file) {
            let coming = |block: &&mut Block| **block == Block::Coming;
            all[run.blocks.clone()].iter_mut().filter(coming).for_each(|b| *b = Block::Absent);
        }
        if is_ahead {
            self.ahead.clear();
            self.ahead_failed = Some(error.clone());
        }
        self.failed += 1;
        self.failures.push_back(Failure { number: self.failed, run, error });
        if self.failures.len() > MOST_FAILURES {
            self.failures.pop_front();
        }
    }
}
