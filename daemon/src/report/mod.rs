//! Self-contained pages for people: words in two languages from data files, tables, plots drawn as SVG, no script.

pub mod html;
pub mod plot;
pub mod words;
