//! Markdown to HTML: headings get anchors, tables boxes of their own, charts their SVG.

use pulldown_cmark::{Alignment, CowStr, Event, Options, Parser, Tag, TagEnd, html::push_html};
use std::collections::BTreeMap;

/// What stands on the page.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// The first heading.
    pub(super) title: String,
    /// Everything.
    pub(super) html: String,
    /// Headings of the second level.
    pub(super) sections: Vec<Section>,
}

/// A section of the document.
#[derive(Debug)]
pub(super) struct Section {
    /// Its anchor.
    pub(super) id: String,
    /// Its heading.
    pub(super) title: String,
}

/// Renders it; see [`super::page`].
pub(super) fn body<'a>(markdown: &str, picture: &dyn Fn(&str) -> Option<&'a str>) -> Body {
    let events: Vec<Event> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    let mut writer = Writer { picture, slugs: Slugs::default(), body: Body::default(), out: Vec::new() };
    writer.all(&events);
    let Writer { mut body, out, .. } = writer;
    push_html(&mut body.html, out.into_iter());
    body
}

/// Text as HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

struct Writer<'e, 'p> {
    picture: &'e dyn Fn(&str) -> Option<&'p str>,
    slugs: Slugs,
    body: Body,
    out: Vec<Event<'e>>,
}

impl<'e> Writer<'e, '_> {
    fn all(&mut self, events: &[Event<'e>]) {
        let mut rest = events;
        while !rest.is_empty() {
            rest = &rest[self.write(rest)..];
        }
    }

    /// Writes what begins with the first event of `rest`; returns how many of them that took.
    fn write(&mut self, rest: &[Event<'e>]) -> usize {
        let event = &rest[0];
        match event {
            Event::Start(Tag::Heading { .. }) => self.heading(rest),
            Event::Start(Tag::Paragraph) => match alone_in_paragraph(rest) {
                Some(taken) => {
                    self.image(&rest[1..taken - 1]);
                    return taken;
                }
                None => self.out.push(event.clone()),
            },
            Event::Start(Tag::Image { .. }) => {
                let taken = span(rest);
                self.image(&rest[..taken]);
                return taken;
            }
            Event::Start(Tag::Link { dest_url, .. }) if !is_safe(dest_url) => {
                let taken = span(rest);
                self.all(&rest[1..taken - 1]);
                return taken;
            }
            Event::Start(Tag::Table(columns)) => {
                self.html("<div class=\"table\" tabindex=\"0\">\n");
                // An alignment would become a style, which the policy forbids.
                self.out.push(Event::Start(Tag::Table(vec![Alignment::None; columns.len()])));
            }
            Event::End(TagEnd::Table) => {
                self.out.push(event.clone());
                self.html("</div>\n");
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                self.out.push(if is_ours(html) { event.clone() } else { Event::Text(html.clone()) });
            }
            _ => self.out.push(event.clone()),
        }
        1
    }

    fn html(&mut self, html: impl Into<CowStr<'e>>) {
        self.out.push(Event::Html(html.into()));
    }

    /// The start of a heading, with an anchor.
    fn heading(&mut self, rest: &[Event<'e>]) {
        let Event::Start(Tag::Heading { level, .. }) = &rest[0] else { return };
        let title = text(&rest[..span(rest)]);
        let id = self.slugs.of(&title);
        if self.body.title.is_empty() {
            self.body.title.clone_from(&title);
        }
        if *level as usize == 2 {
            self.body.sections.push(Section { id: id.clone(), title });
        }
        let id = Some(CowStr::from(id));
        self.out.push(Event::Start(Tag::Heading { level: *level, id, classes: vec![], attrs: vec![] }));
    }

    /// The chart, or what it shows in words.
    fn image(&mut self, image: &[Event<'e>]) {
        let Some(Event::Start(Tag::Image { dest_url, .. })) = image.first() else { return };
        let alt = text(image);
        match (self.picture)(dest_url) {
            Some(svg) => self.html(format!(
                "<figure>\n<div class=\"chart\" tabindex=\"0\">{}</div>\n<details>\n<summary>In words</summary>\n<p>{}</p>\n\
                 </details>\n</figure>\n",
                svg.trim_end(),
                escaped(&alt)
            )),
            None => self.html(format!("<p>{}</p>\n", escaped(&alt))),
        }
    }
}

/// How many events an element has, of which the first is its start.
fn span(events: &[Event]) -> usize {
    let mut depth = 0;
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    events.len()
}

/// How many events a paragraph has that holds nothing but an image.
fn alone_in_paragraph(events: &[Event]) -> Option<usize> {
    let Event::Start(Tag::Image { .. }) = events.get(1)? else { return None };
    let end = 1 + span(&events[1..]);
    matches!(events.get(end)?, Event::End(TagEnd::Paragraph)).then_some(end + 1)
}

fn text(events: &[Event]) -> String {
    let part = |event: &Event| match event {
        Event::Text(text) | Event::Code(text) => text.to_string(),
        Event::Html(html) | Event::InlineHtml(html) if !is_ours(html) => html.to_string(),
        Event::SoftBreak | Event::HardBreak => " ".to_owned(),
        _ => String::new(),
    };
    events.iter().map(part).collect()
}

/// Whether it leads to the web, to a file beside the page or to a place on it: nothing that runs.
fn is_safe(href: &str) -> bool {
    let scheme = href.split(['/', '?', '#']).next().unwrap_or_default();
    match scheme.split_once(':') {
        None => true,
        Some((scheme, _)) => ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()),
    }
}

/// Whether it is part of `<a id="run-1"></a>`, the only HTML that reports have.
fn is_ours(html: &str) -> bool {
    let html = html.trim();
    let id = html.strip_prefix("<a id=\"").and_then(|rest| rest.strip_suffix("\">"));
    html == "</a>" || id.is_some_and(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

/// Anchors of headings, as GitHub makes them, so that the links of the Markdown lead there.
#[derive(Default)]
struct Slugs(BTreeMap<String, usize>);

impl Slugs {
    fn of(&mut self, title: &str) -> String {
        let plain = |c: char| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        };
        let slug: String = title.to_lowercase().chars().filter_map(plain).collect();
        let n = self.0.entry(slug.clone()).or_default();
        *n += 1;
        if *n == 1 { slug } else { format!("{slug}-{}", *n - 1) }
    }
}
