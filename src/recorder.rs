//! The flight recorder: the last steps of a session, in the text that transcript tests are written in.

use std::collections::VecDeque;
use std::fmt::Write;

use crate::clock::Time;
use crate::engine::{Action, ElectionId, Event};
use crate::log::Level;

/// How many steps are kept.
const STEPS: usize = 512;

/// See the module. Steps are kept as they are, and made into text only when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    steps: VecDeque<(Time, Event, Vec<Action>)>,
}

impl Recorder {
    pub fn keep(&mut self, now: Time, event: Event, actions: &[Action]) {
        if self.steps.len() == STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back((now, event, actions.to_vec()));
    }

    /// The steps that an election had a part in, and those of its session.
    pub fn of(&self, election: ElectionId) -> String {
        let mut text = String::new();
        for (at, event, actions) in &self.steps {
            let own = |action: &&Action| {
                let noise = matches!(action, Action::Log { level, .. } if *level != Level::Error);
                !noise && action.election().is_none_or(|of| of == election)
            };
            let mut shown = actions.iter().filter(own).peekable();
            if shown.peek().is_none() && !actions.is_empty() {
                continue;
            }
            let _ = writeln!(text, "at {at} {event}");
            for action in shown {
                let _ = writeln!(text, "    -> {action}");
            }
        }
        text
    }
}
