//! Aggregate functions: rows and states into groups, groups into states and results.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::datatypes::Field;
use arrow::record_batch::RecordBatch;

use super::Instance;
use crate::call::CallError;
use crate::exchange::{InputError, InputPlan, read_result};
use crate::function::FunctionSpec;
use crate::operation::{Expect, Operation};

/// Name of the limit in errors.
const AGGREGATE_GROUPS: &str = "aggregate_groups";

impl Instance {
    /// Folds the rows of `batch` into the states of an aggregate function; `groups` says for each row to
    /// which. Groups are numbered from 0; a group comes into being when it is first named.
    ///
    /// # Errors
    /// See [`Instance::invoke`]. When the function fails, all groups are forgotten.
    pub fn accumulate(&mut self, groups: &UInt32Array, batch: &RecordBatch) -> Result<(), CallError> {
        self.add_rows("accumulate", Operation::Accumulate, groups, batch)
    }

    /// Takes the rows of `batch` out of the states again.
    ///
    /// # Errors
    /// See [`Instance::accumulate`]; also if the function cannot retract.
    pub fn retract(&mut self, groups: &UInt32Array, batch: &RecordBatch) -> Result<(), CallError> {
        self.add_rows("retract", Operation::Retract, groups, batch)
    }

    /// Merges states, as [`Instance::states`] of any instance of the same function gave them, into the
    /// groups.
    ///
    /// # Errors
    /// See [`Instance::accumulate`].
    pub fn merge(&mut self, groups: &UInt32Array, states: &ArrayRef) -> Result<(), CallError> {
        let image = self.image.clone();
        let state = self.state_field("merge", image.spec())?;
        let columns = std::slice::from_ref(states);
        self.add(Operation::Merge, groups, states.len(), columns, std::slice::from_ref(state))
    }

    /// The states of the groups below `groups`, which is above every group named; new ones for those never
    /// named. All groups are forgotten.
    ///
    /// # Errors
    /// See [`Instance::accumulate`].
    pub fn states(&mut self, groups: usize) -> Result<ArrayRef, CallError> {
        let image = self.image.clone();
        let state = self.state_field("states", image.spec())?;
        self.take(Operation::States, groups, state)
    }

    /// The results of the groups below `groups`, which is above every group named. All groups are
    /// forgotten.
    ///
    /// # Errors
    /// See [`Instance::accumulate`].
    pub fn finish(&mut self, groups: usize) -> Result<ArrayRef, CallError> {
        let image = self.image.clone();
        self.state_field("finish", image.spec())?;
        self.take(Operation::Finish, groups, &image.spec().result)
    }

    /// Type of the state, if the function has one.
    fn state_field<'s>(&self, method: &'static str, spec: &'s FunctionSpec) -> Result<&'s Field, CallError> {
        self.usable()?;
        let kind = spec.kind.name();
        spec.state().ok_or(CallError::Kind { method, kind })
    }

    fn add_rows(
        &mut self,
        method: &'static str,
        operation: Operation,
        groups: &UInt32Array,
        batch: &RecordBatch,
    ) -> Result<(), CallError> {
        let image = self.image.clone();
        let spec = image.spec();
        self.state_field(method, spec)?;
        self.add(operation, groups, batch.num_rows(), batch.columns(), &spec.parameters)?;
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        Ok(())
    }

    fn add(
        &mut self,
        operation: Operation,
        groups: &UInt32Array,
        rows: usize,
        columns: &[ArrayRef],
        fields: &[Field],
    ) -> Result<(), CallError> {
        let highest = arrow::compute::max(groups);
        self.allow(highest.map_or(0, |highest| u64::from(highest) + 1))?;
        let plan = InputPlan::grouped(groups, rows, columns, fields, self.limits.input_bytes)?;
        self.calls += 1;
        self.operate(|instance| instance.start(operation, &plan, Expect::Nothing).map(drop))
    }

    fn take(&mut self, operation: Operation, groups: usize, field: &Field) -> Result<ArrayRef, CallError> {
        self.allow(groups as u64)?;
        let plan = InputPlan::rows(groups);
        self.calls += 1;
        self.operate(|instance| {
            instance.start(operation, &plan, Expect::Total)?;
            let memory = instance.guest.memory();
            Ok(read_result(memory, instance.output, field, groups, instance.limits.output_bytes)?)
        })
    }

    fn allow(&self, requested: u64) -> Result<(), CallError> {
        let limit = self.limits.aggregate_groups;
        if requested > limit {
            return Err(InputError::Groups { name: AGGREGATE_GROUPS, limit, requested }.into());
        }
        Ok(())
    }
}
