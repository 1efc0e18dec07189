//! Components and WASI 0.2. wasmtime has the typed side of components (results, lists, handles) in Rust alone, so the
//! types and the handle table are here; what a call means is asked of the C++ side, which keeps files, clocks and limits
//! in one place for both previews. `include/mesh_component.h` is the other side.
//!
//! What the guest passes is hostile: handles are checked by wasmtime, everything else by the host's functions. A list of
//! more than `MAX_LIST_BYTES` and more than `MAX_HANDLES` handles end the run.
//! Spec: <https://github.com/WebAssembly/WASI/tree/main/wasip2>

use std::ffi::{c_char, c_void, CString};
use std::ptr::null_mut;
use std::slice;

use wasmparser::{Instance as CoreInstance, Parser, Payload, Validator, WasmFeatures};
use wasmtime_c_api::wasmtime; // The derive macros below name it so.
use wasmtime_c_api::wasmtime::component::types::{ComponentItem, Type};
use wasmtime_c_api::wasmtime::component::{
    flags, Component, ComponentExportIndex, ComponentNamedList, ComponentType, Instance, InstancePre, Lift, Linker,
    LinkerInstance, Lower, Resource, ResourceAny, ResourceTable, ResourceType, Val,
};
use wasmtime_c_api::wasmtime::{
    bail, format_err, AsContextMut, Engine, Error, Precompiled, Result, StoreContextMut, Trap,
};
use wasmtime_c_api::{
    wasm_engine_t, wasmtime_context_get_data, wasmtime_error_t, wasmtime_store_t, WasmtimeStore, WasmtimeStoreData,
};

const CALL_COST: u64 = 100; // Every host call, as in preview 1.
const ELEMENT_COST: u64 = 10; // Every element of a list that the guest passes.
const ENTRY_COST: u64 = 20; // Every entry of a folder that is listed.
const MAX_LIST_BYTES: usize = 4 << 20;
const MAX_HANDLES: usize = 16_384;
const MAX_READ: u64 = 1 << 20;
const WRITE_PERMIT: u64 = 1 << 20;
const MAX_WRITE_AND_FLUSH: usize = 4_096; // The specification's.
const MAX_CORE_INSTANCES: u32 = 64;
const MAX_CORE_MODULES: u32 = 64;
const MAX_TABLES: u32 = 4;
const MAX_MEMORIES: u32 = 1;
const MAX_TABLE_ELEMENTS: u64 = 1_000_000;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    data: *const u8,
    size: usize,
}

impl Slice {
    const EMPTY: Slice = Slice { data: std::ptr::null(), size: 0 };

    fn of(bytes: &[u8]) -> Slice {
        Slice { data: bytes.as_ptr(), size: bytes.len() }
    }

    /// # Safety
    /// `data` points to `size` bytes that outlive the result.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.size == 0 {
            &[]
        } else {
            // SAFETY: the caller's promise.
            unsafe { slice::from_raw_parts(self.data, self.size) }
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
pub struct Place {
    node: *const c_void,
    in_program: bool,
}
// SAFETY: a name for something that lives as long as the run; only the host's functions look behind it.
unsafe impl Send for Place {}
unsafe impl Sync for Place {}

const NOWHERE: Place = Place { node: std::ptr::null(), in_program: false };

#[repr(C)]
#[derive(Default)]
pub struct Stat {
    is_folder: bool,
    size: u64,
    device: u64,
    inode: u64,
}

type OnEntry = extern "C" fn(to: *mut c_void, name: Slice, place: *const Place);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Host {
    charge: extern "C" fn(*mut c_void, u64) -> bool,
    now: extern "C" fn(*mut c_void) -> u64,
    sleep: extern "C" fn(*mut c_void, u64),
    random: extern "C" fn(*mut c_void, *mut u8, usize) -> bool,
    read_input: extern "C" fn(*mut c_void, u64, u64, *mut Slice) -> bool,
    write: extern "C" fn(*mut c_void, bool, Slice) -> bool,
    exit: extern "C" fn(*mut c_void, u32),
    open: extern "C" fn(*mut c_void, *const Place, Slice, *mut Place) -> u32,
    stat: extern "C" fn(*mut c_void, *const Place, *mut Stat),
    read_file: extern "C" fn(*mut c_void, *const Place, u64, u64, *mut Slice) -> bool,
    list: extern "C" fn(*mut c_void, *const Place, *mut c_void, OnEntry) -> bool,
    text_count: extern "C" fn(*mut c_void, bool) -> usize,
    text: extern "C" fn(*mut c_void, bool, usize) -> Slice,
}

enum Input {
    Standard,
    File(Place, u64),
}

enum Output {
    Standard,
    Log,
}

/// Ready once the clock says so; 0 is always ready.
struct Pollable(u64);
struct IoError;
struct Descriptor(Place);
struct Listing(Vec<(String, bool)>, usize);
struct Terminal;
struct Network;
struct TcpSocket;
struct UdpSocket;
struct IncomingDatagrams;
struct OutgoingDatagrams;
struct AddressStream;
struct TerminalOutput;

/// The handles of one run. Its address is the data of the run's store.
pub struct Wasi {
    host: Host,
    run: *mut c_void,
    table: ResourceTable,
    open: u32,
    open_files: u32,
    epoch_seconds: u64,
    input_position: u64,
    instance: Option<Instance>,
}

fn ended() -> Error {
    format_err!("the host ended the run")
}

impl Wasi {
    fn charge(&self, units: u64) -> Result<()> {
        if (self.host.charge)(self.run, units) {
            Ok(())
        } else {
            Err(ended())
        }
    }

    fn now(&self) -> u64 {
        (self.host.now)(self.run)
    }

    fn write(&self, to_log: bool, bytes: &[u8]) -> Result<()> {
        if (self.host.write)(self.run, to_log, Slice::of(bytes)) {
            Ok(())
        } else {
            Err(ended())
        }
    }

    fn random(&self, size: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        if (self.host.random)(self.run, bytes.as_mut_ptr(), size) {
            Ok(bytes)
        } else {
            Err(ended())
        }
    }

    fn stat(&self, place: &Place) -> Stat {
        let mut stat = Stat::default();
        (self.host.stat)(self.run, place, &mut stat);
        stat
    }

    fn read_file(&self, place: &Place, position: u64, size: u64) -> Result<Vec<u8>> {
        let mut bytes = Slice::EMPTY;
        if !(self.host.read_file)(self.run, place, position, size.min(MAX_READ), &mut bytes) {
            return Err(ended());
        }
        // SAFETY: the host's promise.
        Ok(unsafe { bytes.bytes() }.to_vec())
    }

    /// Up to `size` bytes of a stream; None at its end.
    fn read(&mut self, stream: &Resource<Input>, size: u64) -> Result<Option<Vec<u8>>> {
        let bytes = match self.table.get(stream)? {
            Input::Standard => {
                let mut bytes = Slice::EMPTY;
                if !(self.host.read_input)(self.run, self.input_position, size.min(MAX_READ), &mut bytes) {
                    return Err(ended());
                }
                self.input_position += bytes.size as u64;
                // SAFETY: the host's promise.
                unsafe { bytes.bytes() }.to_vec()
            }
            Input::File(place, position) => {
                let (place, position) = (*place, *position);
                let bytes = self.read_file(&place, position, size)?;
                *self.table.get_mut(stream)? = Input::File(place, position.saturating_add(bytes.len() as u64));
                bytes
            }
        };
        Ok(if bytes.is_empty() && size > 0 { None } else { Some(bytes) })
    }

    fn to_log(&self, stream: &Resource<Output>) -> Result<bool> {
        Ok(matches!(self.table.get(stream)?, Output::Log))
    }

    fn place(&self, descriptor: &Resource<Descriptor>) -> Result<Place> {
        Ok(self.table.get(descriptor)?.0)
    }

    fn find(&self, folder: &Resource<Descriptor>, path: &str) -> Result<Result<Place, Code>> {
        let folder = self.place(folder)?;
        let mut place = NOWHERE;
        let errno = (self.host.open)(self.run, &folder, Slice::of(path.as_bytes()), &mut place);
        self.charge(0)?; // Ends the run where the search used the fuel up.
        Ok(match errno {
            0 => Ok(place),
            8 => Err(Code::BadDescriptor),
            20 => Err(Code::Exist),
            31 => Err(Code::IsDirectory),
            37 => Err(Code::NameTooLong),
            44 => Err(Code::NoEntry),
            54 => Err(Code::NotDirectory),
            69 => Err(Code::ReadOnly),
            76 => Err(Code::NotPermitted),
            _ => Err(Code::Invalid),
        })
    }

    fn texts(&self, environment: bool) -> Result<Vec<String>> {
        let count = (self.host.text_count)(self.run, environment);
        let mut texts = Vec::with_capacity(count);
        for i in 0..count {
            // SAFETY: the host's promise.
            let bytes = unsafe { (self.host.text)(self.run, environment, i).bytes() };
            self.charge(ELEMENT_COST + bytes.len() as u64 / 4)?;
            texts.push(String::from_utf8_lossy(bytes).into_owned());
        }
        Ok(texts)
    }

    fn environment(&self) -> Result<Vec<(String, String)>> {
        let pair = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        Ok(self.texts(true)?.into_iter().map(pair).collect())
    }
}

// ---- the types of WASI 0.2, in its order

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code)] // The order is the interface's.
enum Code {
    #[component(name = "access")]
    Access,
    #[component(name = "would-block")]
    WouldBlock,
    #[component(name = "already")]
    Already,
    #[component(name = "bad-descriptor")]
    BadDescriptor,
    #[component(name = "busy")]
    Busy,
    #[component(name = "deadlock")]
    Deadlock,
    #[component(name = "quota")]
    Quota,
    #[component(name = "exist")]
    Exist,
    #[component(name = "file-too-large")]
    FileTooLarge,
    #[component(name = "illegal-byte-sequence")]
    IllegalByteSequence,
    #[component(name = "in-progress")]
    InProgress,
    #[component(name = "interrupted")]
    Interrupted,
    #[component(name = "invalid")]
    Invalid,
    #[component(name = "io")]
    Io,
    #[component(name = "is-directory")]
    IsDirectory,
    #[component(name = "loop")]
    Loop,
    #[component(name = "too-many-links")]
    TooManyLinks,
    #[component(name = "message-size")]
    MessageSize,
    #[component(name = "name-too-long")]
    NameTooLong,
    #[component(name = "no-device")]
    NoDevice,
    #[component(name = "no-entry")]
    NoEntry,
    #[component(name = "no-lock")]
    NoLock,
    #[component(name = "insufficient-memory")]
    InsufficientMemory,
    #[component(name = "insufficient-space")]
    InsufficientSpace,
    #[component(name = "not-directory")]
    NotDirectory,
    #[component(name = "not-empty")]
    NotEmpty,
    #[component(name = "not-recoverable")]
    NotRecoverable,
    #[component(name = "unsupported")]
    Unsupported,
    #[component(name = "no-tty")]
    NoTty,
    #[component(name = "no-such-device")]
    NoSuchDevice,
    #[component(name = "overflow")]
    Overflow,
    #[component(name = "not-permitted")]
    NotPermitted,
    #[component(name = "pipe")]
    Pipe,
    #[component(name = "read-only")]
    ReadOnly,
    #[component(name = "invalid-seek")]
    InvalidSeek,
    #[component(name = "text-file-busy")]
    TextFileBusy,
    #[component(name = "cross-device")]
    CrossDevice,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code)]
enum FileType {
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "block-device")]
    BlockDevice,
    #[component(name = "character-device")]
    CharacterDevice,
    #[component(name = "directory")]
    Directory,
    #[component(name = "fifo")]
    Fifo,
    #[component(name = "symbolic-link")]
    SymbolicLink,
    #[component(name = "regular-file")]
    RegularFile,
    #[component(name = "socket")]
    Socket,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code)]
enum Advice {
    #[component(name = "normal")]
    Normal,
    #[component(name = "sequential")]
    Sequential,
    #[component(name = "random")]
    Random,
    #[component(name = "will-need")]
    WillNeed,
    #[component(name = "dont-need")]
    DontNeed,
    #[component(name = "no-reuse")]
    NoReuse,
}

flags! {
    DescriptorFlags {
        #[component(name = "read")]
        const READ;
        #[component(name = "write")]
        const WRITE;
        #[component(name = "file-integrity-sync")]
        const FILE_INTEGRITY_SYNC;
        #[component(name = "data-integrity-sync")]
        const DATA_INTEGRITY_SYNC;
        #[component(name = "requested-write-sync")]
        const REQUESTED_WRITE_SYNC;
        #[component(name = "mutate-directory")]
        const MUTATE_DIRECTORY;
    }
}

flags! {
    PathFlags {
        #[component(name = "symlink-follow")]
        const SYMLINK_FOLLOW;
    }
}

flags! {
    OpenFlags {
        #[component(name = "create")]
        const CREATE;
        #[component(name = "directory")]
        const DIRECTORY;
        #[component(name = "exclusive")]
        const EXCLUSIVE;
        #[component(name = "truncate")]
        const TRUNCATE;
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct DateTime {
    #[component(name = "seconds")]
    seconds: u64,
    #[component(name = "nanoseconds")]
    nanoseconds: u32,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum NewTimestamp {
    #[component(name = "no-change")]
    NoChange,
    #[component(name = "now")]
    Now,
    #[component(name = "timestamp")]
    Timestamp(DateTime),
}

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct DescriptorStat {
    #[component(name = "type")]
    kind: FileType,
    #[component(name = "link-count")]
    link_count: u64,
    #[component(name = "size")]
    size: u64,
    #[component(name = "data-access-timestamp")]
    accessed: Option<DateTime>,
    #[component(name = "data-modification-timestamp")]
    modified: Option<DateTime>,
    #[component(name = "status-change-timestamp")]
    changed: Option<DateTime>,
}

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct DirectoryEntry {
    #[component(name = "type")]
    kind: FileType,
    #[component(name = "name")]
    name: String,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct MetadataHash {
    #[component(name = "lower")]
    lower: u64,
    #[component(name = "upper")]
    upper: u64,
}

#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code)] // Nothing fails here but by the end of the run.
    Failed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

impl Wasi {
    fn time(&self) -> DateTime {
        DateTime { seconds: self.epoch_seconds, nanoseconds: 0 }
    }

    fn descriptor_stat(&self, place: &Place) -> DescriptorStat {
        let stat = self.stat(place);
        let time = Some(self.time());
        DescriptorStat {
            kind: kind_of(stat.is_folder),
            link_count: 1,
            size: stat.size,
            accessed: time,
            modified: time,
            changed: time,
        }
    }

    fn metadata_hash(&self, place: &Place) -> MetadataHash {
        let stat = self.stat(place);
        MetadataHash { lower: stat.inode, upper: stat.device }
    }

    fn open_at(
        &mut self,
        folder: &Resource<Descriptor>,
        path: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Result<Resource<Descriptor>, Code>> {
        let place = match self.find(folder, path)? {
            Ok(place) => place,
            Err(Code::NoEntry) if open.contains(OpenFlags::CREATE) => return Ok(Err(Code::ReadOnly)),
            Err(code) => return Ok(Err(code)),
        };
        let is_folder = self.stat(&place).is_folder;
        let refused = if open.contains(OpenFlags::CREATE) && open.contains(OpenFlags::EXCLUSIVE) {
            Some(Code::Exist)
        } else if open.contains(OpenFlags::DIRECTORY) && !is_folder {
            Some(Code::NotDirectory)
        } else if open.contains(OpenFlags::TRUNCATE) {
            Some(if is_folder { Code::IsDirectory } else { Code::ReadOnly })
        } else if !is_folder && flags.contains(DescriptorFlags::WRITE) {
            Some(Code::ReadOnly)
        } else if self.open >= self.open_files {
            Some(Code::Quota)
        } else {
            None
        };
        if let Some(code) = refused {
            return Ok(Err(code));
        }
        self.open += 1;
        Ok(Ok(self.table.push(Descriptor(place))?))
    }
}

fn kind_of(is_folder: bool) -> FileType {
    if is_folder {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

// ---- the interfaces

type Data = WasmtimeStoreData;

/// Adds `name` to an interface: charges for the call, then hands the run's handles over.
fn add<P, R>(
    at: &mut LinkerInstance<'_, Data>,
    name: &str,
    call: impl Fn(&mut Wasi, P) -> Result<R> + Send + Sync + 'static,
) -> Result<()>
where
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    at.func_wrap(name, move |mut cx: StoreContextMut<'_, Data>, parameters: P| {
        let wasi = wasi_of(&mut cx);
        wasi.charge(CALL_COST)?;
        call(wasi, parameters)
    })
}

fn wasi_of<'a>(cx: &mut StoreContextMut<'_, Data>) -> &'a mut Wasi {
    // SAFETY: the data of every store that components run in is a Wasi (mesh_component.h), which outlives the store; one
    // thread runs a store, and no call of ours enters the guest while it holds this.
    unsafe { &mut *wasmtime_context_get_data((&*cx).into()).cast::<Wasi>() }
}

fn add_resource<T: Send + 'static>(at: &mut LinkerInstance<'_, Data>, name: &str) -> Result<()> {
    at.resource(name, ResourceType::host::<T>(), |mut cx, handle| {
        let wasi = wasi_of(&mut cx);
        wasi.charge(CALL_COST)?;
        let _ = wasi.table.delete(Resource::<T>::new_own(handle));
        Ok(())
    })
}

fn define_io(linker: &mut Linker<Data>) -> Result<()> {
    let error = &mut linker.instance("wasi:io/error@0.2.0")?;
    add_resource::<IoError>(error, "error")?;
    add(error, "[method]error.to-debug-string", |_, (_,): (Resource<IoError>,)| Ok(("error".to_owned(),)))?;

    let poll = &mut linker.instance("wasi:io/poll@0.2.0")?;
    add_resource::<Pollable>(poll, "pollable")?;
    add(poll, "[method]pollable.ready", |wasi, (this,): (Resource<Pollable>,)| {
        Ok((wasi.table.get(&this)?.0 <= wasi.now(),))
    })?;
    // Nothing else can happen meanwhile, so waiting is moving the clock.
    add(poll, "[method]pollable.block", |wasi, (this,): (Resource<Pollable>,)| {
        let wait = wasi.table.get(&this)?.0.saturating_sub(wasi.now());
        (wasi.host.sleep)(wasi.run, wait);
        Ok(())
    })?;
    add(poll, "poll", |wasi, (list,): (Vec<Resource<Pollable>>,)| {
        if list.is_empty() {
            bail!("poll of an empty list");
        }
        wasi.charge(list.len() as u64 * ELEMENT_COST)?;
        let mut times = Vec::with_capacity(list.len());
        for pollable in &list {
            times.push(wasi.table.get(pollable)?.0);
        }
        let first = times.iter().copied().min().unwrap_or(0);
        (wasi.host.sleep)(wasi.run, first.saturating_sub(wasi.now()));
        let now = wasi.now().max(first);
        let ready = times.iter().enumerate().filter(|(_, time)| **time <= now).map(|(i, _)| i as u32);
        Ok((ready.collect::<Vec<_>>(),))
    })?;

    let streams = &mut linker.instance("wasi:io/streams@0.2.0")?;
    add_resource::<Input>(streams, "input-stream")?;
    add_resource::<Output>(streams, "output-stream")?;
    for name in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        add(streams, name, |wasi, (this, size): (Resource<Input>, u64)| {
            Ok((wasi.read(&this, size)?.ok_or(StreamError::Closed),))
        })?;
    }
    for name in ["[method]input-stream.skip", "[method]input-stream.blocking-skip"] {
        add(streams, name, |wasi, (this, size): (Resource<Input>, u64)| {
            Ok((wasi.read(&this, size)?.map(|bytes| bytes.len() as u64).ok_or(StreamError::Closed),))
        })?;
    }
    add(streams, "[method]input-stream.subscribe", |wasi, (this,): (Resource<Input>,)| {
        wasi.table.get(&this)?;
        Ok((wasi.table.push(Pollable(0))?,))
    })?;
    add(streams, "[method]output-stream.subscribe", |wasi, (this,): (Resource<Output>,)| {
        wasi.table.get(&this)?;
        Ok((wasi.table.push(Pollable(0))?,))
    })?;
    type Written = (Result<(), StreamError>,);
    add(streams, "[method]output-stream.check-write", |wasi, (this,): (Resource<Output>,)| {
        wasi.to_log(&this)?;
        Ok((Ok::<u64, StreamError>(WRITE_PERMIT),))
    })?;
    add(streams, "[method]output-stream.write", |wasi, (this, bytes): (Resource<Output>, Vec<u8>)| {
        if bytes.len() as u64 > WRITE_PERMIT {
            bail!("a write of more than was permitted");
        }
        wasi.write(wasi.to_log(&this)?, &bytes)?;
        Ok::<Written, Error>((Ok(()),))
    })?;
    add(
        streams,
        "[method]output-stream.blocking-write-and-flush",
        |wasi, (this, bytes): (Resource<Output>, Vec<u8>)| {
            if bytes.len() > MAX_WRITE_AND_FLUSH {
                bail!("a blocking write of more than 4096 bytes");
            }
            wasi.write(wasi.to_log(&this)?, &bytes)?;
            Ok::<Written, Error>((Ok(()),))
        },
    )?;
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        add(streams, name, |wasi, (this,): (Resource<Output>,)| {
            wasi.to_log(&this)?;
            Ok::<Written, Error>((Ok(()),))
        })?;
    }
    for name in ["[method]output-stream.write-zeroes", "[method]output-stream.blocking-write-zeroes-and-flush"] {
        add(streams, name, |wasi, (this, size): (Resource<Output>, u64)| {
            if size > WRITE_PERMIT {
                bail!("a write of more than was permitted");
            }
            wasi.write(wasi.to_log(&this)?, &vec![0; size as usize])?;
            Ok::<Written, Error>((Ok(()),))
        })?;
    }
    for name in ["[method]output-stream.splice", "[method]output-stream.blocking-splice"] {
        add(streams, name, |wasi, (this, from, size): (Resource<Output>, Resource<Input>, u64)| {
            let to_log = wasi.to_log(&this)?;
            let Some(bytes) = wasi.read(&from, size.min(WRITE_PERMIT))? else {
                return Ok((Err(StreamError::Closed),));
            };
            wasi.write(to_log, &bytes)?;
            Ok((Ok(bytes.len() as u64),))
        })?;
    }
    Ok(())
}

fn define_clocks_and_random(linker: &mut Linker<Data>) -> Result<()> {
    let monotonic = &mut linker.instance("wasi:clocks/monotonic-clock@0.2.0")?;
    add(monotonic, "now", |wasi, (): ()| Ok((wasi.now(),)))?;
    add(monotonic, "resolution", |_, (): ()| Ok((1_u64,)))?;
    add(monotonic, "subscribe-instant", |wasi, (when,): (u64,)| Ok((wasi.table.push(Pollable(when))?,)))?;
    add(monotonic, "subscribe-duration", |wasi, (wait,): (u64,)| {
        let when = wasi.now().saturating_add(wait);
        Ok((wasi.table.push(Pollable(when))?,))
    })?;
    let wall = &mut linker.instance("wasi:clocks/wall-clock@0.2.0")?;
    add(wall, "now", |wasi, (): ()| {
        let now = wasi.now();
        let seconds = wasi.epoch_seconds.saturating_add(now / 1_000_000_000);
        Ok((DateTime { seconds, nanoseconds: (now % 1_000_000_000) as u32 },))
    })?;
    add(wall, "resolution", |_, (): ()| Ok((DateTime { seconds: 0, nanoseconds: 1 },)))?;

    fn bytes(wasi: &mut Wasi, (size,): (u64,)) -> Result<(Vec<u8>,)> {
        if size > MAX_LIST_BYTES as u64 {
            bail!("more random bytes at once than are given");
        }
        Ok((wasi.random(size as usize)?,))
    }
    fn number(wasi: &mut Wasi, (): ()) -> Result<(u64,)> {
        let bytes = wasi.random(8)?;
        Ok((u64::from_le_bytes(bytes.try_into().unwrap_or_default()),))
    }
    let random = &mut linker.instance("wasi:random/random@0.2.0")?;
    add(random, "get-random-bytes", bytes)?;
    add(random, "get-random-u64", number)?;
    let insecure = &mut linker.instance("wasi:random/insecure@0.2.0")?;
    add(insecure, "get-insecure-random-bytes", bytes)?;
    add(insecure, "get-insecure-random-u64", number)?;
    let seed = &mut linker.instance("wasi:random/insecure-seed@0.2.0")?;
    add(seed, "insecure-seed", |wasi, (): ()| Ok(((number(wasi, ())?.0, number(wasi, ())?.0),)))
}

fn define_cli(linker: &mut Linker<Data>) -> Result<()> {
    let environment = &mut linker.instance("wasi:cli/environment@0.2.0")?;
    add(environment, "get-environment", |wasi, (): ()| Ok((wasi.environment()?,)))?;
    add(environment, "get-arguments", |wasi, (): ()| Ok((wasi.texts(false)?,)))?;
    add(environment, "initial-cwd", |_, (): ()| Ok((Some("/".to_owned()),)))?;
    let exit = &mut linker.instance("wasi:cli/exit@0.2.0")?;
    add(exit, "exit", |wasi, (status,): (Result<(), ()>,)| -> Result<()> {
        (wasi.host.exit)(wasi.run, u32::from(status.is_err()));
        Err(ended())
    })?;
    add(exit, "exit-with-code", |wasi, (code,): (u8,)| -> Result<()> {
        (wasi.host.exit)(wasi.run, u32::from(code));
        Err(ended())
    })?;
    let stdin = &mut linker.instance("wasi:cli/stdin@0.2.0")?;
    add(stdin, "get-stdin", |wasi, (): ()| Ok((wasi.table.push(Input::Standard)?,)))?;
    let stdout = &mut linker.instance("wasi:cli/stdout@0.2.0")?;
    add(stdout, "get-stdout", |wasi, (): ()| Ok((wasi.table.push(Output::Standard)?,)))?;
    let stderr = &mut linker.instance("wasi:cli/stderr@0.2.0")?;
    add(stderr, "get-stderr", |wasi, (): ()| Ok((wasi.table.push(Output::Log)?,)))?;
    add_resource::<Terminal>(&mut linker.instance("wasi:cli/terminal-input@0.2.0")?, "terminal-input")?;
    add_resource::<TerminalOutput>(&mut linker.instance("wasi:cli/terminal-output@0.2.0")?, "terminal-output")?;
    let stdin = &mut linker.instance("wasi:cli/terminal-stdin@0.2.0")?;
    add(stdin, "get-terminal-stdin", |_, (): ()| Ok((None::<Resource<Terminal>>,)))?;
    let stdout = &mut linker.instance("wasi:cli/terminal-stdout@0.2.0")?;
    add(stdout, "get-terminal-stdout", |_, (): ()| Ok((None::<Resource<TerminalOutput>>,)))?;
    let stderr = &mut linker.instance("wasi:cli/terminal-stderr@0.2.0")?;
    add(stderr, "get-terminal-stderr", |_, (): ()| Ok((None::<Resource<TerminalOutput>>,)))
}

type This = Resource<Descriptor>;

/// What would change the tree, once the handle and the path are found good.
fn changes(wasi: &mut Wasi, this: &This, path: &str) -> Result<(Result<(), Code>,)> {
    Ok((Err(match wasi.find(this, path)? {
        Ok(_) | Err(Code::NoEntry) => Code::ReadOnly,
        Err(code) => code,
    }),))
}

fn define_filesystem(linker: &mut Linker<Data>) -> Result<()> {
    let preopens = &mut linker.instance("wasi:filesystem/preopens@0.2.0")?;
    add(preopens, "get-directories", |wasi, (): ()| {
        Ok((vec![(wasi.table.push(Descriptor(NOWHERE))?, "/".to_owned())],))
    })?;

    let types = &mut linker.instance("wasi:filesystem/types@0.2.0")?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), |mut cx, handle| {
        let wasi = wasi_of(&mut cx);
        wasi.charge(CALL_COST)?;
        if wasi.table.delete(Resource::<Descriptor>::new_own(handle)).is_ok() {
            wasi.open = wasi.open.saturating_sub(1);
        }
        Ok(())
    })?;
    add_resource::<Listing>(types, "directory-entry-stream")?;
    add(types, "filesystem-error-code", |_, (_,): (Resource<IoError>,)| Ok((None::<Code>,)))?;
    type Done = (Result<(), Code>,);

    add(types, "[method]descriptor.read-via-stream", |wasi, (this, offset): (This, u64)| {
        let place = wasi.place(&this)?;
        if wasi.stat(&place).is_folder {
            return Ok((Err(Code::IsDirectory),));
        }
        Ok((Ok(wasi.table.push(Input::File(place, offset))?),))
    })?;
    add(types, "[method]descriptor.write-via-stream", |wasi, (this, _): (This, u64)| {
        wasi.place(&this)?;
        Ok((Err::<Resource<Output>, Code>(Code::ReadOnly),))
    })?;
    add(types, "[method]descriptor.append-via-stream", |wasi, (this,): (This,)| {
        wasi.place(&this)?;
        Ok((Err::<Resource<Output>, Code>(Code::ReadOnly),))
    })?;
    add(types, "[method]descriptor.advise", |wasi, (this, _, _, _): (This, u64, u64, Advice)| {
        wasi.place(&this)?;
        Ok::<Done, Error>((Ok(()),))
    })?;
    for name in ["[method]descriptor.sync", "[method]descriptor.sync-data"] {
        add(types, name, |wasi, (this,): (This,)| {
            wasi.place(&this)?;
            Ok::<Done, Error>((Ok(()),))
        })?;
    }
    add(types, "[method]descriptor.get-flags", |wasi, (this,): (This,)| {
        let is_folder = wasi.stat(&wasi.place(&this)?).is_folder;
        let flags =
            if is_folder { DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY } else { DescriptorFlags::READ };
        Ok((Ok::<DescriptorFlags, Code>(flags),))
    })?;
    add(types, "[method]descriptor.get-type", |wasi, (this,): (This,)| {
        Ok((Ok::<FileType, Code>(kind_of(wasi.stat(&wasi.place(&this)?).is_folder)),))
    })?;
    add(types, "[method]descriptor.set-size", |wasi, (this, _): (This, u64)| {
        wasi.place(&this)?;
        Ok::<Done, Error>((Err(Code::ReadOnly),))
    })?;
    add(types, "[method]descriptor.set-times", |wasi, (this, _, _): (This, NewTimestamp, NewTimestamp)| {
        wasi.place(&this)?;
        Ok::<Done, Error>((Err(Code::ReadOnly),))
    })?;
    add(types, "[method]descriptor.read", |wasi, (this, size, offset): (This, u64, u64)| {
        let place = wasi.place(&this)?;
        if wasi.stat(&place).is_folder {
            return Ok((Err(Code::IsDirectory),));
        }
        let bytes = wasi.read_file(&place, offset, size)?;
        let at_end = bytes.is_empty() && size > 0;
        Ok((Ok((bytes, at_end)),))
    })?;
    add(types, "[method]descriptor.write", |wasi, (this, _, _): (This, Vec<u8>, u64)| {
        wasi.place(&this)?;
        Ok((Err::<u64, Code>(Code::ReadOnly),))
    })?;
    add(types, "[method]descriptor.read-directory", |wasi, (this,): (This,)| {
        extern "C" fn entry(to: *mut c_void, name: Slice, place: *const Place) {
            // SAFETY: `to` is the list below, `place` the host's for this call, the name outlives the call.
            let (list, place, name) = unsafe { (&mut *to.cast::<Vec<(String, Place)>>(), *place, name.bytes()) };
            list.push((String::from_utf8_lossy(name).into_owned(), place));
        }
        let place = wasi.place(&this)?;
        if !wasi.stat(&place).is_folder {
            return Ok((Err(Code::NotDirectory),));
        }
        let mut found: Vec<(String, Place)> = Vec::new();
        if !(wasi.host.list)(wasi.run, &place, (&raw mut found).cast(), entry) {
            return Err(ended());
        }
        wasi.charge(found.len() as u64 * ENTRY_COST)?;
        let entries = found.into_iter().map(|(name, place)| (name, wasi.stat(&place).is_folder)).collect();
        Ok((Ok(wasi.table.push(Listing(entries, 0))?),))
    })?;
    add(
        types,
        "[method]directory-entry-stream.read-directory-entry",
        |wasi, (this,): (Resource<Listing>,)| -> Result<(Result<Option<DirectoryEntry>, Code>,)> {
            let listing = wasi.table.get_mut(&this)?;
            let next = listing.0.get(listing.1).cloned();
            listing.1 += 1;
            Ok((Ok(next.map(|(name, is_folder)| DirectoryEntry { kind: kind_of(is_folder), name })),))
        },
    )?;
    add(types, "[method]descriptor.stat", |wasi, (this,): (This,)| {
        Ok((Ok::<DescriptorStat, Code>(wasi.descriptor_stat(&wasi.place(&this)?)),))
    })?;
    add(types, "[method]descriptor.stat-at", |wasi, (this, _, path): (This, PathFlags, String)| {
        Ok((wasi.find(&this, &path)?.map(|place| wasi.descriptor_stat(&place)),))
    })?;
    add(types, "[method]descriptor.metadata-hash", |wasi, (this,): (This,)| {
        Ok((Ok::<MetadataHash, Code>(wasi.metadata_hash(&wasi.place(&this)?)),))
    })?;
    add(types, "[method]descriptor.metadata-hash-at", |wasi, (this, _, path): (This, PathFlags, String)| {
        Ok((wasi.find(&this, &path)?.map(|place| wasi.metadata_hash(&place)),))
    })?;
    add(types, "[method]descriptor.is-same-object", |wasi, (this, other): (This, This)| {
        Ok((wasi.place(&this)? == wasi.place(&other)?,))
    })?;
    add(
        types,
        "[method]descriptor.open-at",
        |wasi, (this, _, path, open, flags): (This, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Ok((wasi.open_at(&this, &path, open, flags)?,))
        },
    )?;
    add(types, "[method]descriptor.readlink-at", |wasi, (this, path): (This, String)| {
        // There are no links.
        Ok((Err::<String, Code>(wasi.find(&this, &path)?.err().unwrap_or(Code::Invalid)),))
    })?;
    // Programs that make a folder "unless it is there" go by this.
    add(types, "[method]descriptor.create-directory-at", |wasi, (this, path): (This, String)| {
        let code = if wasi.find(&this, &path)?.is_ok() { Code::Exist } else { Code::ReadOnly };
        Ok::<Done, Error>((Err(code),))
    })?;
    for name in ["[method]descriptor.remove-directory-at", "[method]descriptor.unlink-file-at"] {
        add(types, name, |wasi, (this, path): (This, String)| changes(wasi, &this, &path))?;
    }
    add(types, "[method]descriptor.symlink-at", |wasi, (this, _, path): (This, String, String)| {
        changes(wasi, &this, &path)
    })?;
    add(types, "[method]descriptor.rename-at", |wasi, (this, path, other, _): (This, String, This, String)| {
        wasi.place(&other)?;
        changes(wasi, &this, &path)
    })?;
    add(
        types,
        "[method]descriptor.link-at",
        |wasi, (this, _, path, other, _): (This, PathFlags, String, This, String)| {
            wasi.place(&other)?;
            changes(wasi, &this, &path)
        },
    )?;
    add(
        types,
        "[method]descriptor.set-times-at",
        |wasi, (this, _, path, _, _): (This, PathFlags, String, NewTimestamp, NewTimestamp)| {
            changes(wasi, &this, &path)
        },
    )
}

/// Sockets are there for whoever imports them, and every call that could make one is refused.
fn define_sockets(linker: &mut Linker<Data>, engine: &Engine, component: &Component) -> Result<()> {
    for (interface, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        if !interface.starts_with("wasi:sockets/") {
            continue;
        }
        let at = &mut linker.instance(interface)?;
        for (name, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::Resource(_) => match name {
                    "network" => add_resource::<Network>(at, name)?,
                    "tcp-socket" => add_resource::<TcpSocket>(at, name)?,
                    "udp-socket" => add_resource::<UdpSocket>(at, name)?,
                    "incoming-datagram-stream" => add_resource::<IncomingDatagrams>(at, name)?,
                    "outgoing-datagram-stream" => add_resource::<OutgoingDatagrams>(at, name)?,
                    "resolve-address-stream" => add_resource::<AddressStream>(at, name)?,
                    _ => {} // Of wasi:io, and defined there.
                },
                ComponentItem::ComponentFunc(_) => at.func_new(name, |mut cx, ty, _, results| {
                    let wasi = wasi_of(&mut cx);
                    wasi.charge(CALL_COST)?;
                    let refused = match ty.results().next() {
                        Some(Type::Result(result)) => match result.err() {
                            Some(Type::Enum(codes)) => codes.names().any(|name| name == "not-supported"),
                            _ => false,
                        },
                        Some(Type::Own(resource)) if resource == ResourceType::host::<Network>() => {
                            let network = wasi.table.push(Network)?;
                            results[0] = Val::Resource(ResourceAny::try_from_resource(network, cx)?);
                            return Ok(());
                        }
                        _ => false,
                    };
                    if !refused {
                        bail!("a socket that is not there");
                    }
                    results[0] = Val::Result(Err(Some(Box::new(Val::Enum("not-supported".to_owned())))));
                    Ok(())
                })?,
                _ => {}
            }
        }
    }
    Ok(())
}

// ---- checking, compiling, loading

/// Why no engine of ours takes the component; None if all do.
fn refusal_of(bytes: &[u8]) -> Option<String> {
    let features = WasmFeatures::WASM3
        .difference(WasmFeatures::GC)
        .difference(WasmFeatures::FUNCTION_REFERENCES)
        .difference(WasmFeatures::EXCEPTIONS)
        .difference(WasmFeatures::RELAXED_SIMD)
        .difference(WasmFeatures::MULTI_MEMORY)
        .difference(WasmFeatures::MEMORY64)
        .difference(WasmFeatures::THREADS)
        .union(WasmFeatures::COMPONENT_MODEL);
    if let Err(error) = Validator::new_with_features(features).validate_all(bytes) {
        return Some(format!("The component is not valid: {} (at offset {})", error.message(), error.offset()));
    }
    // Components lie in components; code may be in the outermost alone, so that what is instantiated is counted by reading.
    let (mut depth, mut modules, mut instances, mut tables, mut memories) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
    let unreadable = || Some("The component does not read.".to_owned());
    let mut in_module = false;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return unreadable() };
        match payload {
            Payload::ModuleSection { .. } => {
                if depth > 0 {
                    return Some(
                        "A component inside the component has code of its own, which is not taken.".to_owned(),
                    );
                }
                modules += 1;
                in_module = true;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => {
                if in_module {
                    in_module = false;
                } else {
                    depth = depth.saturating_sub(1);
                }
            }
            Payload::InstanceSection(section) => {
                if depth > 0 && section.count() > 0 {
                    return Some(
                        "A component inside the component has code of its own, which is not taken.".to_owned(),
                    );
                }
                for instance in section {
                    let Ok(instance) = instance else { return unreadable() };
                    instances += u32::from(matches!(instance, CoreInstance::Instantiate { .. }));
                }
            }
            Payload::MemorySection(section) => memories = memories.saturating_add(section.count()),
            Payload::StartSection { .. } => {
                return Some("A module of the component has a start function, which is not taken.".to_owned());
            }
            Payload::TableSection(section) => {
                for table in section {
                    let Ok(table) = table else { return unreadable() };
                    tables += 1;
                    if table.ty.initial > MAX_TABLE_ELEMENTS {
                        return Some(format!(
                            "The component declares a table of {} elements; at most {MAX_TABLE_ELEMENTS} are taken.",
                            table.ty.initial
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    let counts = [
        (modules, MAX_CORE_MODULES, "modules"),
        (instances, MAX_CORE_INSTANCES, "instances"),
        (tables, MAX_TABLES, "tables"),
        (memories, MAX_MEMORIES, "memories"),
    ];
    for (count, bound, what) in counts {
        if count > bound {
            return Some(format!("The component has {count} {what}; at most {bound} are taken."));
        }
    }
    None
}

enum Entry {
    /// exec: func(args: list<string>, env: list<tuple<string, string>>) -> u32
    Exec(ComponentExportIndex),
    /// wasi:cli/run@0.2.x's run: func() -> result
    Run(ComponentExportIndex),
}

type ExecParameters = (Vec<String>, Vec<(String, String)>);

pub struct LoadedComponent {
    pre: InstancePre<Data>,
    entry: Entry,
}

fn entry_of(engine: &Engine, component: &Component) -> Option<Entry> {
    let ty = component.component_type();
    let cx = ty.instance_type();
    if let Some(export) = ty.get_export(engine, "exec") {
        let ComponentItem::ComponentFunc(function) = export.ty else { return None };
        function.typecheck::<ExecParameters, (u32,)>(&cx).ok()?;
        return component.get_export_index(None, "exec").map(Entry::Exec);
    }
    let (name, export) = ty.exports(engine).find(|(name, _)| name.starts_with("wasi:cli/run@0.2."))?;
    let ComponentItem::ComponentInstance(instance) = export.ty else { return None };
    let ComponentItem::ComponentFunc(function) = instance.get_export(engine, "run")?.ty else { return None };
    function.typecheck::<(), (Result<(), ()>,)>(&cx).ok()?;
    let interface = component.get_export_index(None, name)?;
    component.get_export_index(Some(&interface), "run").map(Entry::Run)
}

fn load(engine: &Engine, component: &Component) -> Result<Result<LoadedComponent, String>> {
    const PACKAGES: [&str; 6] =
        ["wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/", "wasi:filesystem/", "wasi:sockets/"];
    for (name, _) in component.component_type().imports(engine) {
        let version_fits = name.split_once('@').is_some_and(|(_, version)| version.starts_with("0.2."));
        if !version_fits || !PACKAGES.iter().any(|package| name.starts_with(package)) {
            return Ok(Err(format!("The component imports {name}, which is not of WASI 0.2's command world.")));
        }
    }
    let Some(entry) = entry_of(engine, component) else {
        return Ok(Err("The component exports neither exec(list<string>, list<tuple<string, string>>) -> u32 nor \
                       wasi:cli/run@0.2."
            .to_owned()));
    };
    let mut linker = Linker::new(engine);
    define_io(&mut linker)?;
    define_clocks_and_random(&mut linker)?;
    define_cli(&mut linker)?;
    define_filesystem(&mut linker)?;
    define_sockets(&mut linker, engine, component)?;
    Ok(match linker.instantiate_pre(component) {
        Ok(pre) => Ok(LoadedComponent { pre, entry }),
        Err(error) => Err(format!("The component's imports are not those of WASI 0.2: {error:#}")),
    })
}

// ---- the C side

/// # Safety
/// `engine` is a live engine.
unsafe fn engine_of<'a>(engine: *const wasm_engine_t) -> &'a Engine {
    // SAFETY: wasm_engine_t is #[repr(C)] with the Engine as its only field, so the two share an address.
    unsafe { &*engine.cast::<Engine>() }
}

/// # Safety
/// `store` is a live store that nobody else uses meanwhile.
unsafe fn store_of<'a>(store: *mut wasmtime_store_t) -> &'a mut WasmtimeStore {
    // SAFETY: as in limits.rs.
    unsafe { &mut *store.cast::<WasmtimeStore>() }
}

fn text(words: String) -> *mut c_char {
    CString::new(words.replace('\0', " ")).map_or(null_mut(), CString::into_raw)
}

fn answer(result: Result<()>) -> *mut wasmtime_error_t {
    match result {
        Ok(()) => null_mut(),
        Err(error) => Box::into_raw(Box::new(error.into())),
    }
}

/// # Safety
/// `host` and `run` are good until the run is over.
#[no_mangle]
pub unsafe extern "C" fn mesh_wasi_new(
    host: *const Host,
    run: *mut c_void,
    open_files: u32,
    epoch_seconds: u64,
) -> *mut Wasi {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_HANDLES);
    // SAFETY: the caller's promise.
    let host = unsafe { *host };
    let wasi = Wasi { host, run, table, open: 0, open_files, epoch_seconds, input_position: 0, instance: None };
    Box::into_raw(Box::new(wasi))
}

/// # Safety
/// `wasi` came from `mesh_wasi_new`, and its store is gone.
#[no_mangle]
pub unsafe extern "C" fn mesh_wasi_delete(wasi: *mut Wasi) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(wasi) });
}

/// # Safety
/// `component` is a good slice.
#[no_mangle]
pub unsafe extern "C" fn mesh_component_check(component: Slice) -> *mut c_char {
    // SAFETY: the caller's promise.
    refusal_of(unsafe { component.bytes() }).map_or(null_mut(), text)
}

/// # Safety
/// `engine` is live, `component` a good slice, `code` writable.
#[no_mangle]
pub unsafe extern "C" fn mesh_component_compile(
    engine: *const wasm_engine_t,
    component: Slice,
    code: *mut Slice,
) -> *mut wasmtime_error_t {
    // SAFETY: the caller's promise.
    let (engine, bytes) = unsafe { (engine_of(engine), component.bytes()) };
    let compiled = Component::from_binary(engine, bytes).and_then(|component| component.serialize());
    answer(compiled.map(|artefact| {
        let artefact = artefact.into_boxed_slice();
        let size = artefact.len();
        let data = Box::into_raw(artefact).cast::<u8>();
        // SAFETY: the caller's promise.
        unsafe { *code = Slice { data, size } };
    }))
}

/// # Safety
/// `code` is a good slice.
#[no_mangle]
pub unsafe extern "C" fn mesh_is_component_code(code: Slice) -> bool {
    // SAFETY: the caller's promise.
    matches!(Engine::detect_precompiled(unsafe { code.bytes() }), Some(Precompiled::Component))
}

/// # Safety
/// `bytes` came from `mesh_component_compile`.
#[no_mangle]
pub unsafe extern "C" fn mesh_bytes_delete(bytes: Slice) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(bytes.data.cast_mut(), bytes.size)) });
}

/// # Safety
/// `words` came from a function of this file.
#[no_mangle]
pub unsafe extern "C" fn mesh_text_delete(words: *mut c_char) {
    if !words.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { CString::from_raw(words) });
    }
}

/// # Safety
/// `engine` is live, `code` is what this machine compiled, `out` and `refusal` are writable.
#[no_mangle]
pub unsafe extern "C" fn mesh_component_load(
    engine: *const wasm_engine_t,
    code: Slice,
    out: *mut *mut LoadedComponent,
    refusal: *mut *mut c_char,
) -> *mut wasmtime_error_t {
    // SAFETY: the caller's promise; deserialize trusts the code, whose seal the caller checked.
    let result = unsafe {
        *out = null_mut();
        *refusal = null_mut();
        let engine = engine_of(engine);
        Component::deserialize(engine, code.bytes()).and_then(|component| load(engine, &component))
    };
    answer(result.map(|loaded| {
        // SAFETY: the caller's promise.
        unsafe {
            match loaded {
                Ok(component) => *out = Box::into_raw(Box::new(component)),
                Err(words) => *refusal = text(words),
            }
        }
    }))
}

/// # Safety
/// `component` came from `mesh_component_load`.
#[no_mangle]
pub unsafe extern "C" fn mesh_component_delete(component: *mut LoadedComponent) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(component) });
}

/// # Safety
/// `component` and `store` are live, the store's data is a Wasi.
#[no_mangle]
pub unsafe extern "C" fn mesh_component_instantiate(
    component: *const LoadedComponent,
    store: *mut wasmtime_store_t,
) -> *mut wasmtime_error_t {
    // SAFETY: the caller's promise.
    let (component, store) = unsafe { (&*component, store_of(store)) };
    store.set_hostcall_fuel(MAX_LIST_BYTES);
    store.set_max_component_handles(MAX_HANDLES);
    answer(component.pre.instantiate(&mut *store).map(|instance| {
        wasi_of(&mut store.as_context_mut()).instance = Some(instance);
    }))
}

fn enter(component: &LoadedComponent, store: &mut WasmtimeStore) -> Result<u32> {
    let wasi = wasi_of(&mut store.as_context_mut());
    let instance = wasi.instance.ok_or_else(|| format_err!("the component was not instantiated"))?;
    match &component.entry {
        Entry::Exec(index) => {
            let function = instance.get_typed_func::<ExecParameters, (u32,)>(&mut *store, index)?;
            let parameters = (wasi.texts(false)?, wasi.environment()?);
            Ok(function.call(&mut *store, parameters)?.0)
        }
        Entry::Run(index) => {
            let function = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, index)?;
            Ok(u32::from(function.call(&mut *store, ())?.0.is_err()))
        }
    }
}

/// # Safety
/// As for `mesh_component_instantiate`, which was called with the same two; `code` is writable.
#[no_mangle]
pub unsafe extern "C" fn mesh_component_run(
    component: *const LoadedComponent,
    store: *mut wasmtime_store_t,
    code: *mut u32,
) -> *mut wasmtime_error_t {
    // SAFETY: the caller's promise.
    unsafe { answer(enter(&*component, store_of(store)).map(|value| *code = value)) }
}

/// # Safety
/// `error` is live, `code` writable.
#[no_mangle]
pub unsafe extern "C" fn mesh_error_trap_code(error: *const wasmtime_error_t, code: *mut u8) -> bool {
    // SAFETY: the caller's promise; wasmtime_error_t is #[repr(C)] with the Error as its only field.
    unsafe {
        match (*error.cast::<Error>()).downcast_ref::<Trap>() {
            Some(trap) => {
                *code = *trap as u8;
                true
            }
            None => false,
        }
    }
}
