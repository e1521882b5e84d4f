//! What a plain word of YAML 1.1 means.
use serde_json::{Number, Value};

/// `tag` is the suffix of an explicit tag (`str`, `int`, …).
pub fn resolve(text: &str, plain: bool, tag: Option<&str>) -> Result<Value, String> {
    match tag.map(|tag| tag.rsplit(':').next().unwrap_or(tag)) {
        Some("str") => Ok(text.into()),
        Some("binary") => Ok(text.split_whitespace().collect::<String>().into()),
        Some("int" | "float" | "bool" | "null") => word(text),
        _ if plain => word(text),
        _ => Ok(text.into()),
    }
}

fn word(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(false.into()),
        ".nan" | ".NaN" | ".NAN" => return Err("json: unsupported value: NaN".into()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Err("json: unsupported value: +Inf".into()),
        "-.inf" | "-.Inf" | "-.INF" => return Err("json: unsupported value: -Inf".into()),
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Ok(text.into());
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Ok(Value::Number(number));
    }
    if is_float(&digits)
        && let Ok(float) = digits.parse::<f64>()
        && let Some(number) = Number::from_f64(float)
    {
        let whole = float.fract() == 0.0 && float.abs() < 1e15;
        return Ok(if whole { (float as i64).into() } else { Value::Number(number) });
    }
    Ok(text.into())
}

/// Decimal, `0x`, `0o`, `0b`, and octal with a leading zero.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some(_) if digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    i64::try_from(value).map(Number::from).or_else(|_| u64::try_from(value).map(Number::from)).ok()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = digits(rest);
    let rest = &rest[whole..];
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => (digits(rest), &rest[digits(rest)..]),
        None => (0, rest),
    };
    let exponent = rest.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
    whole + fraction > 0 && exponent.map_or(rest.is_empty(), |exponent| !exponent.is_empty() && digits(exponent) == exponent.len())
}

/// Would this text, written plainly, be read as something else than itself?
pub fn is_ambiguous(text: &str) -> bool {
    !matches!(word(text), Ok(Value::String(_)))
}
