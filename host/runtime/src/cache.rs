//! Compiled components on disk.
//!
//! A compiled component is native code that the process will run, so the folder must be this user's alone: it is made
//! with mode 0700, and folder and file are checked before anything is loaded. The name holds the component's digest and
//! everything of the engine that decides whether the code fits.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use wasmtime::{Engine, component::Component};

/// A private folder of compiled components.
pub(crate) struct CompileCache {
    folder: PathBuf,
    owner: u32,
    engine: String,
}

impl CompileCache {
    /// Opens the folder, which is made if it is missing. None, told to the log, when it can not be trusted.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Option<Self> {
        match private_folder(folder) {
            Ok(owner) => {
                let mut hasher = DefaultHasher::new();
                engine.precompile_compatibility_hash().hash(&mut hasher);
                let engine = format!("{:016x}", hasher.finish());
                Some(Self { folder: folder.to_owned(), owner, engine })
            }
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(),
                    %error,
                    "compiled plugins are not cached: the folder must be this user's alone (mode 0700)"
                );
                None
            }
        }
    }

    /// The compiled form of the component with this digest, if it is there, this user's and whole.
    pub(crate) fn load(&self, engine: &Engine, digest_hex: &str) -> Option<Component> {
        let loaded = self.read(engine, digest_hex)?.inspect_err(|error| {
            let file = self.path(digest_hex);
            tracing::warn!(file = %file.display(), error = %format!("{error:#}"), "a compiled plugin does not load; it is made again");
        });
        loaded.ok()
    }

    /// The same, or why it does not load.
    pub(crate) fn read(&self, engine: &Engine, digest_hex: &str) -> Option<wasmtime::Result<Component>> {
        let path = self.path(digest_hex);
        let about = fs::symlink_metadata(&path).ok()?;
        if !about.is_file() || about.uid() != self.owner || about.mode() & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "a compiled plugin that others could have written is not used");
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "the file was written by `store` below and nobody else can write to it"
        )]
        let component = unsafe { Component::deserialize_file(engine, &path) };
        Some(component)
    }

    /// Keeps a compiled component. Failing only costs time at the next start.
    pub(crate) fn store(&self, digest_hex: &str, component: &Component) {
        let kept =
            component.serialize().map_err(io::Error::other).and_then(|code| self.keep(digest_hex, &code));
        if let Err(error) = kept {
            let file = self.path(digest_hex);
            tracing::warn!(file = %file.display(), %error, "a compiled plugin could not be kept");
        }
    }

    /// Keeps what was compiled for this engine.
    pub(crate) fn keep(&self, digest_hex: &str, code: &[u8]) -> io::Result<()> {
        write_whole(&self.path(digest_hex), code)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, digest_hex: &str) -> PathBuf {
        self.folder.join(format!("{digest_hex}-{}.cwasm", self.engine))
    }
}

/// Written beside and renamed, so that no other process ever reads half of it.
fn write_whole(path: &Path, code: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.part", uuid::Uuid::new_v4().simple()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written =
        file.write_all(code).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // What is left over is only garbage.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Makes sure of a folder that only this user can enter; returns the user.
fn private_folder(folder: &Path) -> io::Result<u32> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let about = fs::symlink_metadata(folder)?;
    if !about.is_dir() {
        return Err(io::Error::other("it is a link or a file"));
    }
    if about.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("its mode is {:o}", about.mode() & 0o777)));
    }
    // Who we are is who owns what we make.
    let probe = folder.join(format!(".{}", uuid::Uuid::new_v4().simple()));
    let made =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?.metadata()?.uid();
    fs::remove_file(&probe)?;
    if made == about.uid() { Ok(made) } else { Err(io::Error::other("it belongs to another user")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(private_folder(&open).is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(private_folder(&link).is_err());
        assert!(private_folder(&folder.path().join("new/inner")).is_ok());
    }

    #[test]
    fn what_was_stored_loads_and_what_others_wrote_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = CompileCache::open(&folder.path().join("c"), &engine).unwrap();
        let component = Component::new(&engine, [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]).unwrap();
        assert!(cache.load(&engine, "aa").is_none());
        cache.store("aa", &component);
        assert!(cache.load(&engine, "aa").is_some());
        fs::set_permissions(cache.path("aa"), fs::Permissions::from_mode(0o620)).unwrap();
        assert!(cache.load(&engine, "aa").is_none());
        fs::set_permissions(cache.path("aa"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(cache.path("aa"), b"torn").unwrap();
        assert!(cache.load(&engine, "aa").is_none());
    }
}
