//! The clock that deadlines stand on: how fast it runs beside one that nobody corrects.
//!
//! The time of day does not matter to elections; how long a second is, does. A margin covers what it is wrong by.

use primacy::config::Settings;
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

use crate::finding::Finding;

/// Shorter than this is not long enough to tell.
const LONG_ENOUGH: Duration = Duration::from_millis(50);

/// See the module.
pub struct Rate {
    /// That counts suspend, and is corrected by NTP.
    boot: f64,
    raw: f64,
}

impl Rate {
    pub fn begin() -> Rate {
        Rate { boot: now(ClockId::Boottime), raw: now(ClockId::MonotonicRaw) }
    }

    /// What it was since, if the margin covers it.
    pub fn end(self, settings: &Settings) -> Result<String, Finding> {
        let mut end = Rate::begin();
        if end.raw - self.raw < LONG_ENOUGH.as_secs_f64() {
            std::thread::sleep(LONG_ENOUGH);
            end = Rate::begin();
        }
        let rate = (end.boot - self.boot) / (end.raw - self.raw) - 1.0;
        let margin = settings.margin.unwrap_or(settings.ttl / 10);
        let covered = margin.as_secs_f64() / settings.ttl.as_secs_f64();
        told(rate, covered)
    }
}

fn told(rate: f64, covered: f64) -> Result<String, Finding> {
    let per_million = (rate * 1e6).round() + 0.0; // not "-0"
    // Half of what is covered: etcd's clock may be wrong as well, the other way.
    if rate.abs() > covered / 2.0 {
        return Err(Finding::wrong(
            "clock",
            format!(
                "runs {per_million:+.0} millionths beside the raw one, or was stopped or suspended just now"
            ),
            "look what corrects it (ntpd, chronyd, a hypervisor), or raise primacy.margin_ms",
        ));
    }
    Ok(format!(
        "clock: runs {per_million:+.0} millionths beside the raw one; the margin covers {:.0}",
        covered * 1e6
    ))
}

fn now(clock: ClockId) -> f64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    tv_sec as f64 + tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_when_it_uses_up_half_of_the_margin() {
        assert!(told(500e-6, 0.1).unwrap().contains("+500 millionths"));
        assert!(told(-0.049, 0.1).is_ok());
        assert!(told(0.051, 0.1).unwrap_err().what.contains("+51000"));
        assert!(told(-0.051, 0.1).is_err());
    }
}
