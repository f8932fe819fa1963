//! The compiled program, as people and scripts meet it: what it prints, and how it exits.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod capture_arguments;
mod capture_options;
mod captures;
mod conditions;
mod dead_letters;
mod destinations;
mod files;
mod hidden_passwords;
mod hostile_rows;
mod hosting;
mod lists;
mod pages;
mod place;
mod records;
mod shortest;
mod unreachable;
mod wrong_components;
mod wrong_observers;
