//! What the tests share: test cameras and clocks.

pub mod broker;
pub mod browser;
pub mod certificates;
pub mod chromium;
pub mod clock;
pub mod delivering;
pub mod demo;
pub mod feed;
pub mod guide;
pub mod hook;
pub mod planted;
pub mod rtsp;
pub mod rtsp_stub;
pub mod shim;
pub mod site;
pub mod stills;
pub mod store;
pub mod tree;
pub mod watching;
