//! The text of a cron schedule: five fields, or a word such as `@daily`. Says what is wrong with it in the words of the original's
//! parser. When a schedule is due, the controller decides.

const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

pub fn problem(schedule: &str) -> Option<String> {
    let mut text = schedule;
    if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
        text = text.split_once(' ').map_or("", |(_, rest)| rest.trim());
    }
    if text.is_empty() {
        return Some("empty spec string".into());
    }
    if text.starts_with('@') {
        return word_problem(text);
    }
    let fields = text.split_whitespace().collect::<Vec<_>>();
    if fields.len() != FIELDS.len() {
        return Some(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    let mut parts = fields.iter().zip(FIELDS).flat_map(|(field, bounds)| field.split(',').map(move |part| (part, bounds)));
    parts.find_map(|(part, bounds)| range(part, bounds).err())
}

fn word_problem(text: &str) -> Option<String> {
    if let Some(duration) = text.strip_prefix("@every ") {
        let numbered =
            duration.starts_with(|first: char| first.is_ascii_digit()) && duration.ends_with(|last: char| last.is_ascii_alphabetic());
        return (!numbered).then(|| format!("failed to parse duration {text}: time: invalid duration {duration:?}"));
    }
    (!WORDS.contains(&text)).then(|| format!("unrecognized descriptor: {text}"))
}

/// `*`, `5`, `1-5`, each with a step behind `/`.
fn range(part: &str, (min, max, names): (u32, u32, &[&str])) -> Result<(), String> {
    let (ends, step) = match part.split('/').collect::<Vec<_>>()[..] {
        [ends] => (ends, None),
        [ends, step] => (ends, Some(number(step)?)),
        _ => return Err(format!("too many slashes: {part}")),
    };
    let (start, mut end) = match ends.split('-').collect::<Vec<_>>()[..] {
        ["*" | "?", ..] => (min, max),
        [only] => (named(only, min, names)?, named(only, min, names)?),
        [start, end] => (named(start, min, names)?, named(end, min, names)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    if step.is_some() && !ends.contains('-') {
        end = max;
    }
    match step {
        _ if start < min => Err(format!("beginning of range ({start}) below minimum ({min}): {part}")),
        _ if end > max => Err(format!("end of range ({end}) above maximum ({max}): {part}")),
        _ if start > end => Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}")),
        Some(0) => Err(format!("step of range should be a positive number: {part}")),
        _ => Ok(()),
    }
}

fn named(text: &str, first: u32, names: &[&str]) -> Result<u32, String> {
    match names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
        Some(place) => Ok(first + place as u32),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn reads_schedules() {
        for good in ["* * * * *", "*/5 0-23 1,15 jan-DEC sun", "5/15 * ? * *", "@hourly", "@every 1h30m", "0 0 * * 0"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for (bad, expected) in [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("@often", "unrecognized descriptor: @often"),
        ] {
            assert_eq!(problem(bad).as_deref(), Some(expected), "{bad}");
        }
    }
}
