//! Files that a person names, read whole: never more of them than a bound, and nothing that might not end.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The bytes of a file. What is no file, such as a device, or a FIFO to which nobody may ever write, is not opened; a pipe that a shell
/// made (`<(..)`) is read. The errors continue "it can not be read: ..".
pub fn read_file(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let about = std::fs::metadata(path)?;
    let is_own_pipe =
        ["/dev/fd/", "/proc/self/fd/", "/dev/stdin"].iter().any(|start| path.starts_with(start));
    let is_readable = about.is_file() || (is_own_pipe && !about.is_dir());
    if !is_readable {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    if about.len() > max_bytes {
        let why = format!("it has {}, and at most {} are read", size(about.len()), size(max_bytes));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    read_all(File::open(path)?, max_bytes)
}

/// The text of a file; otherwise like [`read_file`].
pub fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    text(read_file(path, max_bytes)?)
}

/// The text of standard input, up to its end.
pub fn read_stdin(max_bytes: u64) -> io::Result<String> {
    text(read_all(io::stdin().lock(), max_bytes)?)
}

fn read_all(from: impl Read, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let why = format!("it has more than {}, which is the most that is read", size(max_bytes));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8: byte {at} is not"))
    })
}

/// Bytes in words.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    fn why(path: &Path, max_bytes: u64) -> String {
        read_text(path, max_bytes).unwrap_err().to_string()
    }

    #[test]
    fn no_more_than_the_bound_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "0123456789").unwrap();
        assert_eq!(read_text(&path, 10).unwrap(), "0123456789");
        assert_eq!(why(&path, 9), "it has 10 bytes, and at most 9 bytes are read");
        File::create(&path).unwrap().set_len(5 << 30).unwrap();
        assert_eq!(why(&path, 4 << 20), "it has 5120 MiB, and at most 4 MiB are read");
        fs::write(&path, b"ab\xff").unwrap();
        assert_eq!(why(&path, 9), "it is not UTF-8: byte 2 is not");
    }

    #[test]
    fn what_might_not_end_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [fifo.as_path(), Path::new("/dev/zero"), Path::new("/dev/tty"), folder.path()] {
            assert_eq!(why(path, 9), "it is not a file", "{}", path.display());
        }
    }

    #[test]
    fn an_endless_stream_is_read_up_to_the_bound() {
        let why = read_all(io::repeat(0), 1 << 20).unwrap_err().to_string();
        assert_eq!(why, "it has more than 1 MiB, which is the most that is read");
    }
}
