//! Lines for the host's log.
//!
//! ```no_run
//! use aftercommit_plugin::log;
//! log::info!("order seen");
//! log::warn!(format!("{} items", 3), order = 7, customer = "Anna");
//! ```

pub use crate::bindings::aftercommit::action::log::Level;

/// Writes one structured line. `fields` are names in `snake_case` and their values.
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::aftercommit::action::log::write(level, message, fields);
    // There is no host in a unit test.
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?} {message} {fields:?}");
}

/// A panic becomes a line in the host's log before the instance ends; the trap itself says only `unreachable`.
pub(crate) fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|panic| write(Level::Error, &panic.to_string(), &[])));
        });
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $message:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::log::write(
            $crate::log::Level::$level,
            ::core::convert::AsRef::<str>::as_ref(&$message),
            &[$((::std::string::String::from(stringify!($name)), ::std::string::ToString::to_string(&$value))),*],
        )
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($line:tt)*) => { $crate::__log!(Debug, $($line)*) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($line:tt)*) => { $crate::__log!(Info, $($line)*) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($line:tt)*) => { $crate::__log!(Warn, $($line)*) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($line:tt)*) => { $crate::__log!(Error, $($line)*) };
}

#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};
