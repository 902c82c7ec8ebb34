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

use super::callback;
use super::lock::lock;
use crate::clock::{Clock, Time};
use crate::engine::{CallId, ElectionId, Event};

/// What the driver is told by the host's side.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// Something for the engine.
    Event(Event),
    /// The host knows that this election is over.
    Over(ElectionId),
}

/// See the module.
pub(super) struct Commands {
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

/// Two commands of one key ask for the same.
type Key = (Option<Discriminant<Event>>, Option<ElectionId>, Option<CallId>);

struct Asked {
    command: Command,
    /// When it has to be over, if it says so.
    until: Option<Time>,
}

impl Commands {
    pub fn new(clock: Clock) -> Commands {
        Commands { clock, waiting: Mutex::default(), came: Notify::new() }
    }

    /// Asks for something, on any thread. Never blocks.
    pub fn ask(&self, event: Event) {
        self.add(Command::Event(event));
    }

    /// Says that the host knows an election to be over.
    pub fn say_over(&self, election: ElectionId) {
        self.add(Command::Over(election));
    }

    /// By which threads that run callbacks of this session know it.
    pub fn session(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The call of this session that the present thread runs.
    pub fn current_call(&self) -> Option<CallId> {
        callback::of(self.session())
    }

    fn add(&self, mut command: Command) {
        let key = key(&command);
        let until = timeout(&mut command).map(|timeout| self.clock.now() + *timeout);
        let Waiting { asked, taken, places } = &mut *lock(&self.waiting);
        if let Some(same) = places.get(&key).and_then(|place| asked.get_mut(place - *taken)) {
            // What is said last holds, but for a time that was nearer.
            *same = Asked { command, until: same.until.min(until) };
            return;
        }
        places.insert(key, *taken + asked.len());
        asked.push_back(Asked { command, until });
        self.came.notify_one();
    }

    /// The next thing, in the order in which they were asked for first. May be dropped and called anew.
    pub async fn next(&self) -> Command {
        loop {
            // Those who wait for the same thread get their turn, however much there is to take.
            tokio::task::coop::consume_budget().await;
            match self.take() {
                Some(command) => return command,
                None => self.came.notified().await,
            }
        }
    }

    fn take(&self) -> Option<Command> {
        let Asked { mut command, until } = {
            let mut waiting = lock(&self.waiting);
            let asked = waiting.asked.pop_front()?;
            waiting.taken += 1;
            waiting.places.remove(&key(&asked.command));
            asked
        };
        if let (Some(timeout), Some(until)) = (timeout(&mut command), until) {
            *timeout = until.since(self.clock.now());
        }
        Some(command)
    }
}

/// What a command asks for. Each that says what happened, and asks for nothing, has a key of its own.
fn key(command: &Command) -> Key {
    let event = match command {
        Command::Event(event) => event,
        Command::Over(election) => return (None, Some(*election), None),
    };
    let (election, within) = match event {
        Event::Register { election, .. }
        | Event::Campaign { election }
        | Event::Unread { election, .. }
        | Event::Healthy { election }
        | Event::Examined { election, .. } => (Some(*election), None),
        Event::Resign { election, within }
        | Event::Transfer { election, within, .. }
        | Event::Withdraw { election, within, .. } => (Some(*election), *within),
        Event::Stop { within, .. } => (None, *within),
        Event::Taken { call } | Event::Completed { call, .. } => (None, Some(*call)),
        Event::Tick | Event::Open | Event::MarkStopping => (None, None),
        // Told by the store, not here.
        Event::Answered { .. }
        | Event::Watching { .. }
        | Event::Watched { .. }
        | Event::WatchEnded { .. } => (None, None),
    };
    (Some(discriminant(event)), election, within)
}

fn timeout(command: &mut Command) -> Option<&mut Duration> {
    match command {
        Command::Event(Event::Withdraw { timeout, .. } | Event::Stop { timeout, .. }) => Some(timeout),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(commands: &Commands) -> Vec<String> {
        let text = |command| match command {
            Command::Event(event) => event.to_string(),
            Command::Over(election) => format!("over {election}"),
        };
        std::iter::from_fn(|| commands.take()).map(text).collect()
    }

    #[tokio::test]
    async fn what_is_asked_for_again_while_it_waits_waits_once_and_in_its_place() {
        let commands = Commands::new(Clock::BOOT);
        let (one, other) = (ElectionId(1), ElectionId(2));
        for _ in 0..100_000 {
            commands.ask(Event::Campaign { election: one });
            commands.ask(Event::Resign { election: one, within: None });
            commands.ask(Event::Resign { election: other, within: None });
            commands.ask(Event::Resign { election: one, within: Some(CallId(3)) });
            commands.ask(Event::MarkStopping);
            commands.say_over(other);
        }
        assert_eq!(
            all(&commands),
            ["campaign e1", "resign e1", "resign e2", "resign e1 within=c3", "mark stopping", "over e2"]
        );
        commands.ask(Event::Resign { election: one, within: None });
        let resign = Event::Resign { election: one, within: None };
        assert_eq!(commands.next().await, Command::Event(resign));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_counts_from_the_call_and_the_shortest_one_counts() {
        let commands = Commands::new(Clock::of_tokio());
        let stop = |seconds| Event::Stop { timeout: Duration::from_secs(seconds), within: None };
        commands.ask(stop(5));
        tokio::time::sleep(Duration::from_secs(1)).await;
        commands.ask(stop(9));
        commands.ask(stop(3));
        commands.ask(stop(8));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(commands.next().await, Command::Event(stop(1)));
        commands.ask(stop(3));
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(commands.next().await, Command::Event(stop(0)));
    }
}
