//! The same work on many things, on all cores.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Does `work` on each of `items`, as many at a time as there are cores; what comes of them, in their order. After a failure no more are begun;
/// of several failures the first item's is told.
pub fn side_by_side<T, R, E>(items: &[T], work: impl Fn(&T) -> Result<R, E> + Sync) -> Result<Vec<R>, E>
where
    T: Sync,
    R: Send,
    E: Send,
{
    let next = AtomicUsize::new(0);
    let has_failed = AtomicBool::new(false);
    let lane = || {
        let mut done = Vec::new();
        while !has_failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((index, result));
        }
        done
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<(usize, Result<R, E>)> = thread::scope(|scope| {
        // Where no thread can be started this one does it all.
        let start = |_| thread::Builder::new().spawn_scoped(scope, lane).ok();
        let others: Vec<_> = (1..cores.min(items.len())).filter_map(start).collect();
        let mut done = lane();
        done.extend(others.into_iter().flat_map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic))));
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_them_is_in_their_order() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(side_by_side(&items, |item| Ok::<_, ()>(item * 2)), Ok((0..1000).map(|item| item * 2).collect()));
        assert_eq!(side_by_side(&[], |_: &u32| Ok::<_, ()>(())), Ok(vec![]));
    }

    #[test]
    fn the_first_items_failure_is_told_and_little_is_begun_after_it() {
        let begun = AtomicUsize::new(0);
        let items: Vec<u32> = (0..1_000_000).collect();
        let told = side_by_side(&items, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item < 10 { Ok(()) } else { Err(*item) }
        });
        assert_eq!(told, Err(10));
        assert!(begun.into_inner() < items.len());
    }
}
