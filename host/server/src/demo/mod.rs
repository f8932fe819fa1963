//! `aftercommit demo`: the main job on a small shop, through real processes.
//!
//! The cast: this process tells the story and is the HTTP receiver; a second process is the shop, the application that
//! commits rows; a third is the host, `aftercommit run`. They share one SQLite file in a temporary folder. Nothing is
//! left behind.

mod receiver;
mod screen;
mod shop;
mod stage;
mod story;

pub use shop::{Scene, act};
pub use story::tell;
