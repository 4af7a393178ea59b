//! What a student's code may not say: all that leads out of it.
//!
//! A lab's crate is `no_std` and forbids `unsafe`, and what it depends on is given. Then code without these words has no way to
//! a file, an environment variable, a process, a socket or the terminal, neither when it is compiled nor when it runs. It can
//! panic, loop and allocate, for which there are limits.

use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

use super::files::Files;

/// Words, and what is said about them.
const FORBIDDEN: &[(&[&str], &str)] = &[
    (&["std", "extern"], "a lab's code has `core` and `alloc` only, and no way to files, processes or the terminal"),
    (&["unsafe", "asm", "global_asm", "naked_asm"], "a lab's code is safe Rust"),
    (&["include", "include_str", "include_bytes", "env", "option_env"], "a lab's code has its own files only"),
    (&["no_mangle", "export_name", "link_section"], "a lab's code is linked as it is"),
    (&["quire_testkit"], "a lab's code knows the swap core, and not the machine that it is tested on"),
    (&["global_allocator", "panic_handler"], "that is not for a lab's code to decide"),
];

/// Looks through a student's files.
///
/// # Errors
/// The place, the word, and why it may not be there.
pub(super) fn check(files: &Files) -> Result<(), String> {
    for (name, contents) in files.iter().filter(|(name, _)| Path::new(name).extension().is_some_and(|end| end == "rs"))
    {
        let text = str::from_utf8(contents).map_err(|_| format!("{name} is not text in UTF-8"))?;
        let tokens = text.parse::<TokenStream>().map_err(|error| {
            let at = error.span().start();
            format!("does not compile: {name}:{}:{}: this is not Rust", at.line, at.column + 1)
        })?;
        let mut pending = vec![tokens.into_iter()];
        let (mut before, mut is_path) = (String::new(), false);
        while let Some(tokens) = pending.last_mut() {
            let Some(token) = tokens.next() else {
                pending.pop();
                continue;
            };
            if let TokenTree::Ident(word) = &token {
                let said = word.to_string();
                let said = said.trim_start_matches("r#");
                let line = word.span().start().line;
                if let Some((_, why)) = FORBIDDEN.iter().find(|(words, _)| words.contains(&said)) {
                    return Err(format!("{name}:{line}: `{said}` may not be used: {why}"));
                }
            }
            // `#[path = "…"]`, which names a file: nothing else has a string after `path =`.
            let is_string = matches!(&token, TokenTree::Literal(literal) if literal.to_string().contains('"'));
            if is_path && is_string {
                let line = token.span().start().line;
                return Err(format!("{name}:{line}: `path` may not be used: a lab's code has its own files only"));
            }
            let word = token.to_string();
            is_path = before == "path" && word == "=";
            if let TokenTree::Group(group) = &token {
                pending.push(group.stream().into_iter());
                before.clear();
            } else {
                before = word;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    fn says(code: &str) -> Result<(), String> {
        check(&[("lab/src/own.rs".to_owned(), code.as_bytes().to_vec())].into())
    }

    #[test]
    fn what_leads_out_is_named_with_its_line() {
        for (word, code) in [
            ("std", "fn f() {}\nfn g() { ::r#std::process::exit(0) }"),
            ("extern", "mod x {\n extern crate std as s; }"),
            ("include_str", "fn f() {\n core::include_str!(\"/etc/passwd\"); }"),
            ("env", "\nconst A: &str = env!(\"HOME\");"),
            ("unsafe", "\n#[allow(unsafe_code)] unsafe fn f() {}"),
            ("path", "fn f() {}\n#[path = \"../../tutor/model/own.rs\"] mod x;"),
            ("path", "\n#[cfg_attr(all(), path = r#\"x\"#)] mod x;"),
            ("include", "\n#[doc = include!(\"x\")] fn f() {}"),
        ] {
            let words = says(code).unwrap_err();
            assert!(words.starts_with(&format!("lab/src/own.rs:2: `{word}` may not be used")), "{code}: {words}");
        }
        assert!(says("fn f( {").unwrap_err().contains("does not compile: lab/src/own.rs:1:"));
        let deep = "(".repeat(100_000);
        assert!(says(&deep).is_err());
    }

    #[test]
    fn comments_strings_and_names_are_free() {
        let code = "//! unsafe std\n/* include */ fn f(path: &str) { let standard = \"std::fs\"; let path = path; }";
        assert_eq!(says(code), Ok(()));
    }
}
