//! A host that is just enough for the guest to execute modules of Python, under any meter.

use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use vivarium_runtime::fuzzing::instrument;
use wasmtime::{
    Caller, Config, Engine, Extern, Instance, Linker, Memory, Module, Store, UpdateDeadline, WasmParams,
    WasmResults,
};

/// What stops a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meter {
    /// Nothing.
    None,
    /// What the product weaves into the module.
    Ours,
    /// `Config::consume_fuel`.
    Fuel,
    /// `Config::epoch_interruption`.
    Epochs,
}

/// Native stack of the guest, in bytes, as in the product.
const STACK: usize = 48 << 20;

/// Units of our fuel in a slice, as in the product.
const SLICE: i64 = 2_000_000;

/// WASI's errors for what this host does not do.
const BAD_DESCRIPTOR: i32 = 8;
const FAULT: i32 = 21;
const NOT_SUPPORTED: i32 = 58;

/// The compiler's settings are those of `runtime/src/compile.rs`, where they matter for speed.
pub(super) fn engine(meter: Meter) -> anyhow::Result<Engine> {
    let mut config = Config::new();
    config.wasm_branch_hinting(true);
    config.memory_reservation(4 << 30);
    config.memory_guard_size(4 << 30);
    config.memory_may_move(false);
    config.guard_before_linear_memory(false);
    config.max_wasm_stack(STACK);
    config.async_stack_size(STACK);
    config.wasm_backtrace_max_frames(None);
    config.native_unwind_info(false);
    config.generate_address_map(false);
    config.consume_fuel(meter == Meter::Fuel);
    config.epoch_interruption(meter == Meter::Epochs);
    Engine::new(&config).map_err(told)
}

/// wasmtime's errors are a type of their own.
fn told(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

/// The host's side.
struct Host {
    began: Instant,
    /// What the guest printed.
    printed: Vec<u8>,
    memory: Option<Memory>,
    random: u64,
    /// What our meter handed out.
    granted: i64,
}

/// A guest that runs.
pub(super) struct Guest {
    store: Store<Host>,
    instance: Instance,
    memory: Memory,
}

impl Guest {
    /// Compiles the guest, starts it and its interpreter.
    pub(super) fn start(engine: &Engine, meter: Meter) -> anyhow::Result<Self> {
        let wasm = vivarium_guest::PLAIN.wasm;
        let module = match meter {
            Meter::Ours => Module::new(engine, instrument(wasm)?),
            _ => Module::new(engine, wasm),
        };
        let module = module.map_err(told)?;
        let host = Host { began: Instant::now(), printed: vec![], memory: None, random: 1, granted: 0 };
        let mut store = Store::new(engine, host);
        match meter {
            Meter::Fuel => store.set_fuel(u64::MAX / 2).map_err(told)?,
            Meter::Epochs => {
                store.set_epoch_deadline(1);
                // As much as the product does between two slices.
                store.epoch_deadline_callback(|context| {
                    ensure_time(context.data())?;
                    Ok(UpdateDeadline::Continue(1))
                });
            }
            Meter::None | Meter::Ours => {}
        }
        let mut linker = Linker::new(engine);
        link(&mut linker).map_err(told)?;
        let instance = linker.instantiate(&mut store, &module).map_err(told)?;
        let memory = instance.get_memory(&mut store, "memory").context("the guest has a memory")?;
        store.data_mut().memory = Some(memory);
        let mut guest = Self { store, instance, memory };
        if meter == Meter::Ours {
            guest.write_data(wasm)?;
        }
        guest.call::<(), ()>("_initialize", ())?;
        let started: i32 = guest.call("vivarium_init", 1)?;
        ensure!(started == 0, "the interpreter does not start");
        Ok(guest)
    }

    /// Executes a module, and returns what it printed.
    pub(super) fn execute(&mut self, code: &str) -> anyhow::Result<String> {
        let spec = serde_json::json!({
            "filename": "bench.py", "code": code, "environment": {}, "search_path": [], "x_options": {},
        });
        let spec = spec.to_string();
        let length = i32::try_from(spec.len())?;
        let at: i32 = self.call("vivarium_alloc", length)?;
        let out: i32 = self.call("vivarium_alloc", 64)?;
        self.memory.write(&mut self.store, usize::try_from(at)?, spec.as_bytes())?;
        let answer: i32 = self.call("vivarium_describe", (at, length, out))?;
        if answer != 0 {
            self.call::<i32, ()>("vivarium_last_error", out)?;
            bail!("the module fails: {}", self.text(usize::try_from(out)?)?);
        }
        self.call::<i32, ()>("vivarium_free", out)?;
        let printed = std::mem::take(&mut self.store.data_mut().printed);
        Ok(String::from_utf8(printed)?.trim_end().to_owned())
    }

    /// The text whose address and length stand at `out`.
    fn text(&self, out: usize) -> anyhow::Result<String> {
        let memory = self.memory.data(&self.store);
        let number = |at: usize| -> Option<usize> {
            memory.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize)
        };
        let span = number(out).zip(number(out + 4)).and_then(|(at, len)| memory.get(at..at + len));
        Ok(String::from_utf8_lossy(span.context("a text inside of the memory")?).into_owned())
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> anyhow::Result<R> {
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name).map_err(told)?;
        function.call(&mut self.store, params).map_err(told)
    }

    /// What the rewrite took out of the module.
    fn write_data(&mut self, wasm: &[u8]) -> anyhow::Result<()> {
        for payload in wasmparser::Parser::new(0).parse_all(wasm) {
            let wasmparser::Payload::DataSection(section) = payload? else { continue };
            for data in section {
                let data = data?;
                let wasmparser::DataKind::Active { offset_expr, .. } = data.kind else { continue };
                let mut operators = offset_expr.get_operators_reader();
                let wasmparser::Operator::I32Const { value } = operators.read()? else {
                    bail!("a data segment without a constant offset");
                };
                self.memory.write(&mut self.store, value.cast_unsigned() as usize, data.data)?;
            }
        }
        Ok(())
    }
}

/// Nothing here has a deadline, but looking costs what it costs.
fn ensure_time(host: &Host) -> wasmtime::Result<()> {
    if host.began.elapsed().as_secs() > 3600 {
        return Err(wasmtime::Error::msg("an hour is over"));
    }
    Ok(())
}

/// The five functions of the capability set, and the two that the rewrite adds.
fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const WASI: &str = "wasi_snapshot_preview1";
    linker.func_wrap("vivarium", "refill", |mut caller: Caller<'_, Host>, left: i64| {
        ensure_time(caller.data())?;
        let host = caller.data_mut();
        host.granted = host.granted.wrapping_add(SLICE - left);
        Ok(SLICE)
    })?;
    linker.func_wrap("vivarium", "pull", |_room: i32, _size: i32| -1)?;
    linker.func_wrap(
        WASI,
        "clock_time_get",
        |mut caller: Caller<'_, Host>, _clock: i32, _precision: i64, out: i32| {
            let now = u64::try_from(caller.data().began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            write(&mut caller, out, &now.to_le_bytes())
        },
    )?;
    linker.func_wrap(WASI, "random_get", |mut caller: Caller<'_, Host>, out: i32, len: i32| {
        let host = caller.data_mut();
        let bytes: Vec<u8> = (0..len)
            .map(|_| {
                host.random = host.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (host.random >> 56) as u8
            })
            .collect();
        write(&mut caller, out, &bytes)
    })?;
    linker.func_wrap(
        WASI,
        "fd_write",
        |mut caller: Caller<'_, Host>, descriptor: i32, slices: i32, count: i32, out: i32| {
            if !matches!(descriptor, 1 | 2) {
                return BAD_DESCRIPTOR;
            }
            let Some(bytes) = gather(&caller, slices, count) else { return FAULT };
            let written = bytes.len() as u32;
            if descriptor == 1 {
                caller.data_mut().printed.extend(bytes);
            }
            write(&mut caller, out, &written.to_le_bytes())
        },
    )?;
    linker.func_wrap(WASI, "poll_oneoff", |_: i32, _: i32, _: i32, _: i32| NOT_SUPPORTED)?;
    linker.func_wrap(WASI, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the guest exited with {code}")))
    })?;
    Ok(())
}

fn write(caller: &mut Caller<'_, Host>, at: i32, bytes: &[u8]) -> i32 {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else { return FAULT };
    memory.write(caller, at.cast_unsigned() as usize, bytes).map_or(FAULT, |()| 0)
}

fn gather(caller: &Caller<'_, Host>, slices: i32, count: i32) -> Option<Vec<u8>> {
    let memory = caller.data().memory?.data(caller);
    let number = |at: usize| -> Option<usize> {
        memory.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize)
    };
    let mut bytes = Vec::new();
    for index in 0..usize::try_from(count).ok()? {
        let slice = slices.cast_unsigned() as usize + index * 8;
        let (at, len) = (number(slice)?, number(slice + 4)?);
        bytes.extend_from_slice(memory.get(at..at.checked_add(len)?)?);
    }
    Some(bytes)
}
