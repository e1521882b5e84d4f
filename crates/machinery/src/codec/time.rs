//! Times as the API writes them: RFC 3339 in UTC, to the second (`Time`) or the microsecond (`MicroTime`).
use jiff::Timestamp;
use jiff::civil::DateTime;

/// The text that the API gives back for `text`; `None` for the zero time, which is as good as none.
pub fn time(text: &str) -> Result<Option<String>, String> {
    let layout = "2006-01-02T15:04:05Z07:00";
    let parsed = parse(text, layout, false)?;
    Ok(parsed.filter(|at| !is_zero(at)).map(format_time))
}

pub fn micro_time(text: &str) -> Result<Option<String>, String> {
    let parsed = parse(text, "2006-01-02T15:04:05.000000Z07:00", true)?;
    Ok(parsed.filter(|at| !is_zero(at)).map(format_micro_time))
}

pub fn format_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub fn format_micro_time(at: Timestamp) -> String {
    format!("{}.{:06}Z", at.strftime("%Y-%m-%dT%H:%M:%S"), at.subsec_nanosecond() / 1000)
}

/// Seconds of the year 1, which stands for "no time".
const ZERO_SECONDS: i64 = -62_135_596_800;

fn is_zero(at: &Timestamp) -> bool {
    at.as_second() == ZERO_SECONDS && at.subsec_nanosecond() == 0
}

/// Reads `layout` piece by piece, so that the error names the piece as the original's does.
fn parse(text: &str, layout: &str, micro: bool) -> Result<Option<Timestamp>, String> {
    let fail = |rest: &str, piece: &str| format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {piece:?}");
    let range = |what: &str| format!("parsing time {text:?}: {what} out of range");
    let mut rest = text;
    let mut number = |width: usize, piece: &str, separator: &str| -> Result<i32, String> {
        let digits =
            rest.get(..width).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(|| fail(rest, piece))?;
        rest = &rest[width..];
        rest = rest.strip_prefix(separator).ok_or_else(|| fail(rest, separator))?;
        digits.parse().map_err(|_| fail(digits, piece))
    };
    let (year, month, day) = (number(4, "2006", "-")?, number(2, "01", "-")?, number(2, "02", "T")?);
    let (hour, minute, second) = (number(2, "15", ":")?, number(2, "04", ":")?, number(2, "05", "")?);
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if micro && digits != 6 {
            return Err(fail(rest, ".000000"));
        }
        nanos = format!("{:0<9}", &fraction[..digits.min(9)]).parse().unwrap_or(0);
        rest = &fraction[digits..];
    } else if micro {
        return Err(fail(rest, ".000000"));
    }
    let offset_seconds = offset(rest).ok_or_else(|| fail(rest, "Z07:00"))?;
    let bounds =
        [("month", month, 1, 12), ("day", day, 1, 31), ("hour", hour, 0, 23), ("minute", minute, 0, 59), ("second", second, 0, 59)];
    if let Some((what, ..)) = bounds.iter().find(|(_, value, low, high)| value < low || value > high) {
        return Err(range(what));
    }
    let civil =
        DateTime::new(year as i16, month as i8, day as i8, hour as i8, minute as i8, second as i8, nanos).map_err(|_| range("day"))?;
    let at = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| range("year"))?.timestamp();
    Ok(at.checked_sub(jiff::SignedDuration::from_secs(offset_seconds)).ok())
}

fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<i64>().ok()).flatten();
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours <= 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A `Time` that is already as it should be: `2006-01-02T15:04:05Z`, nothing to rewrite.
pub fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 20
        && bytes[19] == b'Z'
        && bytes.iter().zip(b"0000-00-00T00:00:00Z").all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape })
        && &bytes[..4] > b"0001".as_slice()
        && (b"01"..=b"12").contains(&&[bytes[5], bytes[6]])
        && (b"01"..=b"28").contains(&&[bytes[8], bytes[9]])
        && &bytes[11..13] < b"24".as_slice()
        && bytes[14] < b'6'
        && bytes[17] < b'6'
}

/// A Go duration (`1h2m3.5s`) in nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: f64 = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
        let (unit, factor) = units.iter().find(|(unit, _)| {
            rest.strip_prefix(unit).is_some_and(|after| after.is_empty() || after.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        })?;
        total += number * factor;
        rest = &rest[unit.len()..];
    }
    let nanos = if negative { -total } else { total };
    (nanos.abs() < i64::MAX as f64).then_some(nanos as i64)
}

/// Nanoseconds as Go writes a duration.
pub fn format_duration(nanos: i64) -> String {
    let (sign, left) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let trimmed = |value: f64| format!("{value}");
    match left {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{left}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", trimmed(left as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", trimmed(left as f64 / 1e6)),
        _ => {
            let (hours, minutes) = (left / 3_600_000_000_000, left / 60_000_000_000 % 60);
            let seconds = trimmed((left % 60_000_000_000) as f64 / 1e9);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_back_in_utc() {
        assert_eq!(time("2026-01-02T03:04:05+01:30"), Ok(Some("2026-01-02T01:34:05Z".into())));
        assert_eq!(time("2026-01-02T03:04:05.999Z"), Ok(Some("2026-01-02T03:04:05Z".into())));
        assert_eq!(time("0001-01-01T00:00:00Z"), Ok(None));
        assert_eq!(micro_time("2026-01-02T03:04:05.000001Z"), Ok(Some("2026-01-02T03:04:05.000001Z".into())));
        assert!(is_plain("2026-01-02T03:04:05Z") && !is_plain("2026-01-32T03:04:05Z") && !is_plain("2026-01-02T03:04:05.1Z"));
    }

    #[test]
    fn errors_name_the_piece() {
        let layout = "2006-01-02T15:04:05Z07:00";
        assert_eq!(time("soon").unwrap_err(), format!("parsing time \"soon\" as \"{layout}\": cannot parse \"soon\" as \"2006\""));
        assert_eq!(time("2026-13-01T00:00:00Z").unwrap_err(), "parsing time \"2026-13-01T00:00:00Z\": month out of range");
        assert!(micro_time("2026-01-02T03:04:05Z").is_err());
    }

    #[test]
    fn durations() {
        for text in ["0s", "1h0m0s", "1m30s", "1.5s", "250ms", "10ns", "-5s"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert!(parse_duration("5").is_none() && parse_duration("").is_none());
    }
}
