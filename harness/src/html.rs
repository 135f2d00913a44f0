//! One self-contained page of a Markdown document and its charts: nothing in it is asked for elsewhere, and text in it is text.
//!
//! A content security policy allows the page's own style and script, named by their hashes, and nothing else.

mod body;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use body::{Body, escaped};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// The page of `markdown`. `picture` gives the SVG of a chart by the path under which the document shows it; a picture that it
/// does not know becomes its description.
///
/// Links that lead to neither a fragment, a file beside the page nor the web become text, and so does HTML, but for the anchors
/// `<a id="…"></a>`.
pub fn page<'a>(markdown: &str, picture: impl Fn(&str) -> Option<&'a str>) -> String {
    let Body { title, html, sections } = body::body(markdown, &picture);
    let items: String = sections
        .iter()
        .map(|s| format!("<li><a href=\"#{}\">{}</a></li>\n", s.id, escaped(&s.title)))
        .collect();
    let title = escaped(&title);
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    // The empty icon keeps browsers from asking a server for one.
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <nav aria-label=\"Sections\">\n<details>\n<summary>Sections</summary>\n<ul>\n{items}</ul>\n</details>\n</nav>\n\
         <main>\n{html}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// As content security policies name it: `sha256-…`.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests;
