//! Cuts the text of a label selector into words.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Error,
    End,
    Open,
    Close,
    Comma,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    In,
    NotIn,
    Word,
}

pub fn scan(text: &str) -> Vec<(Token, String)> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next().filter(|first| *first != '\0') else { break };
        let (word, after) = if is_special(first) { special(rest) } else { plain(rest) };
        words.push(word);
        rest = after;
    }
    words.push((Token::End, String::new()));
    words
}

fn is_special(letter: char) -> bool {
    "=!(),><".contains(letter)
}

fn plain(text: &str) -> ((Token, String), &str) {
    let end = text.find(|letter: char| is_special(letter) || " \t\r\n\0".contains(letter)).unwrap_or(text.len());
    let token = match &text[..end] {
        "in" => Token::In,
        "notin" => Token::NotIn,
        _ => Token::Word,
    };
    ((token, text[..end].into()), &text[end..])
}

/// The longest run of special letters that means something.
fn special(text: &str) -> ((Token, String), &str) {
    let known = |part: &str| match part {
        "(" => Some(Token::Open),
        ")" => Some(Token::Close),
        "," => Some(Token::Comma),
        "!" => Some(Token::Not),
        "==" => Some(Token::DoubleEquals),
        "=" => Some(Token::Equals),
        "!=" => Some(Token::NotEquals),
        ">" => Some(Token::Greater),
        "<" => Some(Token::Less),
        _ => None,
    };
    for length in [2, 1] {
        if let Some(token) = text.get(..length).and_then(known) {
            return ((token, text[..length].into()), &text[length..]);
        }
    }
    ((Token::Error, format!("error expected: keyword found '{text}'")), "")
}
