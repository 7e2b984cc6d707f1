//! "Did you mean": the known word nearest to a mistyped one.

/// Words longer than this are no typing mistakes, and the distance costs their length squared.
const LENGTH_MAX: usize = 64;

/// Letters changed, added, left out or swapped with a neighbour to turn `a` into `b` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        // `above` is the row of i - 1, `older` that of i - 2.
        let [older, above, row] = &mut rows;
        row[0] = i;
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(older[j - 2] + 1);
            }
            row[j] = least;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

/// The word of `known` that `given` was probably meant to be: at most a third of its letters differ, or it differs
/// only in separators or in a unit left out.
pub(super) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if given.is_empty() || given.len() > LENGTH_MAX {
        return None;
    }
    let plain = given.to_lowercase().replace('_', "-");
    let mut best: Option<(usize, &str)> = None;
    for word in known {
        let apart = if word.strip_prefix(plain.as_str()).is_some_and(|unit| unit.starts_with('-')) {
            1
        } else {
            distance(&plain, word)
        };
        if apart <= (plain.chars().count() / 3).max(1) && best.is_none_or(|(least, _)| apart < least) {
            best = Some((apart, word));
        }
    }
    best.map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (a, b, want) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("a", "b", 1),
            ("kitten", "sitting", 3),
            ("stall-ms", "stlal-ms", 1),
            ("ca", "abc", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        let known = ["analysed-fps", "stall-ms", "min-inter-eye-px", "visit-gap-s"];
        for (given, want) in [
            ("analyzed-fps", Some("analysed-fps")),
            ("analysed_fps", Some("analysed-fps")),
            ("stall", Some("stall-ms")),
            ("Stall-MS", Some("stall-ms")),
            ("visit-gap", Some("visit-gap-s")),
            ("password", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), want, "{given}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
