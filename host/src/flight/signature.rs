//! What a call of a function takes and answers, as callers see it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use vivarium_runtime::{FunctionKind, FunctionSpec};

use crate::functions::Version;
use crate::sql_types::Dialect;

/// The column that tells rows of an aggregate's groups apart.
pub(super) const GROUP: &str = "$group";

/// The column that marks rows which are to be taken out of an aggregate.
pub(super) const RETRACT: &str = "$retract";

/// What a call does with an aggregate function; every other function has one way to be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Rows in, results out.
    #[default]
    Whole,
    /// Rows in, states out.
    Accumulate,
    /// States in, states out.
    Merge,
    /// States in, results out.
    Finish,
}

impl Phase {
    /// The phase that a descriptor's second element names.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "accumulate" => Some(Self::Accumulate),
            "merge" => Some(Self::Merge),
            "finish" => Some(Self::Finish),
            _ => None,
        }
    }

    /// Whether the input is states rather than rows.
    pub(super) fn takes_states(self) -> bool {
        matches!(self, Self::Merge | Self::Finish)
    }

    /// Whether the answer is states rather than results.
    pub(super) fn gives_states(self) -> bool {
        matches!(self, Self::Accumulate | Self::Merge)
    }
}

/// The columns that a call takes, without an aggregate's `$group` and `$retract`.
pub(super) fn inputs(spec: &FunctionSpec, phase: Phase) -> Vec<Field> {
    match &spec.kind {
        FunctionKind::Aggregate { state } if phase.takes_states() => vec![state.clone()],
        _ => spec.parameters.clone(),
    }
}

/// The columns that a call answers with; `grouped` if the input of an aggregate has `$group`.
pub(super) fn outputs(version: &Version, phase: Phase, grouped: bool) -> SchemaRef {
    let spec = version.spec();
    let fields: Fields = match (&spec.kind, spec.result.data_type(), version.dialect) {
        (FunctionKind::Aggregate { state }, _, _) => {
            let value = if phase.gives_states() { state } else { &spec.result };
            let group = grouped.then(|| Field::new(GROUP, DataType::Int64, false));
            group.into_iter().chain([value.clone()]).collect()
        }
        // The servers of databend_udf answer with the columns alone.
        (FunctionKind::Table, DataType::Struct(columns), Dialect::DatabendUdf) => columns.clone(),
        (FunctionKind::Table, _, Dialect::DatabendUdf) => vec![spec.result.clone()].into(),
        (FunctionKind::Table, _, dialect) => {
            let row = Field::new("row", DataType::Int32, dialect == Dialect::ArrowUdf);
            vec![row, spec.result.clone()].into()
        }
        _ => return spec.output_schema(),
    };
    Arc::new(Schema::new(fields))
}
