//! Sharing between machines cannot be observed: families of machines fork, write their own code,
//! have it written, restart from their state and end, beside machines that share nothing.

use super::*;
use crate::jit::Store;
use std::sync::Arc;

/// A machine that shares, and the same one that does not.
struct Pair {
    platform: Platform,
    engine: Box<dyn Engine>,
    alone_platform: Platform,
    alone: Box<dyn Engine>,
    /// Where the one that shares has its translations from.
    store: Arc<Store>,
    at: u64,
    ended: bool,
}

#[derive(Debug, Clone)]
enum Act {
    /// Run for so many nanoseconds.
    Run(u64),
    /// Go on as a fork, too.
    Fork,
    /// Leave what was decoded to the others.
    Leave,
    /// Have the host write two bytes of code, or any others.
    Write(u64, u16),
    /// Begin again from the saved state, with everything derived lost.
    Reload,
    /// End, leaving what was decoded.
    End,
}

fn act() -> impl Strategy<Value = Act> {
    let write = (0..CODE_BYTES as u64 / 2, any::<u16>(), 0..4u8).prop_map(|(half, bits, what)| {
        // The content may stay the same, and become another page all the same.
        let bits = [0x0001, bits, bits | 3, 0x8082][usize::from(what)];
        Act::Write(2 * half, bits)
    });
    prop_oneof![
        8 => prop_oneof![1..30u64, 1..3000u64].prop_map(Act::Run),
        3 => Just(Act::Fork),
        2 => Just(Act::Leave),
        2 => write,
        1 => Just(Act::Reload),
        1 => Just(Act::End),
    ]
}

/// Most machines at a time.
const MOST: usize = 6;

impl Pair {
    fn new(case: &Case, heat: Option<u32>) -> Self {
        let (platform, mut engine) = machine(case, heat);
        let (alone_platform, mut alone) = machine(case, heat);
        engine.set_sharing(0);
        alone.set_sharing(usize::MAX);
        let store = warm::store();
        engine.set_store(store.clone());
        alone.set_store(warm::store());
        let (engine, alone) = (Box::new(engine), Box::new(alone));
        Self { platform, engine, alone_platform, alone, store, at: 0, ended: false }
    }

    fn fork(&mut self) -> Self {
        self.engine.leave_derived(self.platform.memory.as_mut(), true);
        self.alone.leave_derived(self.alone_platform.memory.as_mut(), true);
        let mut platform = self.platform.fork();
        // Its parent's watches do not apply to the fork: restored machines begin without, too.
        for page in 0..RAM_BYTES / 0x1000 {
            platform.memory.watch_page(RAM + 0x1000 * page, false);
        }
        Self {
            engine: self.engine.fork(),
            platform,
            alone: self.alone.fork(),
            alone_platform: self.alone_platform.fork(),
            store: self.store.clone(),
            ..*self
        }
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let mut expected = vec![0; RAM_BYTES as usize];
        let mut found = expected.clone();
        prop_assert!(self.alone_platform.memory.read(RAM, &mut expected).is_ok());
        prop_assert!(self.platform.memory.read(RAM, &mut found).is_ok());
        prop_assert_eq!(self.alone.registers(), self.engine.registers(), "at {}", self.at);
        prop_assert!(self.alone.save() == self.engine.save(), "state at {}", self.at);
        prop_assert!(expected == found, "memory at {}", self.at);
        Ok(())
    }

    fn run(&mut self, nanos: u64) -> Result<(), TestCaseError> {
        if self.ended {
            return Ok(());
        }
        self.at += nanos;
        self.ended = advance_any(&mut self.platform, &mut *self.engine, self.at);
        let ended = advance_any(&mut self.alone_platform, &mut *self.alone, self.at);
        prop_assert_eq!(self.ended, ended);
        self.compare()
    }

    fn write(&mut self, offset: u64, bits: u16) {
        for memory in [self.platform.memory.as_mut(), self.alone_platform.memory.as_mut()] {
            assert!(memory.poke(CODE + offset, &bits.to_le_bytes()).is_ok());
        }
    }

    fn reload(&mut self, heat: Option<u32>) -> Result<(), TestCaseError> {
        let stores = [self.store.clone(), warm::store()];
        let engines = [(&mut self.engine, 0), (&mut self.alone, usize::MAX)];
        for ((engine, sharing), store) in engines.into_iter().zip(stores) {
            let mut fresh = Soft::new();
            fresh.set_store(store);
            fresh.set_translation(heat);
            fresh.set_sharing(sharing);
            let loaded = fresh.load(&engine.save());
            prop_assert!(loaded.is_ok(), "{:?}", loaded);
            *engine = Box::new(fresh);
        }
        Ok(())
    }
}

fn family_as_if_alone(
    case: &Case,
    heat: Option<u32>,
    acts: &[(usize, Act)],
) -> Result<(), TestCaseError> {
    let mut pairs = vec![Pair::new(case, heat)];
    for (who, act) in acts {
        let count = pairs.len();
        let pair = &mut pairs[who % count];
        match act {
            Act::Run(nanos) => pair.run(*nanos)?,
            Act::Fork if count < MOST => {
                let fork = pair.fork();
                pairs.push(fork);
            }
            Act::Leave => pair.engine.leave_derived(pair.platform.memory.as_mut(), false),
            Act::Write(offset, bits) => pair.write(*offset, *bits),
            Act::Reload => pair.reload(heat)?,
            Act::End if count > 1 => {
                pair.engine.leave_derived(pair.platform.memory.as_mut(), false);
                drop(pairs.swap_remove(who % count));
            }
            Act::Fork | Act::End => {}
        }
    }
    for pair in &mut pairs {
        pair.run(2000)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn machines_that_share_blocks_are_the_same_as_machines_that_do_not(
        code in vec(instruction(), 1..160),
        registers in registers(),
        patch in (instruction(), instruction()),
        acts in vec((0..64usize, act()), 4..40),
        paging: bool,
        heat in prop_oneof![Just(None), (0..4u32).prop_map(Some), Just(Some(64))],
    ) {
        family_as_if_alone(&Case { code, registers, patch, paging }, heat, &acts)?;
    }
}

/// A loop over a function, and nothing else.
fn calling() -> Case {
    // s9: jal ra,8; jr s9; function: addi t0,t0,1; ret
    let code = vec![0x0080_00ef, 0x000c_8067, 0x0012_8293, 0x0000_8067];
    Case { code, registers: vec![0; 19], patch: (0, 0), paging: false }
}

fn soft(case: &Case) -> (Platform, Soft) {
    let (platform, mut engine) = machine(case, Some(8));
    engine.set_sharing(0);
    engine.set_store(warm::store());
    (platform, engine)
}

/// A fork of a machine that decodes nothing itself if `engine` has left it everything.
fn fork(platform: &mut Platform, engine: &mut Soft) -> (Platform, Soft) {
    engine.leave_derived(platform.memory.as_mut(), true);
    let mut fork = Soft::new();
    fork.set_translation(Some(u32::MAX));
    fork.set_sharing(0);
    fork.set_store(warm::store());
    assert!(fork.load(&engine.save()).is_ok());
    (platform.fork(), fork)
}

#[test]
fn a_fork_executes_what_its_parent_decoded() {
    let (mut platform, mut parent) = soft(&calling());
    assert!(!advance(&mut platform, &mut parent, 500));
    let (mut fork_platform, mut fork) = fork(&mut platform, &mut parent);
    assert!(!advance(&mut fork_platform, &mut fork, 1000));
    let (given, own) = fork.blocks();
    assert!(given > 0 && own == 0, "{given} given, {own} own");
}

#[test]
fn a_write_to_code_in_one_fork_leaves_the_others_alone() {
    let (mut platform, mut parent) = soft(&calling());
    assert!(!advance(&mut platform, &mut parent, 500));
    let (mut one_platform, mut one) = fork(&mut platform, &mut parent);
    let (mut other_platform, mut other) = fork(&mut platform, &mut parent);
    let counted = |engine: &Soft| engine.hart().r[5];
    // The function adds 100 in one of them, after both have entered it.
    for (platform, engine) in [(&mut one_platform, &mut one), (&mut other_platform, &mut other)] {
        assert!(!advance(platform, engine, 1000));
    }
    let function = other.hart().r[25] + 8;
    assert!(one_platform.memory.poke(function, &0x0642_8293u32.to_le_bytes()).is_ok());
    let before = counted(&one);
    assert_eq!(before, counted(&other));
    for (platform, engine) in [(&mut one_platform, &mut one), (&mut other_platform, &mut other)] {
        assert!(!advance(platform, engine, 1400));
    }
    assert_eq!(counted(&one) - before, 100 * (counted(&other) - before));
    assert!(one.blocks().1 > 0, "what was written is decoded anew");
    assert_eq!(other.blocks().1, 0, "what was not is still shared");
}

#[test]
fn what_the_host_wrote_just_before_a_fork_is_what_the_fork_executes() {
    let (mut platform, mut parent) = soft(&calling());
    assert!(!advance(&mut platform, &mut parent, 500));
    let function = parent.hart().r[25] + 8;
    assert!(platform.memory.poke(function, &0x0642_8293u32.to_le_bytes()).is_ok());
    let (mut fork_platform, mut fork) = fork(&mut platform, &mut parent);
    let before = fork.hart().r[5];
    assert!(!advance(&mut fork_platform, &mut fork, 1000));
    assert_eq!((fork.hart().r[5] - before) % 100, 0);
    assert_ne!(fork.hart().r[5], before);
}

#[test]
fn what_a_family_shared_ends_with_it() {
    let (mut platform, mut parent) = soft(&calling());
    assert!(!advance(&mut platform, &mut parent, 500));
    let (fork_platform, fork) = fork(&mut platform, &mut parent);
    let shared = platform.memory.derived().get::<crate::block::SharedBlocks>();
    let shared = shared.map(|shared| std::sync::Arc::downgrade(&shared));
    assert!(shared.as_ref().is_some_and(|shared| shared.strong_count() > 0));
    drop((platform, parent));
    assert!(shared.as_ref().is_some_and(|shared| shared.strong_count() > 0));
    drop((fork_platform, fork));
    assert!(shared.is_some_and(|shared| shared.strong_count() == 0));
}

#[test]
fn what_each_machine_of_a_family_lacks_a_little_of_is_shared_in_the_end() {
    // A chain of jumps to the next instruction, each a block.
    let chain =
        Case { code: vec![0x0040_006f; 150], registers: vec![0; 19], patch: (0, 0), paging: false };
    let (mut platform, mut parent) = machine(&chain, Some(u32::MAX));
    parent.set_sharing(4);
    assert!(!advance(&mut platform, &mut parent, 100));
    parent.leave_derived(platform.memory.as_mut(), true);
    let mut decoded = Vec::new();
    for _ in 0..5 {
        let (mut platform, mut fork) = (platform.fork(), Soft::new());
        fork.set_translation(Some(u32::MAX));
        fork.set_sharing(4);
        assert!(fork.load(&parent.save()).is_ok());
        // Far less than a quarter of what is shared.
        assert!(!advance(&mut platform, &mut fork, 110));
        decoded.push(fork.blocks().1);
        fork.leave_derived(platform.memory.as_mut(), false);
    }
    assert!(decoded[0] >= 8 && decoded[4] == 0, "{decoded:?}");
}
