//! Any text is a file of observers in each format, or gets a report that can be shown.

#![no_main]

use aftercommit::{document::Format, observer_file::ObserverFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        if let Err(report) = ObserverFile::parse("fuzz", text, format) {
            assert!(!report.render(false).is_empty());
        }
    }
});
