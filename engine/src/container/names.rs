//! Names for containers nobody named: an adjective and the surname of somebody who made computing what it is.

const ADJECTIVES: [&str; 64] = [
    "able", "airy", "ample", "apt", "balmy", "bold", "brave", "bright", "brisk", "calm", "candid", "clear", "clever",
    "cosy", "crisp", "deft", "eager", "earnest", "easy", "fair", "fleet", "fond", "frank", "fresh", "gentle", "glad",
    "grand", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry",
    "mild", "neat", "nimble", "noble", "open", "patient", "placid", "plucky", "polite", "proud", "quick", "quiet",
    "rapid", "ready", "robust", "serene", "sharp", "sober", "sound", "steady", "sunny", "swift", "tidy", "vivid",
    "warm", "wise",
];

const SURNAMES: [&str; 64] = [
    "adleman",
    "allen",
    "backus",
    "bartik",
    "baran",
    "borg",
    "boole",
    "brooks",
    "cerf",
    "church",
    "clarke",
    "codd",
    "conway",
    "cook",
    "cray",
    "dahl",
    "dijkstra",
    "diffie",
    "engelbart",
    "estrin",
    "feinler",
    "floyd",
    "goedel",
    "goldberg",
    "gray",
    "hamming",
    "hellman",
    "hoare",
    "holberton",
    "hopper",
    "huffman",
    "iverson",
    "kahan",
    "karp",
    "kay",
    "kernighan",
    "kilburn",
    "kleene",
    "knuth",
    "lamport",
    "liskov",
    "lovelace",
    "mccarthy",
    "mcilroy",
    "merkle",
    "milner",
    "moore",
    "naur",
    "noether",
    "nygaard",
    "perlman",
    "postel",
    "ritchie",
    "rivest",
    "shamir",
    "shannon",
    "sutherland",
    "tarjan",
    "thompson",
    "torvalds",
    "turing",
    "wilkes",
    "wirth",
    "zuse",
];

/// A name nobody has, chosen by `number` (any 64 random bits); `taken` tells which names are in use.
///
/// The first choice is `adjective_surname`; where that is taken, the next ones in a fixed order, and when all are
/// taken, the first choice with a number behind it.
pub fn choose(number: u64, taken: impl Fn(&str) -> bool) -> String {
    let total = (ADJECTIVES.len() * SURNAMES.len()) as u64;
    let first = number % total;
    let free = (0..total).map(|step| name_at((first + step) % total)).find(|name| !taken(name));
    free.unwrap_or_else(|| {
        let base = name_at(first);
        (2_u64..).map(|count| format!("{base}{count}")).find(|name| !taken(name)).unwrap_or(base)
    })
}

fn name_at(index: u64) -> String {
    let index = index as usize;
    let adjective = ADJECTIVES[index / SURNAMES.len() % ADJECTIVES.len()];
    format!("{adjective}_{}", SURNAMES[index % SURNAMES.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_number_gives_the_same_name() {
        assert_eq!(choose(7, |_| false), choose(7, |_| false));
        assert_eq!(choose(0, |_| false), "able_adleman");
    }

    #[test]
    fn a_taken_name_is_never_chosen_even_when_all_are_taken() {
        let mut taken = HashSet::new();
        for _ in 0..ADJECTIVES.len() * SURNAMES.len() + 3 {
            let name = choose(5, |name| taken.contains(name));
            assert!(taken.insert(name.clone()), "{name} came twice");
        }
    }

    #[test]
    fn every_name_is_one_docker_would_accept() {
        let words: Vec<&str> = ADJECTIVES.iter().chain(&SURNAMES).copied().collect();
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len(), "no word twice");
    }
}
