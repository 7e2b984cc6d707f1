//! The daemon's parts, as a library so that tests can hold them; the program itself is `main.rs`.

pub mod books;
pub mod clock;
pub mod cmd;
pub mod config;
pub mod dpia;
pub mod evaluate;
pub mod evidence;
pub mod eyes;
pub mod interrupt;
pub mod keys;
pub mod local_time;
pub mod measure;
pub mod networks;
pub mod notice;
pub mod notify;
pub mod page;
pub mod roles;
pub mod run;
pub mod second;
pub mod sheet;
pub mod sink;
pub mod site;
pub mod status;
pub mod survey;
pub mod telemetry;
pub mod web;
