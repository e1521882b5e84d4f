//! The text form of sets of indexes: `1,3-5,7`. Rising, below the number of completions.

/// How many indexes there are, or what is wrong.
pub fn count(text: &str, completions: i32) -> Result<i32, String> {
    let mut total = 0;
    let mut last: Option<i32> = None;
    for (first, end) in intervals(text, completions) {
        let (first, end) = (first?, end?);
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that is in both.
pub fn overlap(one: &str, other: &str, completions: i32) -> Option<i32> {
    let read = |text: &str| intervals(text, completions).filter_map(|(first, end)| Some((first.ok()?, end.ok()?))).collect::<Vec<_>>();
    let others = read(other);
    read(one).into_iter().flat_map(|one| others.iter().map(move |other| (one, *other))).find_map(|((a, b), (x, y))| {
        let first = a.max(x);
        (first <= b.min(y)).then_some(first)
    })
}

type Bound = Result<i32, String>;

fn intervals(text: &str, completions: i32) -> impl Iterator<Item = (Bound, Bound)> {
    text.split(',').filter(move |_| !text.is_empty()).map(move |part| match interval(part, completions) {
        Ok((first, end)) => (Ok(first), Ok(end)),
        Err(problem) => (Err(problem.clone()), Err(problem)),
    })
}

fn interval(part: &str, completions: i32) -> Result<(i32, i32), String> {
    let read = |text: &str| {
        let index = text.parse::<i32>().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if index >= completions { Err(format!("too large index: {text:?}")) } else { Ok(index) }
    };
    match part.split('-').collect::<Vec<_>>()[..] {
        [only] => read(only).map(|index| (index, index)),
        [first, end] => {
            let (first, end) = (read(first)?, read(end)?);
            if first >= end { Err(format!("non-increasing order, previous: {first}, current: {end}")) } else { Ok((first, end)) }
        }
        _ => Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}
