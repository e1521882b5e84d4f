//! Label selectors. Requirements are kept in the order of their keys, as the original prints them.
use super::lexer::{Token, scan};
use super::{SelectorError, refuse};
use crate::content;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// Checks key, operator and values against each other.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Requirement, SelectorError> {
        let mut problems = Vec::new();
        if let Err(problem) = check_key(key, "key") {
            problems.push(problem.0);
        }
        let mut values_wrong = |why: &str| {
            let shown = if values.is_empty() { "[]".to_string() } else { quoted_list(&values) };
            problems.push(format!("values: Invalid value: {shown}: {why}"));
        };
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => values_wrong("for 'in', 'notin' operators, values set can't be empty"),
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                values_wrong("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                values_wrong("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    values_wrong("for 'Gt', 'Lt' operators, exactly one value is required");
                }
                for (index, value) in values.iter().enumerate().filter(|(_, value)| value.parse::<i64>().is_err()) {
                    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                    problems.push(format!("values[{index}]: Invalid value: {value:?}: {why}"));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            let wrong = content::label_value(value);
            if !wrong.is_empty() {
                problems.push(format!("values[{index}][{key}]: Invalid value: {value:?}: {}", wrong.join("; ")));
            }
        }
        problems.dedup();
        match problems.len() {
            0 => Ok(Requirement { key: key.into(), operator, values }),
            1 => refuse(problems.remove(0)),
            _ => refuse(format!("[{}]", problems.join(", "))),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn operator(&self) -> Operator {
        self.operator
    }

    pub fn values(&self) -> &[String] {
        &self.values
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|wanted| wanted == value)
    }

    /// Does a label with this value (or its absence) meet the requirement?
    pub fn matches(&self, value: Option<&str>) -> bool {
        let number = |compare: fn(&i64, &i64) -> bool| {
            let wanted = self.values.first().and_then(|value| value.parse::<i64>().ok());
            let there = value.and_then(|value| value.parse::<i64>().ok());
            matches!((there, wanted), (Some(there), Some(wanted)) if compare(&there, &wanted))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(|value| self.has(value)),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(|value| self.has(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => number(i64::gt),
            Operator::LessThan => number(i64::lt),
        }
    }
}

/// All of its requirements together; `nothing()` matches no object, the default one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Selector {
    pub fn everything() -> Selector {
        Selector::default()
    }

    pub fn nothing() -> Selector {
        Selector { requirements: Vec::new(), nothing: true }
    }

    pub fn new(mut requirements: Vec<Requirement>) -> Selector {
        requirements.sort_by(|one, other| one.key.cmp(&other.key));
        Selector { requirements, nothing: false }
    }

    /// Reads the text form (`app=web,tier in (a,b),!old`).
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        let mut parser = Parser { tokens: scan(text), at: 0 };
        parser.selector().map(Selector::new)
    }

    /// Labels that must all be there, unchecked.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Selector {
        let requirement =
            |(key, value): (&String, &String)| Requirement { key: key.clone(), operator: Operator::Equals, values: vec![value.clone()] };
        Selector { requirements: labels.iter().map(requirement).collect(), nothing: false }
    }

    /// The API's `LabelSelector`: none selects nothing, an empty one everything.
    pub fn from_api(selector: Option<&LabelSelector>) -> Result<Selector, SelectorError> {
        let Some(selector) = selector else { return Ok(Selector::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.clone()])?);
        }
        for expression in selector.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return refuse(format!("{other:?} is not a valid label selector operator")),
            };
            requirements.push(Requirement::new(&expression.key, operator, expression.values.clone().unwrap_or_default())?);
        }
        Ok(Selector::new(requirements))
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Does it match every object?
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    /// The same for labels that an object may not have.
    pub fn matches_labels(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.matches_with(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
    }

    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut values = self.values.clone();
        values.sort();
        let (key, values) = (&self.key, values.join(","));
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let parts = self.requirements.iter().map(Requirement::to_string).collect::<Vec<_>>();
        f.write_str(&parts.join(","))
    }
}

fn check_key(key: &str, path: &str) -> Result<(), SelectorError> {
    let problems = content::label_key(key);
    if problems.is_empty() { Ok(()) } else { refuse(format!("{path}: Invalid value: {key:?}: {}", problems.join("; "))) }
}

fn quoted_list(values: &[String]) -> String {
    serde_json::to_string(values).unwrap_or_default()
}

/// Recursive descent over the scanned words.
struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

const END: (Token, &str) = (Token::End, "");

impl Parser {
    /// The next word; where a value is expected, `in` and `notin` are plain words.
    fn look(&self) -> (Token, &str) {
        match self.tokens.get(self.at) {
            Some((Token::In | Token::NotIn, text)) => (Token::Word, text),
            Some((token, text)) => (*token, text),
            None => END,
        }
    }

    fn take(&mut self) -> (Token, String) {
        let (token, text) = self.look();
        let taken = (token, text.to_string());
        self.at += 1;
        taken
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.look() {
                (Token::Word | Token::Not, _) => {}
                (Token::End, _) => return Ok(requirements),
                (_, text) => return refuse(format!("found '{text}', expected: !, identifier, or 'end of string'")),
            }
            match self.requirement() {
                Ok(requirement) => requirements.push(requirement),
                Err(error) => return refuse(format!("unable to parse requirement: {error}")),
            }
            match self.take() {
                (Token::End, _) => return Ok(requirements),
                (Token::Comma, _) => match self.look() {
                    (Token::Word | Token::Not, _) => {}
                    (_, text) => return refuse(format!("found '{text}', expected: identifier after ','")),
                },
                (_, text) => return refuse(format!("found '{text}', expected: ',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut token, mut key) = self.take();
        let absent = token == Token::Not;
        if absent {
            (token, key) = self.take();
        }
        if token != Token::Word {
            return refuse(format!("found '{key}', expected: identifier"));
        }
        check_key(&key, "<nil>")?;
        if absent {
            return Requirement::new(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.look().0, Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        values.sort();
        values.dedup();
        Requirement::new(&key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        let (token, text) = self.tokens.get(self.at).map_or(END, |(token, text)| (*token, text.as_str()));
        let operator = match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return refuse(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        self.at += 1;
        Ok(operator)
    }

    fn exact_value(&mut self) -> Result<String, SelectorError> {
        match self.look() {
            (Token::End | Token::Comma, _) => Ok(String::new()),
            _ => match self.take() {
                (Token::Word, text) => Ok(text),
                (_, text) => refuse(format!("found '{text}', expected: identifier")),
            },
        }
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let (token, text) = self.take();
        if token != Token::Open {
            return refuse(format!("found '{text}' expected: '('"));
        }
        match self.look() {
            (Token::Word | Token::Comma, _) => self.value_list(),
            (Token::Close, _) => {
                self.take();
                Ok(vec![String::new()])
            }
            (_, text) => refuse(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }

    /// Words and commas up to the closing bracket; an empty place between commas is an empty value.
    fn value_list(&mut self) -> Result<Vec<String>, SelectorError> {
        let mut values = Vec::new();
        loop {
            match self.take() {
                (Token::Word, text) => {
                    values.push(text);
                    match self.look() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => break,
                        (_, text) => return refuse(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.look().0 {
                        Token::Close => {
                            values.push(String::new());
                            break;
                        }
                        Token::Comma => values.push(String::new()),
                        _ => {}
                    }
                }
                (_, text) => return refuse(format!("found '{text}', expected: ',', or identifier")),
            }
        }
        self.take();
        Ok(values)
    }
}
