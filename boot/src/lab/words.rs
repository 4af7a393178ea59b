//! Words that students are told, where they depend on a number.

/// So many of them, as in `1 miss` and `2 misses`.
pub(super) fn counted(number: impl TryInto<u64>, one: &str, several: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_one() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "miss", "misses")), ["0 misses", "1 miss", "2 misses"]);
    }
}
