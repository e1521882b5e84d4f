//! Texts and their canonical forms; sums, rounding, order.
use super::*;

fn text(text: &str) -> String {
    Quantity::parse(text).map_or_else(|error| format!("{error:?}"), |quantity| quantity.to_string())
}

#[test]
fn canonical_forms() {
    let cases = [
        ("0", "0"),
        ("00", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1."),
        ("1.5", "1500m"),
        ("1.234", "1.234"),
        ("0.001", "1m"),
        ("1000", "1k"),
        ("1000k", "1M"),
        ("1024", "1024"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Mi", "512Ki"),
        ("100Mi", "100Mi"),
        ("8Mi", "8Mi"),
        ("0.5Ki", "512"),
        ("1e3", "1e3"),
        ("1000e3", "1e6"),
        ("12e6", "12e6"),
        ("1E", "1E"),
        ("1E3", "1E3"),
        ("0.0000000001", "1n"),
        ("1.1n", "2n"),
        ("-1.1n", "-2n"),
        ("-500m", "-500m"),
        ("9Ei", "9223372036854775807"),
        ("+1", "+1"),
        ("128974848", "128974848"),
        ("1.0Gi", "1Gi"),
        ("0.1Ki", "102400m"),
    ];
    for (given, wanted) in cases {
        assert_eq!(text(given), wanted, "{given}");
        assert!(!is_canonical(given) || given == wanted, "{given}");
    }
}

#[test]
fn the_quick_look_agrees_with_the_long_one() {
    for number in [1, 7, 8, 10, 100, 512, 999, 1000, 1024, 2048, 5000, 10_000, 1_000_000, 1_048_576, 999_999_999] {
        for suffix in ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi"] {
            let given = format!("{number}{suffix}");
            assert!(!is_canonical(&given) || text(&given) == given, "{given}");
        }
    }
    assert!(is_canonical("64Mi") && is_canonical("100m") && !is_canonical("1000m") && !is_canonical("1024Ki"));
}

#[test]
fn what_is_no_quantity() {
    for (given, wanted) in
        [("", "Format"), ("x", "Format"), ("1x", "Format"), ("1 Gi", "Format"), ("1Gib", "Format"), ("1ki", "Suffix"), ("1ee3", "Suffix")]
    {
        assert_eq!(text(given), wanted, "{given}");
    }
}

#[test]
fn sums_take_the_format_of_the_first_that_is_not_zero() {
    let mut sum = Quantity::ZERO;
    sum.add(&Quantity::parse("512Mi").unwrap());
    sum.add(&Quantity::parse("1Gi").unwrap());
    assert_eq!(sum.to_string(), "1536Mi");
    sum.sub(&Quantity::parse("1G").unwrap());
    assert_eq!(sum.to_string(), "610612736");
    assert!(Quantity::parse("1").unwrap() == Quantity::parse("1000m").unwrap());
    assert!(Quantity::parse("1G").unwrap() < Quantity::parse("1Gi").unwrap());
}

#[test]
fn rounds_away_from_zero() {
    let parsed = |text| Quantity::parse(text).unwrap();
    assert_eq!((parsed("100m").value(), parsed("-100m").value(), parsed("1u").milli(), parsed("2").milli()), (1, -1, 1, 2000));
    assert_eq!((parsed("1500m").as_i64(), parsed("2k").as_i64()), (None, Some(2000)));
}
