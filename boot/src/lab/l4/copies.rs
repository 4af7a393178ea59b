//! Whether a policy is one that Quire has, with other names and comments.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

macro_rules! of_quire {
    ($($name:literal: $file:literal,)*) => {
        /// Quire's policies, and their files.
        const OF_QUIRE: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../kernel/memory/src/policy/policies/", $file)),
        )),*];
    };
}

of_quire! {
    "fifo": "fifo.rs",
    "clock": "clock.rs",
    "two-list": "two_list.rs",
    "mglru": "mglru.rs",
    "clock-pro": "clock_pro.rs",
    "s3-fifo": "s3_fifo.rs",
    "reuse": "reuse.rs",
}

/// The policy of Quire's that this is, if it is one.
pub(super) fn copied(text: &str) -> Option<&'static str> {
    let own = shape(text)?;
    OF_QUIRE.iter().find(|(_, other)| shape(other).as_ref() == Some(&own)).map(|(name, _)| *name)
}

/// The code without comments and white space, where each name is the number of the place at which it stands first.
fn shape(text: &str) -> Option<Vec<String>> {
    let mut shape = Vec::new();
    flatten(text.parse().ok()?, &mut Vec::new(), &mut shape);
    Some(shape)
}

fn flatten(tokens: TokenStream, names: &mut Vec<String>, shape: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = &tokens[..];
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        if let Some(length) = documentation(token, after) {
            rest = &after[length..];
            continue;
        }
        match token {
            TokenTree::Group(group) => {
                shape.push(format!("{:?}", group.delimiter()));
                flatten(group.stream(), names, shape);
                shape.push("end".to_owned());
            }
            TokenTree::Ident(name) => {
                let name = name.to_string();
                let number = names.iter().position(|other| *other == name).unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                });
                shape.push(number.to_string());
            }
            // A comma before the end of a list is a matter of form.
            TokenTree::Punct(punct) if punct.as_char() == ',' && after.is_empty() => {}
            other => shape.push(other.to_string()),
        }
    }
}

/// How many more tokens belong to a comment that is documentation, if one begins here.
fn documentation(token: &TokenTree, after: &[TokenTree]) -> Option<usize> {
    let is =
        |token: Option<&TokenTree>, wanted| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
    if !is(Some(token), '#') {
        return None;
    }
    let inner = usize::from(is(after.first(), '!'));
    let TokenTree::Group(group) = after.get(inner)? else { return None };
    let first = group.stream().into_iter().next()?;
    (group.delimiter() == Delimiter::Bracket && first.to_string() == "doc").then_some(inner + 1)
}

#[cfg(test)]
mod tests {
    use super::{OF_QUIRE, copied};

    #[test]
    fn each_policy_of_quire_is_known_with_other_names_and_comments() {
        let names: Vec<&str> = OF_QUIRE.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, quire_memory::policy::NAMES);
        for (name, text) in OF_QUIRE {
            let other =
                format!("//! Mine.\n\n// All my own.\n{}", text.replace("queues", "my_lists").replace("    ", "\t"));
            assert_eq!(copied(&other), Some(*name));
            assert_eq!(copied(&text.replacen("const fn", "fn", 1)), None, "{name}");
        }
        assert_eq!(copied("fn f( {"), None);
    }
}
