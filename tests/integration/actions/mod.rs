//! The built-in actions as their example files show them, by a real host, towards what people really run.

mod cache;
mod email;
