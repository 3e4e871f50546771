//! The guest's mutable globals: with linear memory, all of its state.

use wasmtime::{AsContextMut, Extern, Instance, Module, ModuleExport, Val};

use crate::instrument::GLOBAL_EXPORT_PREFIX;

/// Values of all mutable globals, in the order of their indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Globals(Vec<GlobalValue>);

/// One value. Floats are kept as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GlobalValue {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
}

/// Bytes of one encoded value.
const ENCODED_BYTES: usize = 9;

impl GlobalValue {
    fn of(value: &Val) -> Option<Self> {
        match value {
            Val::I32(value) => Some(Self::I32(*value)),
            Val::I64(value) => Some(Self::I64(*value)),
            Val::F32(bits) => Some(Self::F32(*bits)),
            Val::F64(bits) => Some(Self::F64(*bits)),
            _ => None,
        }
    }

    fn value(self) -> Val {
        match self {
            Self::I32(value) => Val::I32(value),
            Self::I64(value) => Val::I64(value),
            Self::F32(bits) => Val::F32(bits),
            Self::F64(bits) => Val::F64(bits),
        }
    }
}

impl Globals {
    /// The values as bytes: for each a type and 8 bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let encode = |value: &GlobalValue| {
            let (kind, bits) = match *value {
                GlobalValue::I32(value) => (0, u64::from(value.cast_unsigned())),
                GlobalValue::I64(value) => (1, value.cast_unsigned()),
                GlobalValue::F32(bits) => (2, u64::from(bits)),
                GlobalValue::F64(bits) => (3, bits),
            };
            let mut bytes = [kind; ENCODED_BYTES];
            if let Some(dest) = bytes.get_mut(1..) {
                dest.copy_from_slice(&bits.to_le_bytes());
            }
            bytes
        };
        self.0.iter().flat_map(encode).collect()
    }

    /// Reads what [`Globals::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (values, rest) = bytes.as_chunks::<ENCODED_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let decode = |[kind, bits @ ..]: &[u8; ENCODED_BYTES]| {
            let bits = u64::from_le_bytes(*bits);
            match kind {
                0 => u32::try_from(bits).ok().map(|bits| GlobalValue::I32(bits.cast_signed())),
                1 => Some(GlobalValue::I64(bits.cast_signed())),
                2 => u32::try_from(bits).ok().map(GlobalValue::F32),
                3 => Some(GlobalValue::F64(bits)),
                _ => None,
            }
        };
        values.iter().map(decode).collect::<Option<Vec<_>>>().map(Self)
    }
}

/// Where the mutable globals are in a module.
pub(crate) struct GlobalExports(Vec<ModuleExport>);

impl GlobalExports {
    /// Looks the exports up that the instrumentation added.
    pub(crate) fn find(module: &Module) -> Self {
        let mut found: Vec<(u32, ModuleExport)> = module
            .exports()
            .filter_map(|export| {
                let index = export.name().strip_prefix(GLOBAL_EXPORT_PREFIX)?.parse().ok()?;
                Some((index, module.get_export_index(export.name())?))
            })
            .collect();
        found.sort_unstable_by_key(|(index, _)| *index);
        Self(found.into_iter().map(|(_, export)| export).collect())
    }

    /// Reads all values.
    pub(crate) fn save(&self, mut store: impl AsContextMut, instance: Instance) -> Globals {
        let values =
            self.0.iter().filter_map(|export| match instance.get_module_export(&mut store, export) {
                Some(Extern::Global(global)) => GlobalValue::of(&global.get(&mut store)),
                _ => None,
            });
        Globals(values.collect())
    }

    /// Writes all values.
    pub(crate) fn restore(
        &self,
        mut store: impl AsContextMut,
        instance: Instance,
        globals: &Globals,
    ) -> wasmtime::Result<()> {
        if globals.0.len() != self.0.len() {
            return Err(wasmtime::Error::msg("the image has another number of globals than the module"));
        }
        for (export, value) in self.0.iter().zip(&globals.0) {
            if let Some(Extern::Global(global)) = instance.get_module_export(&mut store, export) {
                global.set(&mut store, value.value())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_encoding() {
        let globals = Globals(vec![
            GlobalValue::I32(-5),
            GlobalValue::I64(i64::MIN),
            GlobalValue::F32(f32::NAN.to_bits()),
            GlobalValue::F64(1.5_f64.to_bits()),
        ]);
        assert_eq!(Globals::from_bytes(&globals.to_bytes()), Some(globals));
    }

    #[test]
    fn malformed_encodings_are_refused() {
        assert_eq!(Globals::from_bytes(&[0; 8]), None);
        assert_eq!(Globals::from_bytes(&[4, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Globals::from_bytes(&[0, 0, 0, 0, 0, 1, 0, 0, 0]), None);
    }
}
