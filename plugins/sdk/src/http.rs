//! HTTP requests, and what their results mean for a delivery.
//!
//! ```no_run
//! use aftercommit_plugin::{Failure, Outcome, http};
//!
//! fn announce(body: String) -> Result<Outcome, Failure> {
//!     let response = http::Request::post("https://example.com/hook").json(body).send()?.success()?;
//!     Ok(Outcome::new("announced").with_status(response.status))
//! }
//! ```

mod base;
mod classify;
mod display;
mod request;
mod response;

pub use base::base_url_problem;
pub use classify::{status_failure, status_meaning};
pub use display::origin_and_path;
pub use request::Request;
pub use response::Response;

pub use crate::bindings::aftercommit::action::{
    http::{Auth, HttpError},
    model::Content,
};
