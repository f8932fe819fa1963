//! Uses WASI 0.2 as programs in languages with a runtime of their own do: writes to its standard streams, looks for
//! files, arguments and an environment, and requests a URL by wasi:http; or uses it to hurt. What it found is in the
//! details.

mod config;
mod hostile;
mod request;
mod system;

use aftercommit_plugin::prelude::*;
use serde_json::json;
use wasip2::cli::{exit::exit, stderr::get_stderr, stdout::get_stdout};

use config::{Behaviour, Config};

struct Wasi;

impl Plugin for Wasi {
    const NAME: &'static str = "wasi";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Uses WASI as an ordinary program does";
    const NEEDS: &'static [Need] = &[Need::Http];
    type Config = Config;

    fn run(_event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        if let Some(text) = &config.print {
            get_stdout().blocking_write_and_flush(text.as_bytes()).map_err(stream_failed)?;
            get_stderr().blocking_write_and_flush(text.as_bytes()).map_err(stream_failed)?;
        }
        let details = match config.behaviour {
            Behaviour::Request => {
                let mut found = system::look();
                found["http"] = request::one(&config);
                found
            }
            Behaviour::Requests => hostile::requests(&config),
            Behaviour::Unread => hostile::unread(&config),
            Behaviour::Spin => hostile::spin(),
            Behaviour::KeepHeaders => hostile::keep_headers(config.count),
            Behaviour::GrowHeaders => hostile::grow_headers(config.count),
            Behaviour::KeepAlarms => hostile::keep_alarms(config.count),
            Behaviour::Poll => hostile::poll_many(config.count),
            Behaviour::Sleep => hostile::sleep(),
            Behaviour::Random => hostile::random(config.count),
            Behaviour::Print => hostile::print(config.count),
            Behaviour::Exit => {
                exit(Err(()));
                json!({"exited": false})
            }
            Behaviour::Open => {
                let port = config.authority.rsplit(':').next().and_then(|port| port.parse().ok());
                system::open(port.unwrap_or(1))
            }
        };
        Ok(Outcome::new("done").with_details(details.to_string()))
    }
}

aftercommit_plugin::export!(Wasi);

fn stream_failed(error: impl std::fmt::Debug) -> Failure {
    Failure::permanent("stream", format!("{error:?}"))
}
