//! Finds the name that somebody probably meant. Knows nothing of configuration.

/// The candidate with the fewest edits to `name`, if it is near enough to be a slip of the finger.
pub(super) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let name = plain(name);
    let bound = (name.chars().count() / 3).clamp(1, 3);
    let near = |candidate: &'c str| (distance(&name, &plain(candidate)), candidate);
    candidates
        .into_iter()
        .map(near)
        .filter(|(edits, _)| *edits <= bound)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, c)| c)
}

/// Case and the choice of `-` or `_` cost no edit. A long text is no slip: its end does not matter.
fn plain(name: &str) -> String {
    name.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Edits (insert, delete, replace, swap of neighbours) from one text to the other: the optimal string alignment distance.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 0..from.len() {
        let mut row = vec![i + 1];
        for j in 0..to.len() {
            let replaced = above[j] + usize::from(from[i] != to[j]);
            let mut best = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from[i] == to[j - 1] && from[i - 1] == to[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    #[test]
    fn counts_edits() {
        for (from, to, edits) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("lsiten", "listen", 1)] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
    }

    #[test]
    fn finds_slips_and_nothing_else() {
        let keys = ["listen", "admin", "max_body", "max_url"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("Max-Body", keys), Some("max_body"));
        assert_eq!(nearest("colour", keys), None);
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_and_zero_only_for_equals(a in "[abc]{0,8}", b in "[abc]{0,8}") {
            assert_eq!(distance(&a, &b), distance(&b, &a));
            assert_eq!(distance(&a, &b) == 0, a == b);
        }
    }
}
