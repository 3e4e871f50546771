//! Second pass: emits the rewritten module section by section.

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BranchHint, BranchHints, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, ImportSection, Module, RawSection, TypeSection, ValType,
};
use wasmparser::{BinaryReader, CodeSectionReader, FunctionBody, KnownCustom, Operator, Parser, Payload};

use super::cost::CallGraph;
use super::emit::{Bulk, Emitter, Injected};
use super::profile::constant_length;
use super::survey::Survey;
use super::{
    ADDED_IMPORTS, FUEL_EXPORT, GLOBAL_EXPORT_PREFIX, INSTRUMENTATION_VERSION, InstrumentError, Instrumented,
    PULL_IMPORT, REFILL_IMPORT, START_EXPORT,
};

type ReencodeError = reencode::Error<std::convert::Infallible>;

/// Rewrites `wasm`. See the parent module for what changes.
pub(crate) fn instrument(wasm: &[u8]) -> Result<Instrumented, InstrumentError> {
    let survey = Survey::read(wasm)?;
    if survey.pull.is_none() {
        return Err(InstrumentError::Missing {
            what: "function `vivarium_pull: (i32, i32) -> i32` of its own that it exports",
        });
    }
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
    graph: CallGraph<'a>,
    index: IndexShift,
    injected: Injected,
    done: Option<Order>,
}

/// Renumbers functions: imports are added before the module's own functions.
struct IndexShift {
    imported_functions: u32,
}

impl Reencode for IndexShift {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, ReencodeError> {
        Ok(if function < self.imported_functions { function } else { function + ADDED_IMPORTS })
    }
}

impl<'a> Rewriter<'a> {
    fn new(survey: &'a Survey) -> Result<Self, InstrumentError> {
        let too_many = |_| InstrumentError::Unsupported { what: "so many items" };
        let own = u32::try_from(survey.functions.len()).map_err(too_many)?;
        let fuel = u32::try_from(survey.globals.len()).map_err(too_many)?;
        let first = survey.imported_functions + ADDED_IMPORTS + own;
        Ok(Self {
            survey,
            graph: CallGraph::new(survey),
            index: IndexShift { imported_functions: survey.imported_functions },
            injected: Injected {
                refill: survey.imported_functions,
                pull: survey.imported_functions + 1,
                fuel,
                out_of_slice: first,
                memory_fill: first + 1,
                memory_copy: first + 2,
                memory_grow: first + 3,
                two_numbers: survey.types + 3,
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
                let bytes = wasm.get(range.clone()).ok_or(InstrumentError::Missing { what: "code" })?;
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
                if let Some((id, range)) = other.as_section()
                    && let Some(data) = wasm.get(range)
                {
                    module.section(&RawSection { id, data });
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
        types.ty().function([ValType::I32; 2], []);
        types.ty().function([ValType::I32; 2], [ValType::I32]);
        types.ty().function([ValType::I32], [ValType::I32]);
        module.section(&types);
        self.done = Some(Order::Type);
    }

    fn add_imports(&mut self, module: &mut Module, mut imports: ImportSection) {
        imports.import(REFILL_IMPORT.0, REFILL_IMPORT.1, EntityType::Function(self.survey.types));
        imports.import(PULL_IMPORT.0, PULL_IMPORT.1, EntityType::Function(self.survey.types + 4));
        module.section(&imports);
        self.done = Some(Order::Import);
    }

    fn add_functions(&mut self, module: &mut Module, mut functions: FunctionSection) {
        functions.function(self.survey.types + 1);
        functions.function(self.survey.types + 2);
        functions.function(self.survey.types + 2);
        functions.function(self.survey.types + 5);
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
        let first = self.survey.imported_functions + ADDED_IMPORTS;
        for (index, body) in (0_u32..).zip(reader) {
            let (function, unlikely) = self.function(&body?, index as usize)?;
            code.function(&function);
            if !unlikely.is_empty() {
                hints.function_hints(first + index, unlikely);
            }
        }
        code.function(&self.injected.out_of_slice_body());
        code.function(&self.injected.memory_fill_body());
        code.function(&self.injected.memory_copy_body());
        code.function(&self.injected.memory_grow_body());
        module.section(&hints);
        module.section(&code);
        self.done = Some(Order::Code);
        Ok(())
    }

    fn function(
        &mut self,
        body: &FunctionBody<'_>,
        position: usize,
    ) -> Result<(Function, Vec<BranchHint>), InstrumentError> {
        let missing = || InstrumentError::Missing { what: "function that its code section describes" };
        let charges = self.graph.charges(position).ok_or_else(missing)?;
        if Some(position) == self.survey.pull {
            return Ok((self.injected.pull_body(), vec![]));
        }
        let mut locals = Vec::new();
        let mut next_local = *self.survey.parameters.get(position).ok_or_else(missing)?;
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            next_local = next_local.saturating_add(count);
            locals.push((count, self.index.val_type(ty).map_err(encode_error)?));
        }
        let cache = next_local;
        let length = next_local.saturating_add(1);
        locals.extend([(1, ValType::I64), (1, ValType::I32)]);
        let mut out = Emitter { function: Function::new(locals), injected: self.injected, unlikely: vec![] };
        if let Some(cost) = charges.entry {
            out.charge(cost);
        }
        let (mut loops, mut calls) = (charges.loops.iter(), charges.calls.iter());
        let mut constant = None;
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let length_known = constant.is_some();
            constant = constant_length(Some(&operator));
            match operator {
                Operator::MemoryFill { .. } if !length_known => out.bulk(length, Bulk::Fill),
                Operator::MemoryCopy { .. } if !length_known => out.bulk(length, Bulk::Copy),
                Operator::MemoryGrow { .. } => {
                    out.function.instructions().call(self.injected.memory_grow);
                }
                Operator::Loop { .. } => {
                    let charge = loops.next();
                    let around = charge.and_then(|charge| charges.loops.get(charge.outer?));
                    let quiet = charge.is_some_and(|charge| charge.quiet);
                    if quiet && !around.is_some_and(|around| around.quiet) {
                        out.load_cache(cache);
                    }
                    out.function.instruction(&self.index.instruction(operator).map_err(encode_error)?);
                    match charge {
                        Some(charge) if quiet => out.charge_cached(charge.cost, cache),
                        Some(charge) => out.charge(charge.cost),
                        None => {}
                    }
                }
                other => {
                    let is_call = matches!(other, Operator::Call { .. } | Operator::CallIndirect { .. });
                    if is_call && let Some(cost) = calls.next().copied().flatten() {
                        out.charge(cost);
                    }
                    out.function.instruction(&self.index.instruction(other).map_err(encode_error)?);
                }
            }
        }
        Ok((out.function, out.unlikely))
    }
}

fn encode_error(error: ReencodeError) -> InstrumentError {
    match error {
        reencode::Error::ParseError(error) => InstrumentError::Parse(error),
        other => InstrumentError::Encode(other.to_string()),
    }
}
