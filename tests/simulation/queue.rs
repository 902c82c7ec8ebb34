//! What is going to happen, in the order of its time; what happens at the same time, in the order of its entry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use primacy_engine::time::Time;

/// A queue of things that happen.
#[derive(Debug)]
pub struct Queue<T> {
    /// Time, entry, and where the thing is kept, so that the heap moves small things.
    heap: BinaryHeap<Reverse<(Time, u32, u32)>>,
    kept: Vec<Option<T>>,
    free: Vec<u32>,
    entries: u32,
}

impl<T> Queue<T> {
    /// An empty one.
    pub fn new() -> Self {
        Queue {
            heap: BinaryHeap::with_capacity(64),
            kept: Vec::with_capacity(64),
            free: Vec::new(),
            entries: 0,
        }
    }

    /// Lets `what` happen at `at`.
    pub fn push(&mut self, at: Time, what: T) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.kept.push(None);
                u32::try_from(self.kept.len() - 1).expect("a run is short")
            }
        };
        self.kept[slot as usize] = Some(what);
        self.entries += 1;
        self.heap.push(Reverse((at, self.entries, slot)));
    }

    /// When the next thing happens.
    pub fn next(&self) -> Time {
        self.heap.peek().map_or(Time::NEVER, |Reverse((at, ..))| *at)
    }

    /// The next thing.
    pub fn pop(&mut self) -> Option<T> {
        let Reverse((_, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.kept[slot as usize].take()
    }
}
