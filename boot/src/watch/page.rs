//! The page: one file with its style and its script in it, for a machine that runs or with a recording behind it.

use serde_json::json;

use super::cells::bit_names;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");

/// The script's files in the order in which one needs the other.
const SCRIPTS: [&str; 16] = [
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
    let constants = format!("const PAGE_CONSTANTS = {};\n", json!({ "flags": bit_names() }));
    let script = [constants.as_str()].into_iter().chain(SCRIPTS).collect::<Vec<_>>().join("\n");
    PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", &script)
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
        assert!(!page.contains("/*STYLE*/") && !page.contains("/*SCRIPT*/"));
    }
}
