//! The file itself: its place, its lock, its tables and its format version. Owns what can be wrong when
//! it is opened and how one commit is written; when to write is the writer's business.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, TableDefinition,
    TableError,
};

use crate::names::SessionId;
use crate::store::map::Map;
use crate::store::roster::Book;
use crate::store::roster::memory::Memory;
use crate::store::saved;

/// The file that holds everything.
pub(super) const FILE: &str = "moorline.redb";
const LOCK: &str = "moorline.lock";
const UNFINISHED: &str = "moorline.redb.new";

/// The format that this version writes, and the newest that it reads.
const FORMAT: u64 = 1;

/// Pages that redb keeps. The maps answer all reads, so only the path to the pages that are written matters.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SESSIONS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("sessions");
const SECRETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secrets");
/// Not there in a file that an earlier version made, until something is ordered; passed over by one.
const ORDERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("orders");
const FORMAT_KEY: &str = "format";
const RING_KEY: &str = "ring";
const ORDERS_KEY: &str = "all";

/// Why the store on disk could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path names nothing, or something that is not a directory.
    #[error("{} is not a directory; make it, or name another", path.display())]
    NotADirectory {
        /// The path that was given.
        path: PathBuf,
    },
    /// This process may not read and write there.
    #[error("no permission to read and write {}; give it to the user that runs moorline", path.display())]
    NoPermission {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("{} is in use by another process; each instance needs a directory of its own, or a shared redis store", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file cannot be read as what it should be.
    #[error("{} is damaged; put a backup in its place, or move it away to start without sessions", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A later version wrote the file.
    #[error(
        "{} has format {found}, this version knows up to {known}; run the version that wrote it, or a newer one",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest format that this version reads.
        known: u64,
    },
    /// The system failed underneath.
    #[error("cannot open {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Where a file can be opened, and opened again after the disk has failed.
pub(super) trait Home: Send + fmt::Debug {
    /// Opens the file, or makes it.
    fn open(&self) -> Result<Store, OpenError>;
}

/// A directory that this process alone holds, as long as this value lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// What one commit writes down beside sessions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside {
    pub ring: bool,
    pub orders: bool,
}

impl Beside {
    pub const ALL: Self = Self { ring: true, orders: true };

    pub const fn is_any(self) -> bool {
        self.ring || self.orders
    }

    pub const fn add(&mut self, more: Self) {
        self.ring |= more.ring;
        self.orders |= more.orders;
    }
}

/// An open file.
pub(super) struct Store {
    database: Database,
    path: PathBuf,
    /// Whether the file was made just now, so that nothing is in it.
    pub is_new: bool,
}

impl Directory {
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        if !path.is_dir() {
            return Err(OpenError::NotADirectory { path: path.to_owned() });
        }
        let lock_path = path.join(LOCK);
        let lock = private(OpenOptions::new().create(true)).open(&lock_path).map_err(|e| from_io(&lock_path, e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(from_io(&lock_path, source)),
        }
    }
}

impl Home for Directory {
    fn open(&self) -> Result<Store, OpenError> {
        let path = self.path.join(FILE);
        match private(&mut OpenOptions::new()).open(&path) {
            Ok(file) => Store::open(file_backend(&path, file)?, &path),
            Err(error) if error.kind() == ErrorKind::NotFound => self.make(&path),
            Err(error) => Err(from_io(&path, error)),
        }
    }
}

impl Directory {
    // A file gets its name only when it is complete: a kill in between leaves nothing that looks damaged.
    fn make(&self, path: &Path) -> Result<Store, OpenError> {
        let unfinished = self.path.join(UNFINISHED);
        let file = private(OpenOptions::new().create(true).truncate(true))
            .open(&unfinished)
            .map_err(|error| from_io(&unfinished, error))?;
        let store = Store::open(file_backend(&unfinished, file)?, path)?;
        std::fs::rename(&unfinished, path).map_err(|error| from_io(path, error))?;
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| from_io(&self.path, error))?;
        Ok(store)
    }
}

impl Store {
    /// Opens what lies behind `backend`; `path` is only for telling.
    pub fn open(backend: impl StorageBackend, path: &Path) -> Result<Self, OpenError> {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(|error| from_database(path, error))?;
        let mut store = Self { database, path: path.to_owned(), is_new: false };
        match store.format().map_err(|error| from_redb(path, error))? {
            None => {
                store.is_new = true;
                store.prepare().map_err(|error| from_redb(path, error))?;
            }
            Some(found) if found > FORMAT => {
                return Err(OpenError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
            }
            Some(_) => {}
        }
        Ok(store)
    }

    /// Reads everything into an empty map, and the orders.
    pub fn load(&self, map: &mut Map) -> Result<Book, OpenError> {
        let loaded = self.load_rows(map).and_then(|()| self.load_orders());
        loaded.map_err(|error| match error {
            LoadError::Database(error) => from_redb(&self.path, error),
            LoadError::Row(source) => OpenError::Damaged { path: self.path.clone(), source: source.into() },
        })
    }

    /// Writes down, in one commit, what stands under these ids now, and what else has changed.
    pub fn write(&self, held: &Held, ids: &[SessionId], beside: Beside) -> Result<(), WriteError> {
        let map = &held.map;
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        {
            let mut sessions = transaction.open_table(SESSIONS).map_err(redb::Error::from)?;
            for id in ids {
                match map.slot(*id) {
                    Some(slot) => sessions.insert(id.0, saved::encode_slot(&slot)?.as_slice()),
                    None => sessions.remove(id.0),
                }
                .map_err(redb::Error::from)?;
            }
        }
        if beside.orders {
            let mut table = transaction.open_table(ORDERS).map_err(redb::Error::from)?;
            let orders = saved::encode_orders(&held.roster.book())?;
            table.insert(ORDERS_KEY, orders.as_slice()).map_err(redb::Error::from)?;
        }
        if beside.ring {
            let mut secrets = transaction.open_table(SECRETS).map_err(redb::Error::from)?;
            let ring = saved::encode_ring(&map.ring())?;
            secrets.insert(RING_KEY, ring.as_slice()).map_err(redb::Error::from)?;
        }
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    fn format(&self) -> Result<Option<u64>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let meta = match transaction.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other?,
        };
        Ok(meta.get(FORMAT_KEY)?.map(|format| format.value()))
    }

    fn prepare(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(SESSIONS)?;
        transaction.open_table(SECRETS)?;
        transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
        transaction.commit()?;
        Ok(())
    }

    fn load_orders(&self) -> Result<Book, LoadError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = match transaction.open_table(ORDERS) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Book::default()),
            table => table.map_err(redb::Error::from)?,
        };
        match table.get(ORDERS_KEY).map_err(redb::Error::from)? {
            Some(orders) => Ok(saved::decode_orders(orders.value())?),
            None => Ok(Book::default()),
        }
    }

    fn load_rows(&self, map: &mut Map) -> Result<(), LoadError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let sessions = transaction.open_table(SESSIONS).map_err(redb::Error::from)?;
        for row in sessions.iter().map_err(redb::Error::from)? {
            let (id, slot) = row.map_err(redb::Error::from)?;
            map.restore(SessionId(id.value()), saved::decode_slot(slot.value())?);
        }
        let secrets = transaction.open_table(SECRETS).map_err(redb::Error::from)?;
        if let Some(ring) = secrets.get(RING_KEY).map_err(redb::Error::from)? {
            map.restore_ring(saved::decode_ring(ring.value())?);
        }
        Ok(())
    }
}

/// All that the file holds, as it stands in memory.
#[derive(Debug)]
pub(super) struct Held {
    pub map: Map,
    pub roster: Memory,
}

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("cannot write the store's file")]
    Database(#[from] redb::Error),
    #[error("cannot write an entry down")]
    Row(#[from] serde_json::Error),
}

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Database(#[from] redb::Error),
    #[error(transparent)]
    Row(#[from] serde_json::Error),
}

fn file_backend(path: &Path, file: File) -> Result<FileBackend, OpenError> {
    FileBackend::new(file).map_err(|error| from_database(path, error))
}

// The file holds sealing keys, so nobody else may read it.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.read(true).write(true)
}

fn from_io(path: &Path, source: io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => OpenError::NoPermission { path, source },
        _ => OpenError::Io { path, source },
    }
}

fn from_database(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != ErrorKind::InvalidData => {
            from_io(path, source)
        }
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned() },
        other => OpenError::Damaged { path: path.to_owned(), source: other.into() },
    }
}

fn from_redb(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) if source.kind() != ErrorKind::InvalidData => from_io(path, source),
        other => OpenError::Damaged { path: path.to_owned(), source: other.into() },
    }
}
