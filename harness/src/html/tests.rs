use super::*;

const SVG: &str = "<svg role=\"img\"><g><title>engine 12.3</title><rect/></g></svg>\n";

fn shown(markdown: &str) -> String {
    let page = page(markdown, |path| (path == "charts/a.svg").then_some(SVG));
    let (_, main) = page.split_once("<main>\n").unwrap();
    main.split_once("</main>").unwrap().0.to_owned()
}

/// Values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    html.split(start.as_str())
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(value, _)| value)
        .collect()
}

#[test]
fn headings_have_the_anchors_that_links_lead_to() {
    let html = shown(
        "# A title\n\n## Where It *Excels*, `v2`!\n\n[there](#where-it-excels-v2)\n\n## Where it excels v2\n",
    );
    assert!(
        html.contains("<h2 id=\"where-it-excels-v2\">Where It <em>Excels</em>, <code>v2</code>!</h2>"),
        "{html}"
    );
    assert!(html.contains("<h2 id=\"where-it-excels-v2-1\">"), "{html}");
    let whole = page("# A <b> title\n\n## One\n", |_| None);
    assert!(whole.contains("<title>A &lt;b&gt; title</title>"), "{whole}");
    assert!(whole.contains("<li><a href=\"#one\">One</a></li>"), "{whole}");
}

#[test]
fn charts_stand_in_place_and_unknown_pictures_are_not_asked_for() {
    let html = shown("![one 1, two <2>](charts/a.svg)\n\nText ![three](charts/b.svg) text\n");
    assert!(html.contains(SVG.trim_end()) && html.contains("<p>one 1, two &lt;2&gt;</p>"), "{html}");
    assert!(!html.contains("<img") && !html.contains("b.svg") && html.contains("three"), "{html}");
    assert!(!html.contains("<p><figure"), "{html}");
}

#[test]
fn tables_lie_in_boxes_and_have_no_styles() {
    let html = shown("| a | b |\n|---|--:|\n| 1 | **2** |\n");
    assert!(html.starts_with("<div class=\"table\" tabindex=\"0\">\n<table>"), "{html}");
    assert!(html.contains("<strong>2</strong>") && !html.contains("style"), "{html}");
}

#[test]
fn hostile_text_is_text() {
    let html = shown(
        "# <script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n<a id=\"x\" onclick=\"alert(1)\">\n\n\
         | <b>a</b> |\n|---|\n| <script>alert(1)</script> |\n\n<script>\nalert(1)\n</script>\n\n\
         [a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [<img src=x>](data:text/html,x) [d](vbscript:x)\n\n\
         ![\"><script>alert(1)</script>](charts/a.svg)\n",
    );
    for tag in ["<script", "<img", "<b>", "<a", "href="] {
        assert!(!html.contains(tag), "{tag}: {html}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
}

#[test]
fn links_lead_to_the_web_to_files_beside_and_to_anchors() {
    let html = shown(
        "<a id=\"run-1\"></a>\n\n[a](https://example.org/?a=1&b) [b](runs/x/report.md) [c](#run-1) [d](../harness/BIAS.md#x)\n",
    );
    assert!(html.contains("<a id=\"run-1\"></a>"), "{html}");
    assert_eq!(
        values(&html, "href"),
        ["https://example.org/?a=1&amp;b", "runs/x/report.md", "#run-1", "../harness/BIAS.md#x"]
    );
}

#[test]
fn the_policy_names_the_very_style_and_script() {
    let page = page("# T\n", |_| None);
    let between = |from: &str, to: &str| page.split_once(from).unwrap().1.split_once(to).unwrap().0;
    let (style, script) = (between("<style>", "</style>"), between("<script>", "</script>"));
    let policy = values(&page, "content")[0];
    assert!(policy.contains(&format!("style-src '{}'", hash(style))), "{policy}");
    assert!(policy.contains(&format!("script-src '{}'", hash(script))), "{policy}");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for asks in ["src=", "@import", "url(", "fetch(", "XMLHttpRequest", "innerHTML"] {
        assert!(!page.contains(asks), "{asks}");
    }
}
