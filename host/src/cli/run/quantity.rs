//! Sizes, times and counts with a unit, as people write them on a command line.

/// Bytes: `65536`, `64KiB`, `256MiB`, `1GiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] =
        &[("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    scaled(text, UNITS, "a number of bytes such as 65536, 64KiB, 256MiB or 1GiB")
}

/// Milliseconds: `500ms`, `30s`, `2m`, `1h`. A bare number is refused: seconds or milliseconds?
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] =
        &[("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000)];
    scaled(text, UNITS, "a time with its unit such as 500ms, 30s or 2m")
}

/// Counts: `50000000000`, `50_000_000_000`, `50G`, `1M`.
pub(super) fn count(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] =
        &[("", 1), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000)];
    scaled(text, UNITS, "a number such as 65536, 10_000, 5M or 50G")
}

fn scaled(text: &str, units: &[(&str, u64)], expected: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit = unit.trim_start();
    let number = digits.replace('_', "").parse::<u64>().ok();
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor);
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|value| *value > 0)
        .ok_or_else(|| format!("expected {expected}"))
}

/// `12345678` as `12,345,678`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `12345678` as `12.3 M`.
pub(super) fn short(number: f64) -> String {
    const STEPS: &[(f64, &str)] = &[(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    match STEPS.iter().find(|(step, _)| number >= *step) {
        Some((step, suffix)) => format!("{:.1}{suffix}", number / step),
        None => format!("{number:.0}"),
    }
}

/// Bytes in MiB.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood_and_required_for_times() {
        assert_eq!(bytes("256MiB"), Ok(256 << 20));
        assert_eq!(bytes(" 64 kib "), Ok(64 << 10));
        assert_eq!(bytes("65_536"), Ok(65536));
        assert_eq!(milliseconds("1500ms"), Ok(1500));
        assert_eq!(milliseconds("2m"), Ok(120_000));
        assert_eq!(count("50G"), Ok(50_000_000_000));
        for wrong in ["", "-1", "1.5", "1XB", "MiB", "0", "99999999999999999999", "99999999TiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert!(milliseconds("30").unwrap_err().contains("30s"));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(short(999.4), "999");
        assert_eq!(short(12_345_678.0), "12.3 M");
    }
}
