//! The numbers that C holds instead of pointers. A number names a slot and the slot's generation, so that one
//! that was freed, made up, or belongs to another kind of object is told apart from every live one, for ever.
//! What a slot holds is its users' business: this knows objects by their types alone.
//!
//! A look-up must not wait: each slot has its own lock, which is only tried. It is taken for writing only while
//! the object in it comes or goes; so whoever finds it taken, or a writer waiting for it, holds a number that is no
//! longer valid, or not yet. An object that is freed is neither, as long as something of it runs: that is a flag.
//! A cell that is shown under a number is looked at without even the lock: see [`look`].

use std::any::Any;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use primacy::win::WinCell;

use crate::error::Fault;
use crate::status::{PRIMACY_E_HANDLE, PRIMACY_E_INTERNAL, primacy_status};

/// What a slot can hold.
pub(crate) trait Kind: Any + Send + Sync {}
impl<T: Any + Send + Sync> Kind for T {}

/// What it holds; `None`: nothing, or not yet.
type Object = Option<Arc<dyn Any + Send + Sync>>;

struct Slot {
    entry: RwLock<Entry>,
    /// The number that a cell is shown under; 0: none is.
    shown: AtomicU64,
    /// That cell.
    cell: AtomicPtr<WinCell>,
}

struct Entry {
    generation: u32,
    /// Freed, but something still runs that must be able to end: only [`find_closing`] sees it.
    closing: AtomicBool,
    object: Object,
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
    insert(None)
}

/// A number for an object.
pub(crate) fn new<T: Kind>(object: T) -> Result<u64, Fault> {
    insert(Some(Arc::new(object)))
}

fn insert(object: Object) -> Result<u64, Fault> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let index = match free.indices.pop() {
        Some(index) => index,
        None => {
            let index = free.next;
            let (chunk, _) = place(index);
            let empty = || Slot {
                entry: RwLock::new(Entry { generation: 0, closing: AtomicBool::new(false), object: None }),
                shown: AtomicU64::new(0),
                cell: AtomicPtr::new(ptr::null_mut()),
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
    write(handle)?.object = Some(Arc::new(object));
    Ok(())
}

/// Lets [`look`] find a cell under this number, until that is closed.
pub(crate) fn show(handle: u64, cell: &'static WinCell) {
    let Some(slot) = slot(split(handle).1) else { return };
    slot.cell.store(ptr::from_ref(cell).cast_mut(), Ordering::SeqCst);
    slot.shown.store(handle, Ordering::SeqCst);
}

fn hide(handle: u64) {
    if let Some(slot) = slot(split(handle).1) {
        slot.shown.store(0, Ordering::SeqCst);
    }
}

/// Reads the cell that is shown under this number: loads only, so that any number of threads may ask at once without
/// a cost to each other.
///
/// The number is compared again after the cell was read. As long as it stands in the slot, the object behind it
/// has not been dropped, and its cell not been lent to another one; both come after it was taken out.
///
/// Answers a bare status, and is a part of its callers: a fault with room for a text would cost as much as the rest.
#[inline]
pub(crate) fn look<R>(handle: u64, read: impl FnOnce(&WinCell) -> R) -> Result<R, primacy_status> {
    let slot = slot(split(handle).1).ok_or(PRIMACY_E_HANDLE)?;
    if handle == 0 || slot.shown.load(Ordering::SeqCst) != handle {
        return Err(PRIMACY_E_HANDLE);
    }
    // SAFETY: the pointer was made of a `&'static` by `show` before the number was stored.
    let cell = unsafe { slot.cell.load(Ordering::SeqCst).as_ref() }.ok_or(PRIMACY_E_HANDLE)?;
    let answer = read(cell);
    if slot.shown.load(Ordering::SeqCst) == handle { Ok(answer) } else { Err(PRIMACY_E_HANDLE) }
}

/// The object behind an entry, if it is of this type.
fn typed<T: Kind>(entry: &Entry) -> Result<Arc<T>, Fault> {
    let object = entry.object.clone().ok_or(PRIMACY_E_HANDLE)?;
    object.downcast().map_err(|_| PRIMACY_E_HANDLE.into())
}

/// The object, kept alive for as long as the caller needs it.
pub(crate) fn find<T: Kind>(handle: u64) -> Result<Arc<T>, Fault> {
    let entry = try_read(handle)?;
    if entry.closing.load(Ordering::SeqCst) {
        return Err(PRIMACY_E_HANDLE.into());
    }
    typed(&entry)
}

/// The object, also while it is closing.
pub(crate) fn find_closing<T: Kind>(handle: u64) -> Result<Arc<T>, Fault> {
    typed(&*try_read(handle)?)
}

/// Makes the number invalid for everything but [`find_closing`], until [`remove`]. Only one caller gets
/// through.
pub(crate) fn close<T: Kind>(handle: u64) -> Result<Arc<T>, Fault> {
    let entry = try_read(handle)?;
    let object = typed(&entry)?;
    if entry.closing.swap(true, Ordering::SeqCst) {
        return Err(PRIMACY_E_HANDLE.into());
    }
    hide(handle);
    Ok(object)
}

/// Empties the slot. The number never becomes valid again.
pub(crate) fn remove(handle: u64) {
    let Ok(mut entry) = write(handle) else { return };
    hide(handle);
    let object = entry.object.take();
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

    /// Some kind of object.
    struct Thing;
    /// Another one.
    struct Other;

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
        let old = new(Thing).unwrap();
        free::<Thing>(old).unwrap();
        for _ in 0..1000 {
            let young = new(Thing).unwrap();
            assert_ne!(young, old);
            assert!(find::<Thing>(old).is_err());
            assert!(free::<Thing>(old).is_err());
            free::<Thing>(young).unwrap();
        }
    }

    #[test]
    fn many_numbers_are_valid_at_once_and_slots_are_used_again() {
        let mut last_slot = 0;
        for _ in 0..20 {
            let all: Vec<u64> = (0..500).map(|_| new(Thing).unwrap()).collect();
            for handle in &all {
                assert!(find::<Thing>(*handle).is_ok());
                last_slot = last_slot.max(split(*handle).1);
            }
            all.into_iter().for_each(|handle| free::<Thing>(handle).unwrap());
        }
        assert!(last_slot < 5000, "{last_slot}");
    }

    #[test]
    fn a_reserved_number_is_valid_once_there_is_something_behind_it() {
        let handle = reserve().unwrap();
        assert!(find::<Thing>(handle).is_err());
        fill(handle, Thing).unwrap();
        assert!(find::<Thing>(handle).is_ok());
        free::<Thing>(handle).unwrap();
        assert!(fill(handle, Thing).is_err());
    }

    #[test]
    fn a_number_of_another_kind_is_refused() {
        let thing = new(Thing).unwrap();
        assert!(find::<Other>(thing).is_err());
        assert!(free::<Other>(thing).is_err());
        free::<Thing>(thing).unwrap();
    }

    #[test]
    fn made_up_numbers_are_refused() {
        for handle in [0, 1, u64::MAX, 1 << 32 | 0xffff_ffff, 1 << 63, 0x7fff_ffff_0000_0000] {
            assert!(find::<Thing>(handle).is_err(), "{handle:#x}");
            assert!(free::<Thing>(handle).is_err(), "{handle:#x}");
        }
    }

    #[test]
    fn a_closing_object_can_be_ended_but_not_used() {
        let handle = new(Thing).unwrap();
        close::<Thing>(handle).unwrap();
        assert!(find::<Thing>(handle).is_err());
        assert!(close::<Thing>(handle).is_err());
        assert!(find_closing::<Thing>(handle).is_ok());
        remove(handle);
        assert!(find_closing::<Thing>(handle).is_err());
    }

    #[test]
    fn the_cell_of_a_number_is_found_until_that_is_closed() {
        static CELL: OnceLock<WinCell> = OnceLock::new();
        let handle = new(Thing).unwrap();
        assert_eq!(look(handle, |_| ()), Err(PRIMACY_E_HANDLE));
        show(handle, CELL.get_or_init(WinCell::default));
        assert_eq!(look(handle, |_| ()), Ok(()));
        assert_eq!(look(0, |_| ()), Err(PRIMACY_E_HANDLE));
        close::<Thing>(handle).unwrap();
        assert_eq!(look(handle, |_| ()), Err(PRIMACY_E_HANDLE));
        remove(handle);
        assert_eq!(look(handle, |_| ()), Err(PRIMACY_E_HANDLE));
    }

    #[test]
    fn what_is_closing_is_found_at_every_moment() {
        for _ in 0..300 {
            let handle = new(Thing).unwrap();
            let (looking, closed) = (AtomicU64::new(0), AtomicBool::new(false));
            let look = || {
                looking.fetch_add(1, Ordering::SeqCst);
                let mut missed = 0;
                while !closed.load(Ordering::SeqCst) {
                    missed += usize::from(find_closing::<Thing>(handle).is_err());
                }
                missed
            };
            let missed: usize = std::thread::scope(|s| {
                let lookers = [s.spawn(look), s.spawn(look)];
                while looking.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
                let was_open = close::<Thing>(handle).is_ok();
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
            let handle = new(Thing).unwrap();
            let freed = std::thread::scope(|s| {
                let all: Vec<_> = (0..4)
                    .map(|_| s.spawn(move || (find::<Thing>(handle).is_ok(), free::<Thing>(handle).is_ok())))
                    .collect();
                all.into_iter().map(|t| t.join().unwrap()).filter(|(_, freed)| *freed).count()
            });
            assert_eq!(freed, 1);
        }
    }
}
