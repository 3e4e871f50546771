//! Second pass: emits the rewritten module section by section.

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, ImportSection, Module, RawSection, TypeSection, ValType,
};
use wasmparser::{BinaryReader, CodeSectionReader, FunctionBody, KnownCustom, Operator, Parser, Payload};

use super::bulk::Injected;
use super::cost::Charges;
use super::survey::Survey;
use super::{
    FUEL_EXPORT, GLOBAL_EXPORT_PREFIX, INSTRUMENTATION_VERSION, InstrumentError, Instrumented, REFILL_IMPORT,
    START_EXPORT,
};

type ReencodeError = reencode::Error<std::convert::Infallible>;

/// Rewrites `wasm`. See the parent module for what changes.
pub(crate) fn instrument(wasm: &[u8]) -> Result<Instrumented, InstrumentError> {
    let survey = Survey::read(wasm)?;
    let mut rewriter = Rewriter::new(&survey)?;
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        rewriter.section(&mut module, wasm, payload?)?;
    }
    rewriter.finish_sections_before(&mut module, Order::End);
    let wasm = module.finish();
    tracing::debug!(bytes = wasm.len(), version = INSTRUMENTATION_VERSION, "instrumented the guest");
    Ok(Instrumented { wasm, data: survey.data })
}

/// Positions of the sections that must exist in the output even when the input has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Type,
    Import,
    Function,
    Global,
    Export,
    Code,
    End,
}

struct Rewriter<'a> {
    survey: &'a Survey,
    index: IndexShift,
    injected: Injected,
    done: Option<Order>,
}

/// Renumbers functions: one import is added before the module's own functions.
struct IndexShift {
    imported_functions: u32,
}

impl Reencode for IndexShift {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, ReencodeError> {
        Ok(if function < self.imported_functions { function } else { function + 1 })
    }
}

impl<'a> Rewriter<'a> {
    fn new(survey: &'a Survey) -> Result<Self, InstrumentError> {
        let too_many = |_| InstrumentError::Unsupported { what: "so many items" };
        let own = u32::try_from(survey.functions.len()).map_err(too_many)?;
        let fuel = u32::try_from(survey.globals.len()).map_err(too_many)?;
        let first = survey.imported_functions + 1 + own;
        Ok(Self {
            survey,
            index: IndexShift { imported_functions: survey.imported_functions },
            injected: Injected {
                refill: survey.imported_functions,
                fuel,
                out_of_slice: first,
                memory_fill: first + 1,
                memory_copy: first + 2,
            },
            done: None,
        })
    }

    fn section(
        &mut self,
        module: &mut Module,
        wasm: &[u8],
        payload: Payload<'_>,
    ) -> Result<(), InstrumentError> {
        match payload {
            Payload::TypeSection(section) => {
                let mut types = TypeSection::new();
                self.index.parse_type_section(&mut types, section).map_err(encode_error)?;
                self.add_types(module, types);
            }
            Payload::ImportSection(section) => {
                self.finish_sections_before(module, Order::Import);
                let mut imports = ImportSection::new();
                self.index.parse_import_section(&mut imports, section).map_err(encode_error)?;
                self.add_imports(module, imports);
            }
            Payload::FunctionSection(section) => {
                self.finish_sections_before(module, Order::Function);
                let mut functions = FunctionSection::new();
                self.index.parse_function_section(&mut functions, section).map_err(encode_error)?;
                self.add_functions(module, functions);
            }
            Payload::GlobalSection(section) => {
                self.finish_sections_before(module, Order::Global);
                let mut globals = GlobalSection::new();
                self.index.parse_global_section(&mut globals, section).map_err(encode_error)?;
                self.add_globals(module, globals);
            }
            Payload::ExportSection(section) => {
                self.finish_sections_before(module, Order::Export);
                let mut exports = ExportSection::new();
                self.index.parse_export_section(&mut exports, section).map_err(encode_error)?;
                self.add_exports(module, exports)?;
            }
            Payload::TableSection(section) => {
                self.finish_sections_before(module, Order::Global);
                let mut tables = wasm_encoder::TableSection::new();
                self.index.parse_table_section(&mut tables, section).map_err(encode_error)?;
                module.section(&tables);
            }
            Payload::MemorySection(section) => {
                self.finish_sections_before(module, Order::Global);
                let mut memories = wasm_encoder::MemorySection::new();
                self.index.parse_memory_section(&mut memories, section).map_err(encode_error)?;
                module.section(&memories);
            }
            Payload::ElementSection(section) => {
                self.finish_sections_before(module, Order::Code);
                let mut elements = wasm_encoder::ElementSection::new();
                self.index.parse_element_section(&mut elements, section).map_err(encode_error)?;
                module.section(&elements);
            }
            Payload::CodeSectionStart { range, .. } => {
                self.finish_sections_before(module, Order::Code);
                let start = usize::try_from(range.start).unwrap_or(usize::MAX);
                let end = usize::try_from(range.end).unwrap_or(usize::MAX);
                let bytes = wasm.get(start..end).ok_or(InstrumentError::Missing { what: "code" })?;
                let reader = CodeSectionReader::new(BinaryReader::new(bytes, range.start))?;
                self.add_code(module, reader)?;
            }
            Payload::CustomSection(section) => {
                // Function names make traps readable; everything else is dead weight.
                if let KnownCustom::Name(_) = section.as_known() {
                    self.finish_sections_before(module, Order::End);
                    self.index.parse_custom_section(module, section).map_err(encode_error)?;
                }
            }
            Payload::Version { .. }
            | Payload::StartSection { .. }
            | Payload::DataSection(_)
            | Payload::DataCountSection { .. }
            | Payload::CodeSectionEntry(_)
            | Payload::End(_) => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
                    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
                    if let Some(data) = wasm.get(start..end) {
                        module.section(&RawSection { id, data });
                    }
                }
            }
        }
        Ok(())
    }

    /// Emits the sections that the input left out and that come before `next`.
    fn finish_sections_before(&mut self, module: &mut Module, next: Order) {
        if self.done < Some(Order::Type) && next > Order::Type {
            self.add_types(module, TypeSection::new());
        }
        if self.done < Some(Order::Import) && next > Order::Import {
            self.add_imports(module, ImportSection::new());
        }
        if self.done < Some(Order::Function) && next > Order::Function {
            self.add_functions(module, FunctionSection::new());
        }
        if self.done < Some(Order::Global) && next > Order::Global {
            self.add_globals(module, GlobalSection::new());
        }
    }

    fn add_types(&mut self, module: &mut Module, mut types: TypeSection) {
        types.ty().function([ValType::I64], [ValType::I64]);
        types.ty().function([], []);
        types.ty().function([ValType::I32; 3], []);
        module.section(&types);
        self.done = Some(Order::Type);
    }

    fn add_imports(&mut self, module: &mut Module, mut imports: ImportSection) {
        imports.import(REFILL_IMPORT.0, REFILL_IMPORT.1, EntityType::Function(self.survey.types));
        module.section(&imports);
        self.done = Some(Order::Import);
    }

    fn add_functions(&mut self, module: &mut Module, mut functions: FunctionSection) {
        functions.function(self.survey.types + 1);
        functions.function(self.survey.types + 2);
        functions.function(self.survey.types + 2);
        module.section(&functions);
        self.done = Some(Order::Function);
    }

    fn add_globals(&mut self, module: &mut Module, mut globals: GlobalSection) {
        let ty = wasm_encoder::GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        globals.global(ty, &ConstExpr::i64_const(0));
        module.section(&globals);
        self.done = Some(Order::Global);
    }

    fn add_exports(
        &mut self,
        module: &mut Module,
        mut exports: ExportSection,
    ) -> Result<(), InstrumentError> {
        for (index, global) in (0_u32..).zip(&self.survey.globals) {
            if global.mutable {
                exports.export(&format!("{GLOBAL_EXPORT_PREFIX}{index}"), ExportKind::Global, index);
            }
        }
        exports.export(FUEL_EXPORT, ExportKind::Global, self.injected.fuel);
        if let Some(start) = self.survey.start {
            let start = self.index.function_index(start).map_err(encode_error)?;
            exports.export(START_EXPORT, ExportKind::Func, start);
        }
        module.section(&exports);
        self.done = Some(Order::Export);
        Ok(())
    }

    fn add_code(
        &mut self,
        module: &mut Module,
        reader: CodeSectionReader<'_>,
    ) -> Result<(), InstrumentError> {
        let mut code = CodeSection::new();
        let mut hints = BranchHints::new();
        let first = self.survey.imported_functions + 1;
        for (index, body) in (0_u32..).zip(reader) {
            let (function, unlikely) = self.function(&body?, index)?;
            code.function(&function);
            if !unlikely.is_empty() {
                hints.function_hints(first + index, unlikely);
            }
        }
        code.function(&self.injected.out_of_slice_body());
        code.function(&self.injected.memory_fill_body());
        code.function(&self.injected.memory_copy_body());
        module.section(&hints);
        module.section(&code);
        self.done = Some(Order::Code);
        Ok(())
    }

    fn function(
        &mut self,
        body: &FunctionBody<'_>,
        index: u32,
    ) -> Result<(Function, Vec<BranchHint>), InstrumentError> {
        let shape = self
            .survey
            .function(self.survey.imported_functions + index)
            .copied()
            .ok_or(InstrumentError::Missing { what: "function that its code section describes" })?;
        let charges = Charges::of(body, shape, self.survey)?;
        let mut function = self.index.new_function_with_parsed_locals(body).map_err(encode_error)?;
        let mut unlikely = Vec::new();
        let injected = self.injected;
        let mut charge = |function: &mut Function, cost: u32| {
            let branch = injected.charge(function, cost);
            // Offsets fit: a function body is at most 7.6 MiB in every engine.
            let branch_func_offset = u32::try_from(branch).unwrap_or(u32::MAX);
            unlikely.push(BranchHint { branch_func_offset, branch_hint_value: 0 });
        };
        if let Some(cost) = charges.entry {
            charge(&mut function, cost);
        }
        let mut loops = charges.loops.iter();
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let is_loop = matches!(operator, Operator::Loop { .. });
            match operator {
                Operator::MemoryFill { .. } => {
                    function.instructions().call(injected.memory_fill);
                }
                Operator::MemoryCopy { .. } => {
                    function.instructions().call(injected.memory_copy);
                }
                other => {
                    function.instruction(&self.index.instruction(other).map_err(encode_error)?);
                }
            }
            if is_loop && let Some(cost) = loops.next() {
                charge(&mut function, *cost);
            }
        }
        Ok((function, unlikely))
    }
}

fn encode_error(error: ReencodeError) -> InstrumentError {
    match error {
        reencode::Error::ParseError(error) => InstrumentError::Parse(error),
        other => InstrumentError::Encode(other.to_string()),
    }
}
