//! First pass over a module: what it contains, and what each function costs.

use wasmparser::{
    DataKind, ExternalKind, FunctionBody, GlobalType, Operator, Parser, Payload, TypeRef, ValType,
};

use super::cost::{FunctionShape, is_state_outside_memory};
use super::{ALLOWED_IMPORTS, DataSegment, InstrumentError};

/// What the rewrite needs to know before it can emit the first section.
#[derive(Default)]
pub(super) struct Survey {
    /// Number of types in the type section.
    pub(super) types: u32,
    /// Number of imported functions.
    pub(super) imported_functions: u32,
    /// The module's own globals.
    pub(super) globals: Vec<GlobalType>,
    /// Shapes of the module's own functions, in order.
    pub(super) functions: Vec<FunctionShape>,
    /// Start function, if there is one.
    pub(super) start: Option<u32>,
    /// Content of the active data segments.
    pub(super) data: Vec<DataSegment>,
}

impl Survey {
    /// Reads `wasm` and refuses what a guest must not contain.
    pub(super) fn read(wasm: &[u8]) -> Result<Self, InstrumentError> {
        let mut survey = Self::default();
        let mut memories = 0;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                    return Err(InstrumentError::Unsupported { what: "the component model" });
                }
                Payload::TypeSection(section) => {
                    for group in section {
                        survey.types += u32::try_from(group?.types().len())
                            .map_err(|_| InstrumentError::Unsupported { what: "so many types" })?;
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        survey.check_import(import.module, import.name, import.ty)?;
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        memories += 1;
                        if memory.memory64 || memory.shared || memory.page_size_log2.is_some() {
                            return Err(InstrumentError::Unsupported {
                                what: "a 64-bit, shared or custom-page memory",
                            });
                        }
                    }
                }
                Payload::TagSection(_) => {
                    return Err(InstrumentError::Unsupported { what: "exceptions" });
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        let ty = global?.ty;
                        if ty.mutable && !is_number(ty.content_type) {
                            return Err(InstrumentError::Unsupported {
                                what: "mutable globals that are not numbers",
                            });
                        }
                        survey.globals.push(ty);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.name.starts_with("vivarium.") {
                            return Err(InstrumentError::ReservedName { name: export.name.to_owned() });
                        }
                        if export.kind == ExternalKind::Tag {
                            return Err(InstrumentError::Unsupported { what: "exceptions" });
                        }
                    }
                }
                Payload::StartSection { func, .. } => survey.start = Some(func),
                Payload::DataSection(section) => {
                    for segment in section {
                        survey.data.push(active_segment(&segment?)?);
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let shape = read_function(&body)?;
                    survey.functions.push(shape);
                }
                _ => {}
            }
        }
        match memories {
            1 => Ok(survey),
            0 => Err(InstrumentError::Missing { what: "memory of its own" }),
            _ => Err(InstrumentError::Unsupported { what: "more than one memory" }),
        }
    }

    fn check_import(&mut self, module: &str, name: &str, ty: TypeRef) -> Result<(), InstrumentError> {
        if !matches!(ty, TypeRef::Func(_)) || !ALLOWED_IMPORTS.contains(&(module, name)) {
            return Err(InstrumentError::Import { module: module.to_owned(), name: name.to_owned() });
        }
        self.imported_functions += 1;
        Ok(())
    }

    /// The shape of the function with this index, if the module defines it.
    pub(super) fn function(&self, index: u32) -> Option<&FunctionShape> {
        let own = index.checked_sub(self.imported_functions)?;
        self.functions.get(usize::try_from(own).ok()?)
    }
}

fn is_number(ty: ValType) -> bool {
    matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
}

fn read_function(body: &FunctionBody<'_>) -> Result<FunctionShape, InstrumentError> {
    let mut shape = FunctionShape::default();
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        if is_state_outside_memory(&operator) {
            return Err(InstrumentError::Unsupported {
                what: "instructions that change tables or segments, or shared memory",
            });
        }
        shape.add(&operator);
    }
    Ok(shape)
}

fn active_segment(segment: &wasmparser::Data<'_>) -> Result<DataSegment, InstrumentError> {
    let DataKind::Active { memory_index: 0, offset_expr } = &segment.kind else {
        return Err(InstrumentError::Unsupported { what: "passive data segments" });
    };
    let mut offset = offset_expr.get_operators_reader();
    let (Operator::I32Const { value }, Operator::End) = (offset.read()?, offset.read()?) else {
        return Err(InstrumentError::Unsupported { what: "data segments at computed offsets" });
    };
    Ok(DataSegment { offset: value.cast_unsigned(), bytes: segment.data.to_vec() })
}
