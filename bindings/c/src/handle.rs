//! The numbers that C holds instead of pointers. A number names a slot and the slot's generation, so that one
//! that was freed, made up, or belongs to another kind of object is told apart from every live one, for ever.
//!
//! A look-up must not wait: each slot has its own lock, which is only tried. It is taken for writing only while
//! the object in it comes or goes; so whoever finds it taken, or a writer waiting for it, holds a number that is no
//! longer valid, or not yet. An object that is freed is neither, as long as something of it runs: that is a flag.
//! `is_primary` takes not even the lock: see [`win`].

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::Duration;

use engine::clock::Clock;
use engine::engine::Token;
use engine::queue::Queue;
use engine::win::WinCell;

use crate::config::Config;
use crate::election::Election;
use crate::error::Fault;
use crate::observer::Observer;
use crate::result::Answer;
use crate::session::Session;
use crate::status::{PRIMACY_E_HANDLE, PRIMACY_E_INTERNAL, primacy_status};
use crate::txn::Batch;

/// What a slot holds.
enum Object {
    Empty,
    /// A number that was given out before its object exists.
    Reserved,
    Config(Arc<Config>),
    Session(Arc<Session>),
    Election(Arc<Election>),
    Observer(Arc<Observer>),
    Queue(Arc<Queue>),
    Txn(Arc<Batch>),
    Result(Arc<Answer>),
}

/// A kind of object that C knows by a number.
pub(crate) trait Kind: Sized + Send + Sync + 'static {
    fn wrap(object: Arc<Self>) -> Slotted;
    fn find(slotted: &Slotted) -> Option<&Arc<Self>>;
}

/// Hides [`Object`] from the trait's users.
pub(crate) struct Slotted(Object);

macro_rules! kinds {
    ($($name:ident: $kind:ty),*) => {$(
        impl Kind for $kind {
            fn wrap(object: Arc<Self>) -> Slotted {
                Slotted(Object::$name(object))
            }
            fn find(slotted: &Slotted) -> Option<&Arc<Self>> {
                match &slotted.0 {
                    Object::$name(object) => Some(object),
                    _ => None,
                }
            }
        }
    )*};
}

kinds!(
    Config: Config,
    Session: Session,
    Election: Election,
    Observer: Observer,
    Queue: Queue,
    Txn: Batch,
    Result: Answer
);

struct Slot {
    entry: RwLock<Entry>,
    /// The number of the election that is in here and not closing; 0: none.
    election: AtomicU64,
    /// That election's cell.
    win: AtomicPtr<WinCell>,
}

struct Entry {
    generation: u32,
    /// Freed, but something still runs that must be able to end: only [`find_closing`] sees it.
    closing: AtomicBool,
    object: Slotted,
}

/// Slots never move and never go away, so a look-up needs no lock but the slot's own: chunk `n` has 64 * 2^n.
static CHUNKS: [OnceLock<Box<[Slot]>>; 20] = [const { OnceLock::new() }; 20];
static FREE: Mutex<Free> = Mutex::new(Free { indices: Vec::new(), next: 0 });

struct Free {
    indices: Vec<u32>,
    next: u32,
}

/// Numbers stay positive in languages that have signed integers only.
const LAST_GENERATION: u32 = i32::MAX as u32;

#[inline]
fn place(index: u32) -> (usize, usize) {
    let chunk = (index / 64 + 1).ilog2();
    (chunk as usize, (index - 64 * ((1 << chunk) - 1)) as usize)
}

#[inline]
fn slot(index: u32) -> Option<&'static Slot> {
    let (chunk, at) = place(index);
    CHUNKS.get(chunk)?.get()?.get(at)
}

#[inline]
fn split(handle: u64) -> (u32, u32) {
    ((handle >> 32) as u32, handle as u32)
}

fn try_read(handle: u64) -> Result<RwLockReadGuard<'static, Entry>, Fault> {
    let (generation, index) = split(handle);
    let slot = slot(index).ok_or(PRIMACY_E_HANDLE)?;
    let entry = match slot.entry.try_read() {
        Ok(entry) => entry,
        Err(TryLockError::Poisoned(entry)) => entry.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(PRIMACY_E_HANDLE.into()),
    };
    if entry.generation == generation { Ok(entry) } else { Err(PRIMACY_E_HANDLE.into()) }
}

fn write(handle: u64) -> Result<RwLockWriteGuard<'static, Entry>, Fault> {
    let (generation, index) = split(handle);
    // Tried first: taking it for writing on behalf of a made-up number would make a look-up of the real one
    // fail.
    drop(try_read(handle)?);
    let slot = slot(index).ok_or(PRIMACY_E_HANDLE)?;
    let entry = slot.entry.write().unwrap_or_else(PoisonError::into_inner);
    if entry.generation == generation { Ok(entry) } else { Err(PRIMACY_E_HANDLE.into()) }
}

/// A number for an object that will be there later, so that the object can know it.
pub(crate) fn reserve() -> Result<u64, Fault> {
    insert(Slotted(Object::Reserved))
}

/// A number for an object.
pub(crate) fn new<T: Kind>(object: T) -> Result<u64, Fault> {
    insert(T::wrap(Arc::new(object)))
}

fn insert(object: Slotted) -> Result<u64, Fault> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let index = match free.indices.pop() {
        Some(index) => index,
        None => {
            let index = free.next;
            let (chunk, _) = place(index);
            let empty = || Slot {
                entry: RwLock::new(Entry {
                    generation: 0,
                    closing: AtomicBool::new(false),
                    object: Slotted(Object::Empty),
                }),
                election: AtomicU64::new(0),
                win: AtomicPtr::new(ptr::null_mut()),
            };
            let chunk_of =
                CHUNKS.get(chunk).ok_or_else(|| Fault::new(PRIMACY_E_INTERNAL, "more handles than slots"))?;
            chunk_of.get_or_init(|| (0..64usize << chunk).map(|_| empty()).collect());
            free.next += 1;
            index
        }
    };
    drop(free);
    let slot = slot(index).ok_or(PRIMACY_E_INTERNAL)?;
    let mut entry = slot.entry.write().unwrap_or_else(PoisonError::into_inner);
    entry.generation += 1;
    *entry.closing.get_mut() = false;
    entry.object = object;
    Ok(u64::from(entry.generation) << 32 | u64::from(index))
}

/// Puts the object behind a reserved number.
pub(crate) fn fill<T: Kind>(handle: u64, object: T) -> Result<(), Fault> {
    write(handle)?.object = T::wrap(Arc::new(object));
    Ok(())
}

/// Lets [`win`] find the cell of the election that was put behind this number.
pub(crate) fn show_win(handle: u64, win: &'static WinCell) {
    let Some(slot) = slot(split(handle).1) else { return };
    slot.win.store(ptr::from_ref(win).cast_mut(), Ordering::SeqCst);
    slot.election.store(handle, Ordering::SeqCst);
}

/// What the cell of an election says: loads only, so that any number of threads may ask at once without a cost
/// to each other.
///
/// The number is compared again after the cell was read. As long as it stands in the slot, the object behind it
/// has not been dropped, and its cell not been lent to another election; both come after it was taken out.
///
/// Answers a bare status, and is a part of its callers: a fault with room for a text would cost as much as the rest.
#[inline]
pub(crate) fn win(handle: u64) -> Result<Option<(Token, Duration)>, primacy_status> {
    let slot = slot(split(handle).1).ok_or(PRIMACY_E_HANDLE)?;
    if handle == 0 || slot.election.load(Ordering::SeqCst) != handle {
        return Err(PRIMACY_E_HANDLE);
    }
    // SAFETY: the pointer was made of a `&'static` by `show_win` before the number was stored.
    let found = unsafe { slot.win.load(Ordering::SeqCst).as_ref() }.ok_or(PRIMACY_E_HANDLE)?;
    let answer = found.read(&Clock::Boot);
    if slot.election.load(Ordering::SeqCst) == handle { Ok(answer) } else { Err(PRIMACY_E_HANDLE) }
}

/// The object, kept alive for as long as the caller needs it.
pub(crate) fn find<T: Kind>(handle: u64) -> Result<Arc<T>, Fault> {
    with(handle, Arc::clone)
}

/// Looks at the object for a moment, without touching its count.
pub(crate) fn with<T: Kind, R>(handle: u64, look: impl FnOnce(&Arc<T>) -> R) -> Result<R, Fault> {
    let entry = try_read(handle)?;
    match T::find(&entry.object) {
        Some(object) if !entry.closing.load(Ordering::SeqCst) => Ok(look(object)),
        _ => Err(PRIMACY_E_HANDLE.into()),
    }
}

/// The object, also while it is closing.
pub(crate) fn find_closing<T: Kind>(handle: u64) -> Result<Arc<T>, Fault> {
    let entry = try_read(handle)?;
    T::find(&entry.object).cloned().ok_or(PRIMACY_E_HANDLE.into())
}

/// Makes the number invalid for everything but [`find_closing`], until [`remove`]. Only one caller gets
/// through.
pub(crate) fn close<T: Kind>(handle: u64) -> Result<Arc<T>, Fault> {
    let entry = try_read(handle)?;
    let object = T::find(&entry.object).ok_or(PRIMACY_E_HANDLE)?;
    if entry.closing.swap(true, Ordering::SeqCst) {
        return Err(PRIMACY_E_HANDLE.into());
    }
    hide_win(handle);
    Ok(object.clone())
}

fn hide_win(handle: u64) {
    if let Some(slot) = slot(split(handle).1) {
        slot.election.store(0, Ordering::SeqCst);
    }
}

/// Empties the slot. The number never becomes valid again.
pub(crate) fn remove(handle: u64) {
    let Ok(mut entry) = write(handle) else { return };
    hide_win(handle);
    let object = std::mem::replace(&mut entry.object, Slotted(Object::Empty));
    // A number that is about to be given out again must not match this one meanwhile.
    entry.generation = entry.generation.saturating_add(1);
    let used_up = entry.generation >= LAST_GENERATION;
    drop(entry);
    // Outside the lock: dropping may run code of the host, which may come back here.
    drop(object);
    if !used_up {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).indices.push(split(handle).1);
    }
}

/// Ends an object that nothing waits for.
pub(crate) fn free<T: Kind>(handle: u64) -> Result<(), Fault> {
    close::<T>(handle)?;
    remove(handle);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lie_behind_one_another_without_a_gap() {
        let mut last = None;
        for index in 0..100_000 {
            let (chunk, at) = place(index);
            match last {
                Some((c, a)) if c == chunk => assert_eq!(at, a + 1),
                Some((c, a)) => assert_eq!((chunk, at, a + 1), (c + 1, 0, 64usize << c)),
                None => assert_eq!((chunk, at), (0, 0)),
            }
            last = Some((chunk, at));
        }
    }

    #[test]
    fn a_freed_number_is_never_valid_again() {
        let old = new(Batch::default()).unwrap();
        free::<Batch>(old).unwrap();
        for _ in 0..1000 {
            let young = new(Batch::default()).unwrap();
            assert_ne!(young, old);
            assert!(find::<Batch>(old).is_err());
            assert!(free::<Batch>(old).is_err());
            free::<Batch>(young).unwrap();
        }
    }

    #[test]
    fn many_numbers_are_valid_at_once_and_slots_are_used_again() {
        let mut last_slot = 0;
        for _ in 0..20 {
            let all: Vec<u64> = (0..500).map(|_| new(Batch::default()).unwrap()).collect();
            for handle in &all {
                assert!(with::<Batch, _>(*handle, |_| ()).is_ok());
                last_slot = last_slot.max(split(*handle).1);
            }
            all.into_iter().for_each(|handle| free::<Batch>(handle).unwrap());
        }
        assert!(last_slot < 5000, "{last_slot}");
    }

    #[test]
    fn a_reserved_number_is_valid_once_there_is_something_behind_it() {
        let handle = reserve().unwrap();
        assert!(find::<Batch>(handle).is_err());
        fill(handle, Batch::default()).unwrap();
        assert!(find::<Batch>(handle).is_ok());
        free::<Batch>(handle).unwrap();
        assert!(fill(handle, Batch::default()).is_err());
    }

    #[test]
    fn a_number_of_another_kind_is_refused() {
        let txn = new(Batch::default()).unwrap();
        assert!(find::<Config>(txn).is_err());
        assert!(free::<Config>(txn).is_err());
        free::<Batch>(txn).unwrap();
    }

    #[test]
    fn made_up_numbers_are_refused() {
        for handle in [0, 1, u64::MAX, 1 << 32 | 0xffff_ffff, 1 << 63, 0x7fff_ffff_0000_0000] {
            assert!(find::<Batch>(handle).is_err(), "{handle:#x}");
            assert!(free::<Batch>(handle).is_err(), "{handle:#x}");
        }
    }

    #[test]
    fn a_closing_object_can_be_ended_but_not_used() {
        let handle = new(Batch::default()).unwrap();
        close::<Batch>(handle).unwrap();
        assert!(find::<Batch>(handle).is_err());
        assert!(with::<Batch, _>(handle, |_| ()).is_err());
        assert!(close::<Batch>(handle).is_err());
        assert!(find_closing::<Batch>(handle).is_ok());
        remove(handle);
        assert!(find_closing::<Batch>(handle).is_err());
    }

    #[test]
    fn the_win_of_a_number_is_found_until_that_is_closed() {
        static WIN: OnceLock<WinCell> = OnceLock::new();
        let handle = new(Batch::default()).unwrap();
        assert_eq!(win(handle), Err(PRIMACY_E_HANDLE));
        show_win(handle, WIN.get_or_init(WinCell::default));
        assert_eq!(win(handle), Ok(None));
        assert_eq!(win(0), Err(PRIMACY_E_HANDLE));
        close::<Batch>(handle).unwrap();
        assert_eq!(win(handle), Err(PRIMACY_E_HANDLE));
        remove(handle);
        assert_eq!(win(handle), Err(PRIMACY_E_HANDLE));
    }

    #[test]
    fn what_is_closing_is_found_at_every_moment() {
        for _ in 0..300 {
            let handle = new(Batch::default()).unwrap();
            let (looking, closed) = (AtomicU64::new(0), AtomicBool::new(false));
            let look = || {
                looking.fetch_add(1, Ordering::SeqCst);
                let mut missed = 0;
                while !closed.load(Ordering::SeqCst) {
                    missed += usize::from(find_closing::<Batch>(handle).is_err());
                }
                missed
            };
            let missed: usize = std::thread::scope(|s| {
                let lookers = [s.spawn(look), s.spawn(look)];
                while looking.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
                let was_open = close::<Batch>(handle).is_ok();
                closed.store(true, Ordering::SeqCst);
                assert!(was_open);
                lookers.into_iter().map(|looker| looker.join().unwrap()).sum()
            });
            remove(handle);
            assert_eq!(missed, 0);
        }
    }

    #[test]
    fn threads_that_free_and_look_up_one_number_agree() {
        for _ in 0..200 {
            let handle = new(Batch::default()).unwrap();
            let freed = std::thread::scope(|s| {
                let all: Vec<_> = (0..4)
                    .map(|_| s.spawn(move || (find::<Batch>(handle).is_ok(), free::<Batch>(handle).is_ok())))
                    .collect();
                all.into_iter().map(|t| t.join().unwrap()).filter(|(_, freed)| *freed).count()
            });
            assert_eq!(freed, 1);
        }
    }
}
