//! Compiled components on disk.
//!
//! A compiled component is native code that the process will run, so the folder must be this user's alone: it is made
//! with mode 0700, and folder and file are checked before anything is loaded. The name holds the component's digest and
//! everything of the engine that decides whether the code fits.
//!
//! A file ends with an HMAC-SHA256 (RFC 2104) of its code. Its key is derived from the file's name and from a random key in the
//! folder. The engine does not check the code that it loads, so a damaged disk would end the process. The bytes that were
//! checked are the bytes that are loaded, from memory.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use wasmtime::{Engine, component::Component};

/// The key's file.
const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
/// Length of an HMAC-SHA256.
const TAG_BYTES: usize = 32;
/// How a file is laid out, part of its name: files of another layout are left alone and not taken for damaged ones.
const LAYOUT: u8 = 2;

/// A private folder of compiled components.
pub(crate) struct CompileCache {
    folder: PathBuf,
    owner: u32,
    engine: String,
}

impl CompileCache {
    /// Opens the folder, which is made if it is missing. None, told to the log, when it can not be trusted.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Option<Self> {
        match private_folder(folder).and_then(|owner| key(folder, owner).map(|_| owner)) {
            Ok(owner) => {
                let mut hasher = DefaultHasher::new();
                engine.precompile_compatibility_hash().hash(&mut hasher);
                LAYOUT.hash(&mut hasher);
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
        let mut file = private_file(&path, self.owner).inspect_err(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(file = %path.display(), %error, "a compiled plugin that can not be trusted is not used");
            }
        });
        let mut bytes = Vec::new();
        let read = file.as_mut().ok()?.read_to_end(&mut bytes);
        Some(read.map_err(wasmtime::Error::from).and_then(|_| self.verified(engine, digest_hex, &bytes)))
    }

    /// Loads code whose tag is right.
    fn verified(&self, engine: &Engine, digest_hex: &str, bytes: &[u8]) -> wasmtime::Result<Component> {
        let (code, tag) = bytes
            .split_last_chunk::<TAG_BYTES>()
            .ok_or_else(|| wasmtime::Error::msg("the file is shorter than its checksum"))?;
        hmac::verify(&self.name_key(digest_hex)?, code, tag)
            .map_err(|_| wasmtime::Error::msg("its checksum is wrong"))?;
        #[expect(
            unsafe_code,
            reason = "the tag shows that `keep` below wrote these very bytes under this name"
        )]
        unsafe {
            Component::deserialize(engine, code)
        }
    }

    /// The key for code of this name: another plugin's code is not loaded for it.
    fn name_key(&self, digest_hex: &str) -> io::Result<hmac::Key> {
        // Read each time: another process may have had to make it again.
        let key = key(&self.folder, self.owner)?;
        let derived = hmac::sign(&key, format!("{digest_hex} {}", self.engine).as_bytes());
        Ok(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
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
        let tag = hmac::sign(&self.name_key(digest_hex)?, code);
        let path = self.path(digest_hex);
        let beside = written_beside(&path, &[code, tag.as_ref()])?;
        // A file that cannot be removed here takes room and is never read.
        fs::rename(&beside, path).inspect_err(|_| drop(fs::remove_file(&beside)))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, digest_hex: &str) -> PathBuf {
        self.folder.join(format!("{digest_hex}-{}.cwasm", self.engine))
    }
}

/// Written beside, to be renamed, so that no other process ever reads half of it.
fn written_beside(path: &Path, parts: &[&[u8]]) -> io::Result<PathBuf> {
    let beside = path.with_extension(format!("{}.part", uuid::Uuid::new_v4().simple()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(&beside)))?;
    Ok(beside)
}

/// Opens a file that only this user could have written, and no link.
fn private_file(path: &Path, owner: u32) -> io::Result<fs::File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.uid() != owner || about.mode() & 0o077 != 0 {
        return Err(io::Error::other("others could have written it"));
    }
    Ok(file)
}

/// The key of a folder, which is made if there is none that can be used. Whatever was kept under another is compiled again.
fn key(folder: &Path, owner: u32) -> io::Result<hmac::Key> {
    let path = folder.join(KEY_FILE);
    let bytes = read_key(&path, owner).or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(file = %path.display(), %error, "the key of compiled plugins is made again, and so are they");
            fs::remove_file(&path)?;
        }
        make_key(&path)?;
        read_key(&path, owner)
    })?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn read_key(path: &Path, owner: u32) -> io::Result<[u8; KEY_BYTES]> {
    let mut bytes = Vec::new();
    private_file(path, owner)?.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    bytes.try_into().map_err(|_| io::Error::other("it has not the length of a key"))
}

/// Makes a key. Of several processes that make one at the same time, the first one's is everybody's.
fn make_key(path: &Path) -> io::Result<()> {
    let mut fresh = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut fresh).map_err(|_| io::Error::other("no random numbers"))?;
    let beside = written_beside(path, &[&fresh])?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    linked.or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
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
        assert!(cache.load(&engine, "aa").is_some());
    }

    /// A cache with two components, and the bytes of the first one's file.
    fn filled(folder: &Path, engine: &Engine) -> (CompileCache, Vec<u8>) {
        let cache = CompileCache::open(folder, engine).unwrap();
        let component = Component::new(engine, [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]).unwrap();
        cache.store("aa", &component);
        cache.store("bb", &component);
        let whole = fs::read(cache.path("aa")).unwrap();
        (cache, whole)
    }

    #[test]
    fn damaged_code_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let (cache, whole) = filled(&folder.path().join("c"), &engine);
        let path = cache.path("aa");
        let refused = |bytes: &[u8], what: &str| {
            fs::write(&path, bytes).unwrap();
            assert!(cache.load(&engine, "aa").is_none(), "{what}");
        };
        for length in [0, 1, TAG_BYTES - 1, TAG_BYTES, whole.len() / 2, whole.len() - 1] {
            refused(&whole[..length], &format!("the first {length} bytes"));
        }
        for place in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            refused(&damaged, &format!("byte {place}"));
        }
        refused(&[&whole[..], b"x"].concat(), "one byte more");
        refused(&fs::read(cache.path("bb")).unwrap(), "another plugin's");
        refused(&whole[..whole.len() - TAG_BYTES], "without a tag");
        fs::write(&path, &whole).unwrap();
        assert!(cache.load(&engine, "aa").is_some(), "it is whole again");
    }

    #[test]
    fn without_its_key_nothing_is_loaded_and_all_is_kept_anew() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let folder = folder.path().join("c");
        let key = folder.join(KEY_FILE);
        let (_, whole) = filled(&folder, &engine);
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
        assert!(CompileCache::open(&folder, &engine).unwrap().load(&engine, "aa").is_some());
        let changes: [&dyn Fn(); 5] = [
            &|| fs::remove_file(&key).unwrap(),
            &|| fs::write(&key, [7; KEY_BYTES]).unwrap(),
            &|| fs::write(&key, b"short").unwrap(),
            &|| fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap(),
            &|| {
                fs::remove_file(&key).unwrap();
                std::os::unix::fs::symlink("/dev/zero", &key).unwrap();
            },
        ];
        for change in changes {
            change();
            let cache = CompileCache::open(&folder, &engine).unwrap();
            assert!(cache.load(&engine, "aa").is_none());
            let (again, other) = filled(&folder, &engine);
            assert_ne!(other, whole);
            assert!(again.load(&engine, "aa").is_some());
        }
    }
}
