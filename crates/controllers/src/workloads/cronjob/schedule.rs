//! Cron schedules of five fields (minute, hour, day, month, weekday), with names, ranges, steps and the usual macros, in UTC.
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A schedule that names no day at all within so many years never comes.
const MAX_YEARS: i16 = 5;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A bit per value.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// `*` in both day fields means every day; otherwise either field may name a day.
    any_day: bool,
    any_weekday: bool,
}

impl Schedule {
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        let week = field(weekdays, 0, 7, &DAYS, 0)?;
        Ok(Schedule {
            minutes: field(minutes, 0, 59, &[], 0)?,
            hours: field(hours, 0, 23, &[], 0)?,
            days: field(days, 1, 31, &[], 0)?,
            months: field(months, 1, 12, &MONTHS, 1)?,
            // Sunday is 0 and 7
            weekdays: (week | week >> 7) & 0x7f,
            any_day: matches!(days, "*" | "?"),
            any_weekday: matches!(weekdays, "*" | "?"),
        })
    }

    /// The first time after `from`.
    pub fn after(&self, from: Timestamp) -> Option<Timestamp> {
        let start = from.to_zoned(TimeZone::UTC).datetime();
        let mut date = start.date();
        let last = date.year() + MAX_YEARS;
        let mut minute = i32::from(start.hour()) * 60 + i32::from(start.minute()) + 1;
        while date.year() <= last {
            if self.has_day(date)
                && let Some(minute) = (minute..24 * 60).find(|minute| self.has_minute(*minute))
            {
                return at(date, minute);
            }
            date = date.checked_add(1.day()).ok()?;
            minute = 0;
        }
        None
    }

    /// The last time at or before `until`.
    pub fn before(&self, until: Timestamp) -> Option<Timestamp> {
        let start = until.to_zoned(TimeZone::UTC).datetime();
        let mut date = start.date();
        let first = date.year() - MAX_YEARS;
        let mut minute = i32::from(start.hour()) * 60 + i32::from(start.minute());
        while date.year() >= first {
            if self.has_day(date)
                && let Some(minute) = (0..=minute).rev().find(|minute| self.has_minute(*minute))
            {
                return at(date, minute);
            }
            date = date.checked_sub(1.day()).ok()?;
            minute = 24 * 60 - 1;
        }
        None
    }

    fn has_minute(&self, minute: i32) -> bool {
        self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1
    }

    fn has_day(&self, date: Date) -> bool {
        let month = self.months >> date.month() & 1 == 1;
        let day = self.days >> date.day() & 1 == 1;
        let weekday = self.weekdays >> date.weekday().to_sunday_zero_offset() & 1 == 1;
        month && if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }
}

fn at(date: Date, minute: i32) -> Option<Timestamp> {
    let time = Time::new((minute / 60) as i8, (minute % 60) as i8, 0, 0).ok()?;
    date.to_datetime(time).to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn field(text: &str, low: u32, high: u32, names: &[&str], first_name: u32) -> Result<u64, String> {
    text.split(',').try_fold(0, |bits, part| Ok(bits | range(part, low, high, names, first_name)?))
}

fn range(text: &str, low: u32, high: u32, names: &[&str], first_name: u32) -> Result<u64, String> {
    let value = |text: &str| {
        let name = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let number = name.map(|at| at as u32 + first_name).or_else(|| text.parse().ok());
        number.ok_or_else(|| format!("failed to parse int from {text}"))
    };
    let (span, step) = match text.split_once('/') {
        Some((span, step)) => (span, value(step)?),
        None => (text, 1),
    };
    let top = if high == 7 { 6 } else { high };
    let (start, end) = match (span, span.split_once('-')) {
        ("*" | "?", _) => (low, top),
        (_, Some((start, end))) => (value(start)?, value(end)?),
        // `5/10` runs to the end
        (_, None) if text.contains('/') => (value(span)?, top),
        (_, None) => (value(span)?, value(span)?),
    };
    if start < low || end > high || start > end || step == 0 {
        return Err(format!("the range {text} is not within {low} to {high}"));
    }
    Ok((start..=end).step_by(step as usize).fold(0, |bits, value| bits | 1 << value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, from: &str) -> String {
        let from: Timestamp = from.parse().unwrap();
        Schedule::parse(schedule).unwrap().after(from).map_or("never".into(), |at| at.to_string())
    }

    #[test]
    fn finds_the_next_time() {
        assert_eq!(next("*/15 * * * *", "2026-01-01T10:07:30Z"), "2026-01-01T10:15:00Z");
        assert_eq!(next("0 9-17/4 * * mon-fri", "2026-01-02T17:30:00Z"), "2026-01-05T09:00:00Z");
        assert_eq!(next("0 0 29 feb *", "2026-03-01T00:00:00Z"), "2028-02-29T00:00:00Z");
        assert_eq!(next("0 0 13 * 5", "2026-01-01T00:00:00Z"), "2026-01-02T00:00:00Z", "either day field");
        assert_eq!(next("@hourly", "2026-01-01T23:59:59Z"), "2026-01-02T00:00:00Z");
        assert_eq!(next("0 0 * * 7", "2026-01-01T00:00:00Z"), "2026-01-04T00:00:00Z");
        assert_eq!(next("0 0 31 2 *", "2026-01-01T00:00:00Z"), "never");
    }

    #[test]
    fn finds_the_last_time() {
        let at: Timestamp = "2026-01-01T10:07:30Z".parse().unwrap();
        assert_eq!(Schedule::parse("0 12 * * *").unwrap().before(at).unwrap().to_string(), "2025-12-31T12:00:00Z");
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for text in ["", "* * * *", "60 * * * *", "* * 0 * *", "*/0 * * * *", "a * * * *", "5-1 * * * *"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
