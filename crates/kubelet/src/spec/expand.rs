//! `$(NAME)` in commands, arguments, values and paths; `$$` is a dollar sign. What cannot be resolved stays as it is.

pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            out.push_str(&lookup(name).unwrap_or_else(|| format!("$({name})")));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// Like `expand`, but names what is not known.
pub fn expand_strictly(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let missing = std::cell::RefCell::new(Vec::new());
    let out = expand(text, |name| {
        let value = lookup(name);
        if value.is_none() {
            missing.borrow_mut().push(name.to_string());
        }
        value
    });
    let missing = missing.into_inner();
    if missing.is_empty() { Ok(out) } else { Err(format!("missing value for {missing:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_the_api_says() {
        let check = |text: &str| expand(text, |name| (name == "A").then(|| "x".to_string()));
        assert_eq!(check("$(A)-$(A)"), "x-x");
        assert_eq!(check("$$(A) $(B) $A $"), "$(A) $(B) $A $");
        assert_eq!(check("$$$(A) $(A"), "$x $(A");
        assert!(expand_strictly("a/$(B)", |_| None).is_err());
    }
}
