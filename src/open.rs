//! Opens sessions and observers on an etcd, or on what the host lends: the one place that knows settings, the host layer
//! and the stores.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::{CrashGuard, EtcdSettings, Settings};
use crate::crash_guard::{Guarded, Link};
use crate::engine::{ObserverSetup, Setup};
use crate::etcd::Etcd;
use crate::host::observer::{Observer, OnChange};
use crate::host::session::{OpenError, Session};
use crate::host::{Environment, Opening, Runtime, Store};
use crate::lent::{Lender, Lent};
use crate::log::Log;
use crate::milvus::{Candidate, Incarnation, Role};
use crate::process;
use crate::store::{Failure, LeaseId};
use crate::warning;

impl Session {
    /// Opens a session: asks etcd for a lease and takes a server id. Blocks for `etcd.requestTimeout` at most. No
    /// candidate is registered yet.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing is left behind: no thread, no descriptor, no lease that etcd can be told of.
    pub fn open(settings: Settings, candidate: Candidate, log: Log) -> Result<Session, OpenError> {
        Session::open_on(None, settings, candidate, log)
    }

    /// The same, on what the host lends, if it does: then where etcd is, and how it is reached, is the host's affair.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        lent: Option<Arc<dyn Lender>>,
        settings: Settings,
        candidate: Candidate,
        log: Log,
    ) -> Result<Session, OpenError> {
        opening(lent, settings, candidate, log)?.finish()
    }

    /// Starts what [`open_on`](Self::open_on) does, and returns at once; `done` is told how it ended, once. Elections can be
    /// registered before: they begin when it is open. A stop ends the opening, with [`OpenError::Stopped`].
    ///
    /// # Errors
    /// Those that are known at once; then `done` is not called.
    pub fn start_open(
        lent: Option<Arc<dyn Lender>>,
        settings: Settings,
        candidate: Candidate,
        log: Log,
        done: impl FnOnce(Result<(), OpenError>) + Send + 'static,
    ) -> Result<Session, OpenError> {
        Ok(opening(lent, settings, candidate, log)?.finish_later(done))
    }
}

fn opening(
    lent: Option<Arc<dyn Lender>>,
    settings: Settings,
    candidate: Candidate,
    log: Log,
) -> Result<Opening, OpenError> {
    let mut warnings = Vec::new();
    if lent.is_none() {
        warnings.extend(warning::of_address(&settings, candidate.address()));
        warnings.extend(warning::of_user(&settings));
    }
    let is_lent = lent.is_some();
    let mut environment = environment(lent, &settings.etcd, log)?;
    environment.store = guarded(&environment, &settings, is_lent)?;
    settings.notices.iter().for_each(|text| environment.log.info(text));
    let mut candidate = candidate;
    if settings.reclaim {
        let incarnation = Incarnation { process: process::own(), instance: settings.instance.clone() };
        if incarnation.process.is_none() {
            environment.log.warn("primacy.reclaim: /proc does not tell which process this is; without that, only primacy.instance can prove anything");
        }
        candidate.incarnation = Some(incarnation);
    }
    Ok(Opening::begin(environment, setup(settings, candidate), warnings)?)
}

impl Observer {
    /// Opens an observer and reads who is primary. Blocks for `etcd.requestTimeout` at most. Needs no lease and
    /// writes nothing. `on_change` hears of every later change, and of the first state.
    ///
    /// # Errors
    /// As [`Session::open`]; `Refused` also where `role` can not be one.
    pub fn open(
        settings: Settings,
        role: &str,
        log: Log,
        on_change: Option<OnChange>,
    ) -> Result<Observer, OpenError> {
        Observer::open_on(None, settings, role, log, on_change)
    }

    /// The same, on what the host lends, if it does.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        lent: Option<Arc<dyn Lender>>,
        settings: Settings,
        role: &str,
        log: Log,
        on_change: Option<OnChange>,
    ) -> Result<Observer, OpenError> {
        let unused_user = warning::of_user(&settings).filter(|_| lent.is_none());
        let role =
            Role::parse(role).map_err(|error| OpenError::Refused(Failure::Refused(error.to_string())))?;
        let environment = environment(lent, &settings.etcd, log)?;
        if let Some(text) = unused_user {
            environment.log.warn(&text);
        }
        let setup = ObserverSetup {
            root: settings.root,
            layout: settings.layout,
            role,
            reread: settings.ttl / 2,
            request_timeout: settings.etcd.request_timeout,
            seed: fastrand::u64(..),
        };
        Observer::open_in(environment, setup, settings.drain_timeout, on_change)
    }
}

/// In the runtime that all sessions and observers share.
fn environment(
    lent: Option<Arc<dyn Lender>>,
    settings: &EtcdSettings,
    log: Log,
) -> Result<Environment, OpenError> {
    let runtime = Runtime::shared()?;
    let log = log.behind(runtime.callbacks());
    let (report, reports) = mpsc::unbounded_channel();
    let store: Arc<dyn Store> = match lent {
        Some(lender) => {
            Arc::new(Lent::new(lender, settings.request_timeout, runtime.callbacks().clone(), report))
        }
        None => {
            let _inside = runtime.io().enter();
            Arc::new(Etcd::new(settings, report, log.clone()).map_err(OpenError::Refused)?)
        }
    };
    Ok(Environment { store, reports, clock: Clock::BOOT, runtime, log })
}

/// The store, and whoever guards its leases. A guard can not reach what the host lends.
fn guarded(
    environment: &Environment,
    settings: &Settings,
    is_lent: bool,
) -> Result<Arc<dyn Store>, OpenError> {
    let store = environment.store.clone();
    if is_lent {
        return if is_required(&settings.guard) { Err(no_guard_of_lent()) } else { Ok(store) };
    }
    let _inside = environment.runtime.io().enter();
    let link = Link::open(&settings.guard, &settings.etcd, &settings.root, &environment.log);
    Ok(match link.map_err(OpenError::Refused)? {
        Some(link) => Arc::new(Guarded::new(store, link, is_required(&settings.guard))),
        None => store,
    })
}

fn is_required(guard: &CrashGuard) -> bool {
    matches!(guard, CrashGuard::Required | CrashGuard::Helper(_))
}

fn no_guard_of_lent() -> OpenError {
    let why = "primacy.guard is required, and a crash guard needs a way to etcd of its own, which a lent client is not";
    OpenError::Refused(Failure::Refused(why.into()))
}

fn setup(settings: Settings, candidate: Candidate) -> Setup {
    let mut random = fastrand::Rng::new();
    Setup {
        root: settings.root,
        layout: settings.layout,
        candidate,
        ttl: settings.ttl,
        margin: settings.margin,
        priority: settings.priority,
        warmup_interval: settings.warmup_interval,
        activation_timeout: settings.activation_timeout,
        liveness_timeout: settings.liveness_timeout,
        drain_timeout: settings.drain_timeout,
        request_timeout: settings.etcd.request_timeout,
        // Those that follow count up; no other session's range is likely to be near.
        first_lease: LeaseId(random.i64(1 << 40..i64::MAX >> 1) & !0xffff),
        seed: random.u64(..),
    }
}
