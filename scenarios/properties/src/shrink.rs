//! Finds the shortest part of a case that still fails.

/// Takes away parts of `steps`, ever smaller ones, as long as `fails` (delta debugging, Zeller and Hildebrandt 2002).
pub fn shortest<T: Clone>(steps: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = steps.to_vec();
    let mut size = kept.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        let mut has_shrunk = false;
        while start < kept.len() {
            let end = (start + size).min(kept.len());
            let without = [&kept[..start], &kept[end..]].concat();
            if fails(&without) {
                kept = without;
                has_shrunk = true;
            } else {
                start = end;
            }
        }
        match (size, has_shrunk) {
            (1, false) => return kept,
            (1, true) => {}
            _ => size = size.div_ceil(2),
        }
    }
}

/// The shortest part of `steps` that fails, simplified: whatever `proposals` has of it that still fails takes its place, and
/// is made shorter again.
pub fn simplest<T: Clone>(
    steps: &[T],
    proposals: impl Fn(&[T]) -> Vec<Vec<T>>,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut kept = shortest(steps, &mut fails);
    // Each round makes one thing simpler; there are few things in a case that is short.
    for _ in 0..8 * (kept.len() + 1) {
        match proposals(&kept).into_iter().find(|proposal| fails(proposal)) {
            Some(simpler) => kept = shortest(&simpler, &mut fails),
            None => break,
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_stays() {
        let all: Vec<u32> = (0..50).collect();
        let found = shortest(&all, |part| [7, 8, 41].iter().all(|needed| part.contains(needed)));
        assert_eq!(found, [7, 8, 41]);
    }
}
