//! First pass over a module: what it contains, and what each function does.

use wasmparser::{
    CompositeInnerType, DataKind, ElementItems, ExternalKind, FuncType, GlobalType, Operator, Parser,
    Payload, TypeRef, ValType,
};

use super::profile::FunctionProfile;
use super::{ALLOWED_IMPORTS, DataSegment, InstrumentError, PULL_EXPORT};

/// Most elements of all tables. They are memory of the host's, for every instance, which no memory limit
/// counts.
const TABLE_ELEMENTS_MAX: u64 = 1 << 17;

/// What the rewrite needs to know before it can emit the first section.
#[derive(Default)]
pub(super) struct Survey {
    /// Number of types in the type section.
    pub(super) types: u32,
    /// Number of imported functions.
    pub(super) imported_functions: u32,
    /// The module's own globals.
    pub(super) globals: Vec<GlobalType>,
    /// The module's own functions, in order.
    pub(super) functions: Vec<FunctionProfile>,
    /// Number of parameters of each of them.
    pub(super) parameters: Vec<u32>,
    /// Functions that the host can call.
    pub(super) exported: Vec<u32>,
    /// Functions that an indirect call can reach.
    pub(super) in_table: Vec<u32>,
    /// Position among the module's own functions of the stub that asks for input, if there is one.
    pub(super) pull: Option<usize>,
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
        let mut types: Vec<Signature> = Vec::new();
        // Of each of the module's own functions, whether it has the type of the stub for input.
        let mut fits_pull: Vec<bool> = Vec::new();
        let mut pull: Option<u32> = None;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                    return Err(InstrumentError::Unsupported { what: "the component model" });
                }
                Payload::TypeSection(section) => {
                    for group in section {
                        for ty in group?.types() {
                            types.push(match &ty.composite_type.inner {
                                CompositeInnerType::Func(function) => Signature::of(function)?,
                                _ => Signature::default(),
                            });
                        }
                    }
                    survey.types = u32::try_from(types.len())
                        .map_err(|_| InstrumentError::Unsupported { what: "so many types" })?;
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        survey.check_import(import.module, import.name, import.ty)?;
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        let ty = usize::try_from(ty?).ok().and_then(|ty| types.get(ty));
                        let missing = InstrumentError::Missing { what: "type that a function names" };
                        let Signature { parameters, is_pull } = *ty.ok_or(missing)?;
                        survey.parameters.push(parameters);
                        fits_pull.push(is_pull);
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
                Payload::TableSection(section) => {
                    let mut requested = 0_u64;
                    for table in section {
                        requested = requested.saturating_add(table?.ty.initial);
                        if requested > TABLE_ELEMENTS_MAX {
                            return Err(InstrumentError::Table { limit: TABLE_ELEMENTS_MAX, requested });
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
                        if export.name == PULL_EXPORT && export.kind == ExternalKind::Func {
                            pull = export.index.checked_sub(survey.imported_functions);
                        }
                        match export.kind {
                            ExternalKind::Func => survey.exported.push(export.index),
                            ExternalKind::Tag => {
                                return Err(InstrumentError::Unsupported { what: "exceptions" });
                            }
                            _ => {}
                        }
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        survey.in_table.extend(element_functions(element?.items)?);
                    }
                }
                Payload::StartSection { func, .. } => survey.start = Some(func),
                Payload::DataSection(section) => {
                    for segment in section {
                        survey.data.push(active_segment(&segment?)?);
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    survey.functions.push(FunctionProfile::read(&body)?);
                }
                _ => {}
            }
        }
        let pull = pull.and_then(|pull| usize::try_from(pull).ok());
        survey.pull = pull.filter(|pull| fits_pull.get(*pull) == Some(&true));
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
}

/// What matters of a type; nothing of what is not a function.
#[derive(Clone, Copy, Default)]
struct Signature {
    parameters: u32,
    /// Whether it is the type of the stub for input.
    is_pull: bool,
}

impl Signature {
    fn of(function: &FuncType) -> Result<Self, InstrumentError> {
        let parameters = u32::try_from(function.params().len())
            .map_err(|_| InstrumentError::Unsupported { what: "so many parameters" })?;
        let is_pull = function.params() == [ValType::I32; 2] && function.results() == [ValType::I32];
        Ok(Self { parameters, is_pull })
    }
}

fn is_number(ty: ValType) -> bool {
    matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
}

/// The functions of an element segment.
fn element_functions(items: ElementItems<'_>) -> Result<Vec<u32>, InstrumentError> {
    let mut functions = Vec::new();
    match items {
        ElementItems::Functions(section) => {
            for function in section {
                functions.push(function?);
            }
        }
        ElementItems::Expressions(_, section) => {
            for expression in section {
                for operator in expression?.get_operators_reader() {
                    if let Operator::RefFunc { function_index } = operator? {
                        functions.push(function_index);
                    }
                }
            }
        }
    }
    Ok(functions)
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
