//! Resource quantities (`100m`, `1.5Gi`, `1e3`): exact values in billionths, with the original's canonical text.
//! What never happens here: floating point in a comparison or a sum.
use std::cmp::Ordering;
use std::fmt;

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    DecimalSi,
    BinarySi,
    DecimalExponent,
}

/// Values whose size passes about 10^29 are refused; the original's reach further, nobody's resources do.
#[derive(Clone, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
    /// The text it was read from, where the original gives that text back instead of the canonical one.
    text: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i128 = 1_000_000_000;
/// Digits that always fit into 64 bits: up to here the original keeps the text.
const SHORT_DIGITS: i32 = 18;

impl Quantity {
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::DecimalSi, text: None };

    pub fn new(value: i64, format: Format) -> Quantity {
        Quantity { nano: value as i128 * NANO, format, text: None }
    }

    pub fn from_milli(milli: i64, format: Format) -> Quantity {
        Quantity { nano: milli as i128 * 1_000_000, format, text: None }
    }

    pub fn parse(text: &str) -> Result<Quantity, Error> {
        if text.is_empty() {
            return Err(Error::Format);
        }
        let parts = Parts::split(text)?;
        let (base, exponent, format) = suffix(parts.suffix).ok_or(Error::Suffix)?;
        if parts.fraction.len() + parts.whole.len() > 64 {
            return Err(Error::Numeric);
        }
        let digits: i128 = match [parts.whole, parts.fraction].concat() {
            digits if digits.is_empty() => return Err(Error::Numeric),
            digits => digits.parse().map_err(|_| Error::Numeric)?,
        };
        let scale = 9 - parts.fraction.len() as i32 + if base == 10 { exponent } else { 0 };
        let factor = if base == 2 { 1i128 << exponent } else { 1 };
        let mut nano = scaled(digits.checked_mul(factor).ok_or(Error::Numeric)?, scale)?;
        let mut format = format;
        if format == Format::BinarySi {
            nano = nano.min(i64::MAX as i128 * NANO);
            if nano > 0 && nano < NANO && !parts.fraction.is_empty() {
                format = Format::DecimalSi;
            }
        }
        let text = parts.kept(digits, base, exponent).then(|| text.into());
        Ok(Quantity { nano: if parts.negative { -nano } else { nano }, format, text })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.nano.signum() as i32
    }

    /// Whole units, rounded away from zero.
    pub fn value(&self) -> i64 {
        self.rounded(NANO)
    }

    /// Thousandths, rounded away from zero.
    pub fn milli(&self) -> i64 {
        self.rounded(1_000_000)
    }

    /// Whole units if it is a whole number.
    pub fn as_i64(&self) -> Option<i64> {
        if self.nano % NANO == 0 { i64::try_from(self.nano / NANO).ok() } else { None }
    }

    pub fn as_f64(&self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    fn rounded(&self, unit: i128) -> i64 {
        let whole = self.nano / unit + if self.nano % unit == 0 { 0 } else { self.nano.signum() };
        whole.clamp(i64::MIN as i128, i64::MAX as i128) as i64
    }

    /// Rounds away from zero to multiples of a thousandth; says whether nothing was lost.
    pub fn round_up_to_milli(&mut self) -> bool {
        let exact = self.nano % 1_000_000 == 0;
        if !exact {
            *self = Quantity { nano: self.rounded(1_000_000) as i128 * 1_000_000, format: self.format, text: None };
        }
        exact
    }

    pub fn add(&mut self, other: &Quantity) {
        self.combine(other, self.nano.saturating_add(other.nano));
    }

    pub fn sub(&mut self, other: &Quantity) {
        self.combine(other, self.nano.saturating_sub(other.nano));
    }

    pub fn negate(&mut self) {
        (self.nano, self.text) = (-self.nano, None);
    }

    /// A zero takes the other's format.
    fn combine(&mut self, other: &Quantity, nano: i128) {
        let format = if self.nano == 0 { other.format } else { self.format };
        *self = Quantity { nano, format, text: None };
    }

    /// The canonical text: no fraction, the largest suffix that keeps the number whole.
    pub fn canonical(&self) -> String {
        if self.nano == 0 {
            return "0".into();
        }
        let small = self.nano.abs() < 1024 * NANO;
        match self.format {
            Format::BinarySi if !small && self.nano % NANO == 0 => {
                let (mut amount, mut power) = (self.nano / NANO, 0);
                while amount % 1024 == 0 {
                    (amount, power) = (amount / 1024, power + 1);
                }
                format!("{amount}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(power).unwrap_or(&""))
            }
            format => self.decimal(format),
        }
    }

    fn decimal(&self, format: Format) -> String {
        let (mut amount, mut exponent) = (self.nano, -9);
        while amount % 10 == 0 {
            (amount, exponent) = (amount / 10, exponent + 1);
        }
        while exponent % 3 != 0 {
            (amount, exponent) = (amount * 10, exponent - 1);
        }
        if format == Format::DecimalExponent {
            return if exponent == 0 { amount.to_string() } else { format!("{amount}e{exponent}") };
        }
        let suffix = DECIMAL.iter().find(|(_, known)| *known == exponent).map_or("", |(suffix, _)| suffix);
        format!("{amount}{suffix}")
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => f.write_str(&self.canonical()),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Api;

impl TryFrom<&Api> for Quantity {
    type Error = Error;
    fn try_from(quantity: &Api) -> Result<Quantity, Error> {
        Quantity::parse(quantity.0.trim())
    }
}

impl From<&Quantity> for Api {
    fn from(quantity: &Quantity) -> Api {
        Api(quantity.to_string())
    }
}

/// Would this text come back unchanged? Says so only of the usual short ones (`2`, `100m`, `64Mi`).
pub fn is_canonical(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&digits) || text.starts_with('0') {
        return false;
    }
    match &text[digits..] {
        "" | "m" | "k" | "M" | "G" | "T" => !text[..digits].ends_with("000"),
        "Ki" | "Mi" | "Gi" => digits < 4 || text[..digits].parse::<u32>().is_ok_and(|number| number % 1024 != 0),
        _ => false,
    }
}

const DECIMAL: &[(&str, i32)] = &[("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: &[(&str, i32)] = &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

fn suffix(text: &str) -> Option<(i32, i32, Format)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(suffix, _)| *suffix == text) {
        return Some((10, *exponent, Format::DecimalSi));
    }
    if let Some((_, exponent)) = BINARY.iter().find(|(suffix, _)| *suffix == text) {
        return Some((2, *exponent, Format::BinarySi));
    }
    let exponent = text.strip_prefix(['e', 'E'])?;
    exponent.parse::<i64>().ok().map(|exponent| (10, exponent.clamp(-10_000, 10_000) as i32, Format::DecimalExponent))
}

/// `digits * 10^scale`, a remainder rounded up.
fn scaled(digits: i128, scale: i32) -> Result<i128, Error> {
    if digits == 0 {
        return Ok(0);
    }
    if scale >= 0 {
        let factor = 10i128.checked_pow(scale as u32).ok_or(Error::Numeric)?;
        return digits.checked_mul(factor).ok_or(Error::Numeric);
    }
    let divisor = 10i128.checked_pow(-scale as u32).unwrap_or(i128::MAX);
    Ok(digits / divisor + i128::from(digits % divisor != 0))
}

/// The text in pieces: `whole` without leading zeros (`0` if nothing is left of it).
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Parts<'a>, Error> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let rest = unsigned.trim_start_matches('0');
        if rest.is_empty() {
            return Ok(Parts { negative: false, whole: "0", fraction: "", suffix: "" });
        }
        let (whole, rest) = rest.split_at(digits(rest));
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        let letters = rest.trim_start_matches(['e', 'E', 'i', 'n', 'u', 'm', 'k', 'K', 'M', 'G', 'T', 'P']);
        let exponent = letters.strip_prefix(['+', '-']).unwrap_or(letters);
        if digits(exponent) != exponent.len() {
            return Err(Error::Format);
        }
        Ok(Parts { negative: text.starts_with('-'), whole: if whole.is_empty() { "0" } else { whole }, fraction, suffix: rest })
    }

    /// Does the original give this very text back? It does for short numbers that look canonical to it (`1.234` is one).
    fn kept(&self, digits: i128, base: i32, exponent: i32) -> bool {
        let (whole, fraction) = (self.whole.len() as i32, self.fraction.len() as i32);
        if base == 2 {
            let precision = 15 - whole - (exponent as f32 * 3.0 / 10.0) as i32 - 1;
            return fraction == 0 && precision >= 0 && digits & 7 != 0;
        }
        let scale = exponent - fraction;
        let shifted = [self.whole, self.fraction].concat();
        let short = whole + fraction <= SHORT_DIGITS && scale >= -9;
        short && scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0')
    }
}

#[cfg(test)]
mod tests;
