//! One value of a row. SQLite lets a column hold anything, whatever it was declared as, so nothing is taken for granted.

use rusqlite::types::ValueRef;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    /// Not always UTF-8.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(text.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

impl Cell {
    /// Its bytes, near enough.
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Integer(_) | Self::Real(_) => 8,
            Self::Text(bytes) | Self::Blob(bytes) => bytes.len(),
        }
    }

    /// The content as a text for people. Bytes that are not UTF-8 are replaced.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Integer(number) => number.to_string(),
            Self::Real(number) => number.to_string(),
            Self::Text(bytes) | Self::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// What it is, for an error; never what it holds, which may be the application's data.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "an integer",
            Self::Real(_) => "a real",
            Self::Text(text) if std::str::from_utf8(text).is_err() => "a text that is not UTF-8",
            Self::Text(_) => "a text",
            Self::Blob(_) => "a blob",
        }
    }
}

/// What a cell can be read as.
pub(super) trait FromCell<'r>: Sized {
    /// What is wanted, for an error.
    const WANTED: &'static str;

    /// `None` when it holds something else.
    fn from_cell(cell: &'r Cell) -> Option<Self>;
}

impl<'r> FromCell<'r> for &'r [u8] {
    const WANTED: &'static str = "a text";

    fn from_cell(cell: &'r Cell) -> Option<Self> {
        match cell {
            Cell::Text(bytes) | Cell::Blob(bytes) => Some(bytes),
            Cell::Null | Cell::Integer(_) | Cell::Real(_) => None,
        }
    }
}

impl<'r> FromCell<'r> for &'r str {
    const WANTED: &'static str = "a text";

    fn from_cell(cell: &'r Cell) -> Option<Self> {
        std::str::from_utf8(FromCell::from_cell(cell)?).ok()
    }
}

impl FromCell<'_> for String {
    const WANTED: &'static str = "a text";

    fn from_cell(cell: &Cell) -> Option<Self> {
        <&str>::from_cell(cell).map(str::to_owned)
    }
}

impl FromCell<'_> for i64 {
    const WANTED: &'static str = "an integer";

    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Integer(number) => Some(*number),
            Cell::Null | Cell::Real(_) | Cell::Text(_) | Cell::Blob(_) => None,
        }
    }
}

impl FromCell<'_> for u32 {
    const WANTED: &'static str = "a small integer";

    fn from_cell(cell: &Cell) -> Option<Self> {
        i64::from_cell(cell)?.try_into().ok()
    }
}

impl FromCell<'_> for u16 {
    const WANTED: &'static str = "a small integer";

    fn from_cell(cell: &Cell) -> Option<Self> {
        i64::from_cell(cell)?.try_into().ok()
    }
}

impl FromCell<'_> for bool {
    const WANTED: &'static str = "0 or 1";

    fn from_cell(cell: &Cell) -> Option<Self> {
        i64::from_cell(cell).map(|number| number != 0)
    }
}

impl<'r, T: FromCell<'r>> FromCell<'r> for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn from_cell(cell: &'r Cell) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}
