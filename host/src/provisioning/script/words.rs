//! The words of a command, as a POSIX shell splits them, and nothing else that a shell would do.

use super::lines::Lines;
use super::{ScriptError, refuse};

/// Splits what is left of a command, up to the end of its line, and leaves it behind. `line` is where
/// it stands.
///
/// Quotes and backslashes mean what they mean to a shell. `<` and `>` stand for themselves, because
/// the engine writes requirements such as `pandas>=2,<3` as they are; so do the characters of patterns,
/// which are part of requirements too (`==2.*`, `name[extra]`).
///
/// # Errors
/// The line of an unquoted character by which a shell would do something (`$`, a backquote, `;`, `&`,
/// `|`, parentheses, a `#` that begins a word), of a quote that is not closed, and of a command without
/// words.
pub(super) fn split(lines: &mut Lines<'_>, line: usize) -> Result<Vec<String>, ScriptError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let text = lines.rest();
    let mut characters = text.char_indices();
    let mut end = text.len();
    let at = |position: usize| line + text[..position].matches('\n').count();
    while let Some((position, character)) = characters.next() {
        match character {
            '\n' => {
                end = position + 1;
                break;
            }
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let quoted = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some((_, '\'')) => break,
                        Some((_, inside)) => quoted.push(inside),
                        None => return refuse(at(position), "opens a single quote that is not closed"),
                    }
                }
            }
            '"' => {
                let quoted = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some((_, '"')) => break,
                        Some((place, sign @ ('$' | '`'))) => return refuse(at(place), special(sign)),
                        Some((_, '\\')) => match characters.next() {
                            Some((_, escaped @ ('$' | '`' | '"' | '\\'))) => quoted.push(escaped),
                            Some((_, '\n')) => {}
                            Some((_, other)) => quoted.extend(['\\', other]),
                            None => return refuse(at(position), "opens a double quote that is not closed"),
                        },
                        Some((_, inside)) => quoted.push(inside),
                        None => return refuse(at(position), "opens a double quote that is not closed"),
                    }
                }
            }
            '\\' => match characters.next() {
                Some((_, '\n')) => {}
                Some((_, escaped)) => word.get_or_insert_default().push(escaped),
                None => return refuse(at(position), "ends in a backslash"),
            },
            '$' | '`' | ';' | '&' | '|' | '(' | ')' => return refuse(at(position), special(character)),
            '#' if word.is_none() => return refuse(at(position), special(character)),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    lines.advance(end);
    if words.is_empty() {
        return refuse(line, "installs no packages");
    }
    Ok(words)
}

fn special(character: char) -> String {
    format!("has `{character}` outside of quotes in the list of packages")
}
