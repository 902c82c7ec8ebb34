//! Time limits that doubt nobody else for what this process was too busy to read.
//!
//! A process that was paused, or whose one thread for I/O had too much to do, finds limits that have passed together with
//! answers that have arrived, and which of them it looks at first is chance. So where a limit is looked at late, what has
//! arrived is read first: for as long as we were late, and a second at the most. (Nothing of this touches a lease's
//! deadline, which the engine looks at before anything else.)

use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio::time::{self, Instant};

/// A limit that is looked at so much later was looked at in time.
const PUNCTUAL: Duration = Duration::from_millis(10);
/// The longest that what has arrived is read for.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Tokio's, but for what the module says.
pub(crate) async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let (mut until, mut left) = (deadline, CATCH_UP);
    loop {
        match time::timeout_at(until, &mut future).await {
            Ok(output) => return Ok(output),
            Err(elapsed) => {
                let now = Instant::now();
                let Some(more) = more(until, now, left) else { return Err(elapsed) };
                (until, left) = (now + more, left - more);
            }
        }
    }
}

/// As [`timeout_at`].
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    timeout_at(Instant::now() + limit, future).await
}

/// How long to go on reading after a limit that is looked at `now`; `None`: it was in time.
pub(crate) fn late(limit: Instant, now: Instant) -> Option<Duration> {
    more(limit, now, CATCH_UP)
}

fn more(limit: Instant, now: Instant, left: Duration) -> Option<Duration> {
    Some(now.saturating_duration_since(limit).min(left)).filter(|more| *more >= PUNCTUAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tokio::time::{advance, sleep};

    const LIMIT: Duration = Duration::from_secs(1);

    /// An answer that takes several tasks' turns to get here, as one through a connection does.
    fn answer(after: Duration) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            sleep(after).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let _ = answer.send(());
        });
        answered
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_arrived_when_a_limit_is_looked_at_late_is_read_first() {
        let asked = tokio::spawn(timeout(LIMIT, answer(LIMIT / 2)));
        tokio::task::yield_now().await;
        // Nothing runs meanwhile.
        advance(LIMIT * 2).await;
        assert!(asked.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_looked_at_in_time_counts_and_a_late_one_counts_soon() {
        let began = Instant::now();
        assert!(timeout(LIMIT, answer(LIMIT * 2)).await.is_err());
        assert!(began.elapsed() <= LIMIT + PUNCTUAL);

        let asked = tokio::spawn(timeout(LIMIT, std::future::pending::<()>()));
        tokio::task::yield_now().await;
        advance(LIMIT * 100).await;
        let resumed = Instant::now();
        assert!(asked.await.unwrap().is_err());
        assert!(resumed.elapsed() <= CATCH_UP + PUNCTUAL);
    }
}
