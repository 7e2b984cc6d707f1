//! XML from strangers, parsed within bounds.

use roxmltree::{Document, ParsingOptions};

/// Attributes of one element. The parser compares each with each; the cameras that declare all their namespaces at once have
/// some eighty.
const ATTRIBUTES_MAX: usize = 256;
/// Declarations of namespaces in a document. The parser copies them to each element below that declares another.
const NAMESPACES_MAX: usize = 512;

/// A document of at most `nodes` elements and texts; `None` for what is no such thing.
pub(super) fn parsed(text: &str, nodes: u32) -> Option<Document<'_>> {
    // No DTD, hence no entities of its own and nothing that grows.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: nodes, ..ParsingOptions::default() };
    is_tame(text).then(|| Document::parse_with_options(text, options).ok()).flatten()
}

/// Whether parsing takes no longer than the text's length suggests. There is no `<` in an attribute's value, and each value has
/// two quotation marks.
fn is_tame(text: &str) -> bool {
    let quotes = |tag: &str| tag.bytes().filter(|byte| matches!(byte, b'"' | b'\'')).count();
    text.matches("xmlns").count() <= NAMESPACES_MAX && text.split('<').all(|tag| quotes(tag) <= 2 * ATTRIBUTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(count: usize, attribute: impl Fn(usize) -> String) -> String {
        format!("<a {}/>", (0..count).map(attribute).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_would_take_long_is_not_parsed() {
        let plain = |nth| format!("a{nth}='>'");
        assert!(parsed(&with(ATTRIBUTES_MAX, plain), 10).is_some());
        assert!(parsed(&with(ATTRIBUTES_MAX + 1, plain), 10).is_none());
        let declared = |nth| format!("<a xmlns:n{nth}=\"u\">");
        let nested = |deep: usize| (0..deep).map(declared).collect::<String>() + &"</a>".repeat(deep);
        assert!(parsed(&nested(NAMESPACES_MAX), 2000).is_some());
        assert!(parsed(&nested(NAMESPACES_MAX + 1), 2000).is_none());
        assert!(parsed("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", 10).is_none());
        assert!(parsed("<a><b/><b/></a>", 2).is_none());
    }
}
