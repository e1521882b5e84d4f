//! Quantities (`100m`, `1.5Gi`, `2e3`) as integers. Wrong text counts as zero: the API server has checked it.
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

pub type List = BTreeMap<String, Quantity>;

/// In thousandths, rounded up.
pub fn milli(quantity: &Quantity) -> i64 {
    nano(&quantity.0).map_or(0, |nano| ceil(nano, 1_000_000))
}

/// Whole units (bytes, pieces), rounded up.
pub fn value(quantity: &Quantity) -> i64 {
    nano(&quantity.0).map_or(0, |nano| ceil(nano, 1_000_000_000))
}

pub fn milli_of(list: Option<&List>, resource: &str) -> i64 {
    list.and_then(|list| list.get(resource)).map_or(0, milli)
}

pub fn value_of(list: Option<&List>, resource: &str) -> i64 {
    list.and_then(|list| list.get(resource)).map_or(0, value)
}

/// Plain number of bytes or pieces.
pub fn plain(value: i64) -> Quantity {
    Quantity(value.to_string())
}

/// Bytes as `Ki`, the form in which a node tells its memory.
pub fn kibi(bytes: u64) -> Quantity {
    Quantity(format!("{}Ki", bytes / 1024))
}

/// Thousandths of a CPU in their shortest form.
pub fn cpu(milli: i64) -> Quantity {
    if milli % 1000 == 0 { Quantity((milli / 1000).to_string()) } else { Quantity(format!("{milli}m")) }
}

fn ceil(value: i128, by: i128) -> i64 {
    let up = value.div_euclid(by) + i128::from(value.rem_euclid(by) != 0);
    i64::try_from(up).unwrap_or(i64::MAX)
}

fn nano(text: &str) -> Option<i128> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits = whole.trim_start_matches(['+', '-']);
    let mut value: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    value = value.checked_mul(1_000_000_000)?;
    for (place, digit) in fraction.chars().take(9).enumerate() {
        value += i128::from(digit.to_digit(10)?) * 10i128.pow(8 - place as u32);
    }
    let scaled = scale(value, suffix)?;
    Some(if negative { -scaled } else { scaled })
}

fn scale(value: i128, suffix: &str) -> Option<i128> {
    let power = |base: i128, exponent: u32| base.checked_pow(exponent).and_then(|factor| value.checked_mul(factor));
    Some(match suffix {
        "" => value,
        "n" => value / 1_000_000_000,
        "u" => value / 1_000_000,
        "m" => value / 1_000,
        "k" => power(1000, 1)?,
        "M" => power(1000, 2)?,
        "G" => power(1000, 3)?,
        "T" => power(1000, 4)?,
        "P" => power(1000, 5)?,
        "E" => power(1000, 6)?,
        "Ki" => power(1024, 1)?,
        "Mi" => power(1024, 2)?,
        "Gi" => power(1024, 3)?,
        "Ti" => power(1024, 4)?,
        "Pi" => power(1024, 5)?,
        "Ei" => power(1024, 6)?,
        exponent => {
            let digits: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            if digits >= 0 { power(10, digits as u32)? } else { value / 10i128.checked_pow(digits.unsigned_abs())? }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_forms() {
        let read = |text: &str| (value(&Quantity(text.into())), milli(&Quantity(text.into())));
        assert_eq!(read("100m"), (1, 100));
        assert_eq!(read("1.5Gi"), (1_610_612_736, 1_610_612_736_000));
        assert_eq!(read("2e3"), (2000, 2_000_000));
        assert_eq!(read("-1"), (-1, -1000));
        assert_eq!(read("12E").1, i64::MAX);
        assert_eq!(read("nonsense"), (0, 0));
    }
}
