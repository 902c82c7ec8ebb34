//! What the driver hears, and what of it first.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::commands::{Command, Commands};
use super::requests::heard;
use super::store::WatchReport;
use crate::clock::{Alarm, Time};
use crate::engine::Event;

/// See the module.
pub(super) struct Inbox {
    pub alarm: Alarm,
    pub answers: mpsc::UnboundedReceiver<Event>,
    pub reports: mpsc::UnboundedReceiver<WatchReport>,
    pub commands: Arc<Commands>,
}

impl Inbox {
    /// The next; a tick if it is `due` before.
    ///
    /// Leases wait for nobody. What watches tell and what the host asks for wait for each other in turn, so that neither
    /// keeps the other from being heard, whatever comes of it.
    ///
    /// # Errors
    /// The text of the panic that ended the watches.
    pub async fn next(&mut self, due: Option<Time>) -> Result<Command, String> {
        let Inbox { alarm, answers, reports, commands } = self;
        tokio::select! {
            biased;
            () = alarm.until(due) => Ok(Command::Event(Event::Tick)),
            Some(answer) = answers.recv() => Ok(Command::Event(answer)),
            command = async {
                tokio::select! {
                    Some(report) = reports.recv() => heard(report).map(Command::Event),
                    command = commands.next() => Ok(command),
                }
            } => command,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::engine::{ElectionId, RequestId, WatchId};
    use crate::store::Failure;

    /// A host that asks in a loop, and more news of watches than anybody can follow, keep no renewal from being heard.
    #[tokio::test(start_paused = true)]
    async fn answers_come_before_what_a_host_asks_for_and_that_before_all_news_are_heard() {
        let clock = Clock::of_tokio();
        let (answer, answers) = mpsc::unbounded_channel();
        let (report, reports) = mpsc::unbounded_channel();
        let commands = Arc::new(Commands::new(clock));
        let mut inbox = Inbox { alarm: clock.alarm().unwrap(), answers, reports, commands: commands.clone() };
        let (watch, resign) = (7, Event::Resign { election: ElectionId(1), within: None });
        for _ in 0..1000 {
            report.send(WatchReport::Confirmed { watch }).unwrap();
            commands.ask(resign.clone());
        }
        let answered = Event::Answered { request: RequestId(1), result: Err(Failure::LeaseNotFound) };
        let tick = Command::Event(Event::Tick);
        for _ in 0..100 {
            answer.send(answered.clone()).unwrap();
            assert_eq!(inbox.next(Some(clock.now())).await, Ok(tick.clone()), "a deadline waits for nothing");
            assert_eq!(inbox.next(None).await, Ok(Command::Event(answered.clone())));
        }
        let news = Command::Event(Event::Watching { watch: WatchId(watch) });
        let mut before = 0;
        while inbox.next(None).await == Ok(news.clone()) {
            before += 1;
        }
        assert!(before < 1000, "what the host asks for waits for all news");
    }
}
