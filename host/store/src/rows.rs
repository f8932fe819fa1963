//! Lists that are read row by row: rows may be large, and a list of them need not fit into memory.

use tokio::sync::mpsc;

use crate::Result;

/// Where the rows of a list go. One row waits here at most; a reader that needs time holds up the list.
pub type Rows<T> = mpsc::Sender<T>;

/// A list whose rows are read as they come. A reader that goes away ends the list, without an error.
#[must_use]
pub fn rows<T>() -> (Rows<T>, mpsc::Receiver<T>) {
    mpsc::channel(1)
}

/// All rows of a short list.
pub(crate) async fn all<T>(
    list: impl Future<Output = Result<()>> + Send,
    mut rows: mpsc::Receiver<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let read = async {
        while let Some(row) = rows.recv().await {
            all.push(row);
        }
    };
    let (listed, ()) = tokio::join!(list, read);
    listed.map(|()| all)
}
