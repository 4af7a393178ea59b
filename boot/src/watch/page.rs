//! The page: one file with its style and its script in it, for a machine that runs or with a recording behind it. A figure of the book
//! is the same page with its style and its script beside it.

use serde_json::json;

use super::cells::bit_names;

/// The names under which a figure looks for its style and its script.
pub const STYLE_FILE: &str = "recording.css";
/// As [`STYLE_FILE`].
pub const SCRIPT_FILE: &str = "recording.js";

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const FIGURE_STYLE: &str = include_str!("page/figure.css");

/// The script's files in the order in which one needs the other.
const SCRIPTS: [&str; 17] = [
    include_str!("page/bytes.js"),
    include_str!("page/words.js"),
    include_str!("page/kinds.js"),
    include_str!("page/state.js"),
    include_str!("page/tape.js"),
    include_str!("page/tiles.js"),
    include_str!("page/cellmap.js"),
    include_str!("page/maps.js"),
    include_str!("page/curves.js"),
    include_str!("page/story.js"),
    include_str!("page/compressed.js"),
    include_str!("page/tables.js"),
    include_str!("page/detail.js"),
    include_str!("page/sources.js"),
    include_str!("page/figure.js"),
    include_str!("page/keys.js"),
    include_str!("page/main.js"),
];

/// What goes between the page and a recording in base64. What was recorded comes last: a file that could not be written to
/// its end can be opened all the same.
pub(super) const BEFORE_RECORDING: &str = "<script type=\"text/plain\" id=\"recording\">\n";
/// What goes behind it.
pub(super) const AFTER_RECORDING: &str = "\n</script>\n";

/// The page of a machine that runs.
pub fn page() -> String {
    let style = format!("<style>\n{STYLE}\n</style>");
    PAGE.replace("<!--STYLE-->", &style).replace("<!--SCRIPT-->", &format!("<script>\n{}\n</script>", script()))
}

/// The script, for all kinds of the page.
pub fn script() -> String {
    let constants = format!("const PAGE_CONSTANTS = {};\n", json!({ "flags": bit_names() }));
    let script = [constants.as_str()].into_iter().chain(SCRIPTS).collect::<Vec<_>>().join("\n");
    format!("\"use strict\";\n(() => {{\n{script}\n}})();")
}

/// The style of figures.
pub fn figure_style() -> String {
    format!("{STYLE}\n{FIGURE_STYLE}")
}

/// The page of a figure, in which `<!--RECORDING-->` is to be replaced. `summary` is for browsers that run no script, `look` for the
/// script.
pub(super) fn figure_page(beside: &str, summary: &str, look: &str) -> String {
    let style = format!("<link rel=\"stylesheet\" href=\"{STYLE_FILE}\">");
    let body = format!(
        "<body class=\"in-book\" data-beside=\"{beside}\">\n<noscript>\
         <style>header, main, footer {{ display: none !important }}</style><p>This figure plays where scripts may run. {summary}</p></noscript>"
    );
    let script = format!(
        "<script type=\"application/json\" id=\"figure\">{look}</script>\n<!--RECORDING--><script src=\"{SCRIPT_FILE}\"></script>"
    );
    PAGE.replace("<!--STYLE-->", &style).replace("<body>", &body).replace("<!--SCRIPT-->", &script)
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = page();
        for elsewhere in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        assert!(!page.contains("<!--"));
    }
}
