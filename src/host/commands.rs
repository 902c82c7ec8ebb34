//! What the host has asked for and the driver has not taken yet.
//!
//! A host may ask in a loop, faster than anybody can follow. What is asked for again while it waits is asked for once,
//! so that no more waits than there are things to ask for. What has to be over in time counts from the call: the time
//! that it waits here is part of that.

use std::collections::{HashMap, VecDeque};
use std::mem::{Discriminant, discriminant};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, Time};
use crate::engine::{CallId, ElectionId, Event};
use crate::runtime::lock;

/// See the module.
pub(crate) struct Commands {
    clock: Clock,
    waiting: Mutex<Waiting>,
    came: Notify,
}

#[derive(Default)]
struct Waiting {
    asked: VecDeque<Asked>,
    /// How many have been taken: the place of the first that waits.
    taken: usize,
    places: HashMap<Key, usize>,
}

/// Two events of one key ask for the same.
type Key = (Discriminant<Event>, Option<ElectionId>, Option<CallId>);

struct Asked {
    event: Event,
    /// When it has to be over, if it says so.
    until: Option<Time>,
}

impl Commands {
    pub fn new(clock: Clock) -> Commands {
        Commands { clock, waiting: Mutex::default(), came: Notify::new() }
    }

    /// Asks for something, on any thread. Never blocks.
    pub fn ask(&self, mut event: Event) {
        let key = key(&event);
        let until = timeout(&mut event).map(|timeout| self.clock.now() + *timeout);
        let Waiting { asked, taken, places } = &mut *lock(&self.waiting);
        if let Some(same) = places.get(&key).and_then(|place| asked.get_mut(place - *taken)) {
            // What is said last holds, but for a time that was nearer.
            *same = Asked { event, until: same.until.min(until) };
            return;
        }
        places.insert(key, *taken + asked.len());
        asked.push_back(Asked { event, until });
        self.came.notify_one();
    }

    /// The next thing, in the order in which they were asked for first. May be dropped and called anew.
    pub async fn next(&self) -> Event {
        loop {
            // Those who wait for the same thread get their turn, however much there is to take.
            tokio::task::coop::consume_budget().await;
            match self.take() {
                Some(event) => return event,
                None => self.came.notified().await,
            }
        }
    }

    fn take(&self) -> Option<Event> {
        let Asked { mut event, until } = {
            let mut waiting = lock(&self.waiting);
            let asked = waiting.asked.pop_front()?;
            waiting.taken += 1;
            waiting.places.remove(&key(&asked.event));
            asked
        };
        if let (Some(timeout), Some(until)) = (timeout(&mut event), until) {
            *timeout = until.since(self.clock.now());
        }
        Some(event)
    }
}

/// What an event asks for. Each that says what happened, and asks for nothing, has a key of its own.
fn key(event: &Event) -> Key {
    let (election, within) = match event {
        Event::Register { election, .. } | Event::Campaign { election } | Event::Unread { election, .. } => {
            (Some(*election), None)
        }
        Event::Resign { election, within } | Event::Withdraw { election, within, .. } => {
            (Some(*election), *within)
        }
        Event::Stop { within, .. } => (None, *within),
        Event::Taken { call } | Event::Completed { call, .. } => (None, Some(*call)),
        Event::Tick | Event::Open | Event::MarkStopping => (None, None),
        // Told by the store, not here.
        Event::Answered { .. }
        | Event::Watching { .. }
        | Event::Watched { .. }
        | Event::WatchEnded { .. } => (None, None),
    };
    (discriminant(event), election, within)
}

fn timeout(event: &mut Event) -> Option<&mut Duration> {
    match event {
        Event::Withdraw { timeout, .. } | Event::Stop { timeout, .. } => Some(timeout),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(commands: &Commands) -> Vec<String> {
        std::iter::from_fn(|| commands.take()).map(|event| event.to_string()).collect()
    }

    #[tokio::test]
    async fn what_is_asked_for_again_while_it_waits_waits_once_and_in_its_place() {
        let commands = Commands::new(Clock::Boot);
        let (one, other) = (ElectionId(1), ElectionId(2));
        for _ in 0..100_000 {
            commands.ask(Event::Campaign { election: one });
            commands.ask(Event::Resign { election: one, within: None });
            commands.ask(Event::Resign { election: other, within: None });
            commands.ask(Event::Resign { election: one, within: Some(CallId(3)) });
            commands.ask(Event::MarkStopping);
        }
        assert_eq!(
            all(&commands),
            ["campaign e1", "resign e1", "resign e2", "resign e1 within=c3", "mark stopping"]
        );
        commands.ask(Event::Resign { election: one, within: None });
        assert_eq!(commands.next().await, Event::Resign { election: one, within: None });
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_counts_from_the_call_and_the_shortest_one_counts() {
        let commands = Commands::new(Clock::Tokio(tokio::time::Instant::now()));
        let stop = |seconds| Event::Stop { timeout: Duration::from_secs(seconds), within: None };
        commands.ask(stop(5));
        tokio::time::sleep(Duration::from_secs(1)).await;
        commands.ask(stop(9));
        commands.ask(stop(3));
        commands.ask(stop(8));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(commands.next().await, stop(1));
        commands.ask(stop(3));
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(commands.next().await, stop(0));
    }
}
