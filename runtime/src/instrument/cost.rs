//! The static charges of all functions. The model is described in the parent module.

use super::profile::{CallSite, FunctionProfile, ONE};
use super::survey::Survey;
use super::{HOISTED_COST_MAX, INDIRECT_CALL_COST};

/// Where one function is charged, and how much.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Charges {
    /// At its entry; none where the callers pay.
    pub(super) entry: Option<u32>,
    /// At the head of each loop, in the order of the `loop`s.
    pub(super) loops: Vec<LoopCharge>,
    /// Before each call, direct or indirect, in order; none for most.
    pub(super) calls: Vec<Option<u32>>,
}

/// The charge of one loop.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LoopCharge {
    /// Units for each iteration.
    pub(super) cost: u32,
    /// Nothing but this loop's own heads, and those nested in it, touches the fuel counter while it
    /// runs.
    pub(super) quiet: bool,
    /// The loop around it, if any.
    pub(super) outer: Option<usize>,
}

/// The module's functions as the meter sees them.
pub(super) struct CallGraph<'a> {
    imported: u32,
    functions: &'a [FunctionProfile],
    nodes: Vec<Node>,
}

/// What is decided about one function.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// What a call adds to the caller's region, times [`ONE`]; `None` for functions that pay at their
    /// own entry.
    hoisted: Option<u64>,
    /// Whether an indirect call outside of loops can follow a call of this function without a charge in
    /// between.
    indirect: bool,
    /// Number of the set of functions that reach each other by direct calls outside of loops.
    component: usize,
}

impl<'a> CallGraph<'a> {
    /// Decides for each function who pays for it.
    ///
    /// Every cycle of calls must pass a charge. Those through a loop pass its head. Of the others:
    /// cycles of direct calls are charged at an unlikely call on them, or, where all are likely, at the
    /// entries of their functions. Cycles through indirect calls are charged at the call where it is
    /// unlikely or leads on to a likely indirect call, or at the entry of what is called: any function
    /// in the table from which a likely indirect call is reached. Functions that the host calls pay
    /// at their entry too.
    pub(super) fn new(survey: &'a Survey) -> Self {
        let (imported, functions) = (survey.imported_functions, survey.functions.as_slice());
        let flags = |indices: &[u32]| {
            let mut flags = vec![false; functions.len()];
            for function in indices.iter().filter_map(|function| function.checked_sub(imported)) {
                if let Some(flag) = flags.get_mut(function as usize) {
                    *flag = true;
                }
            }
            flags
        };
        let (exported, in_table) = (flags(&survey.exported), flags(&survey.in_table));
        let mut graph = Self { imported, functions, nodes: vec![Node::default(); functions.len()] };
        let all = components(functions.len(), |at| graph.direct(at, |_| true));
        let likely = components(functions.len(), |at| graph.direct(at, |call| !call.unlikely));
        for (number, component) in all.iter().enumerate() {
            component.members.iter().for_each(|member| graph.nodes[*member].component = number);
        }
        let mut rank = vec![(0, false); functions.len()];
        for (position, component) in likely.iter().enumerate() {
            component.members.iter().for_each(|member| rank[*member] = (position, component.cyclic));
        }
        // Components come callees first, so that what a function calls is known before the function.
        for component in all {
            let mut members = component.members;
            members.sort_unstable_by_key(|member| rank[*member].0);
            for member in members {
                let cost = graph.average(member, None);
                let indirect = graph.leads_to_indirect(member);
                let pays_itself = rank[member].1
                    || exported[member]
                    || (in_table[member] && indirect)
                    || cost > HOISTED_COST_MAX * ONE;
                if !pays_itself {
                    let node = &mut graph.nodes[member];
                    (node.hoisted, node.indirect) = (Some(cost), indirect);
                }
            }
        }
        graph
    }

    /// The module's own functions that `function` calls directly outside of loops.
    fn direct(&self, function: usize, keep: impl Fn(&CallSite) -> bool) -> Vec<usize> {
        let calls = self.functions.get(function).map_or(&[][..], |function| function.calls.as_slice());
        let kept = calls.iter().filter(|call| call.region.is_none() && keep(call));
        kept.filter_map(|call| self.own(call.callee?)).collect()
    }

    /// Position of a function among the module's own.
    fn own(&self, function: u32) -> Option<usize> {
        let position = function.checked_sub(self.imported)? as usize;
        (position < self.functions.len()).then_some(position)
    }

    fn node(&self, function: u32) -> Option<&Node> {
        self.nodes.get(self.own(function)?)
    }

    /// Whether `call`, made by the function at `caller`, is charged where it is.
    fn is_charged(&self, caller: usize, call: &CallSite) -> bool {
        if !call.unlikely || call.region.is_some() {
            return false;
        }
        match call.callee {
            None => true,
            Some(callee) => self.node(callee).is_some_and(|node| {
                node.indirect || self.nodes.get(caller).is_some_and(|it| it.component == node.component)
            }),
        }
    }

    fn leads_to_indirect(&self, caller: usize) -> bool {
        let calls = self.functions.get(caller).map_or(&[][..], |function| function.calls.as_slice());
        let mut open = calls.iter().filter(|call| call.region.is_none() && !self.is_charged(caller, call));
        open.any(|call| match call.callee {
            None => true,
            Some(callee) => self.node(callee).is_some_and(|node| node.indirect),
        })
    }

    /// Average cost of a region of the function at `caller`, with what it calls, times [`ONE`].
    fn average(&self, caller: usize, region: Option<usize>) -> u64 {
        let Some(function) = self.functions.get(caller) else { return 0 };
        let own = match region {
            Some(index) => function.loops.get(index).map_or(0, |found| found.own),
            None => function.own,
        };
        let calls = function.calls.iter().filter(|call| call.region == region);
        calls.filter(|call| !self.is_charged(caller, call)).fold(own, |sum, call| {
            let each = match call.callee {
                Some(callee) => self.node(callee).and_then(|node| node.hoisted).unwrap_or(0),
                None => u64::from(INDIRECT_CALL_COST) * ONE,
            };
            // Both factors are fixed point; half of the fraction's bits are taken from each.
            sum.saturating_add((each >> 10).saturating_mul(call.chance >> 10))
        })
    }

    /// Whether calling the function leaves the fuel counter alone.
    fn is_quiet(&self, function: u32) -> bool {
        self.own(function).is_some_and(|own| {
            let profile = &self.functions[own];
            let empty = profile.calls.is_empty() && profile.loops.is_empty() && !profile.bulk;
            empty && self.nodes[own].hoisted.is_some()
        })
    }

    /// The charges of the function at `position` among the module's own.
    pub(super) fn charges(&self, position: usize) -> Option<Charges> {
        let function = self.functions.get(position)?;
        let loops = function.loops.iter().enumerate().map(|(index, profile)| {
            let calls = function.calls.get(profile.calls.clone()).unwrap_or_default();
            LoopCharge {
                cost: units(self.average(position, Some(index))),
                quiet: !profile.bulk
                    && calls.iter().all(|call| call.callee.is_some_and(|callee| self.is_quiet(callee))),
                outer: profile.outer,
            }
        });
        let calls = function.calls.iter().map(|call| {
            let cost = || match call.callee {
                Some(callee) => self.node(callee).and_then(|node| node.hoisted).map_or(1, units),
                None => INDIRECT_CALL_COST,
            };
            self.is_charged(position, call).then(cost)
        });
        let pays_itself = self.nodes.get(position).is_some_and(|node| node.hoisted.is_none());
        Some(Charges {
            entry: pays_itself.then(|| units(self.average(position, None))),
            loops: loops.collect(),
            calls: calls.collect(),
        })
    }
}

/// Whole units of a cost in fixed point, at least one.
fn units(cost: u64) -> u32 {
    u32::try_from(cost / ONE).unwrap_or(u32::MAX).max(1)
}

/// A set of nodes of a graph that can all reach each other.
struct Component {
    members: Vec<usize>,
    cyclic: bool,
}

/// Strongly connected components of a graph of `count` nodes, those that are pointed to first.
/// (Tarjan's algorithm, without recursion.)
fn components(count: usize, edges: impl Fn(usize) -> Vec<usize>) -> Vec<Component> {
    const UNSEEN: usize = usize::MAX;
    let mut found = Vec::new();
    let mut order = vec![UNSEEN; count];
    let mut low = vec![UNSEEN; count];
    let mut on_stack = vec![false; count];
    let mut stack = Vec::new();
    let mut next = 0;
    for root in 0..count {
        if order[root] != UNSEEN {
            continue;
        }
        let mut path: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut enter = Some(root);
        loop {
            if let Some(at) = enter.take() {
                (order[at], low[at]) = (next, next);
                next += 1;
                stack.push(at);
                on_stack[at] = true;
                path.push((at, edges(at)));
            }
            let Some((at, open)) = path.last_mut() else { break };
            let at = *at;
            match open.pop() {
                Some(to) if order[to] == UNSEEN => enter = Some(to),
                Some(to) if on_stack[to] => low[at] = low[at].min(order[to]),
                Some(_) => {}
                None => {
                    path.pop();
                    if let Some((parent, _)) = path.last() {
                        low[*parent] = low[*parent].min(low[at]);
                    }
                    if low[at] == order[at] {
                        let start = stack.iter().rposition(|member| *member == at).unwrap_or(0);
                        let members = stack.split_off(start);
                        members.iter().for_each(|member| on_stack[*member] = false);
                        let cyclic = members.len() > 1 || edges(at).contains(&at);
                        found.push(Component { members, cyclic });
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Charges of all functions of a module, the first of which is `$loop`, which charges.
    fn all(functions: &str) -> Vec<Charges> {
        let text = format!("(module (memory 1) (table 1 funcref) (func $loop (loop)) {functions})");
        let survey = Survey::read(&wat::parse_str(text).unwrap()).unwrap();
        let graph = CallGraph::new(&survey);
        (0..survey.functions.len()).map(|position| graph.charges(position).unwrap()).collect()
    }

    /// Cost of the one loop that the last function has.
    fn loop_cost(functions: &str) -> u32 {
        let charges = all(functions).pop().unwrap();
        assert_eq!(charges.loops.len(), 1);
        charges.loops[0].cost
    }

    fn ops(count: usize) -> String {
        "(drop (i32.eqz (i32.const 0)))".repeat(count)
    }

    #[test]
    fn straight_lines_cost_what_they_are() {
        assert_eq!(loop_cost(&format!("(func {} (loop {}) {})", ops(5), ops(300), ops(6))), 300);
        assert_eq!(loop_cost("(func (loop))"), 1);
    }

    #[test]
    fn nested_loops_are_charged_apart() {
        let charges = all(&format!(
            "(func (loop {} (loop {} (br_if 0 (i32.const 0))) {} (br_if 0 (i32.const 0))))",
            ops(10),
            ops(20),
            ops(30)
        ));
        let costs: Vec<u32> = charges[1].loops.iter().map(|charge| charge.cost).collect();
        assert_eq!(costs, [41, 21]);
        assert_eq!(charges[1].loops[1].outer, Some(0));
    }

    #[test]
    fn arms_count_by_their_chance() {
        let both = format!("(func (loop (if (i32.const 0) (then {}) (else {}))))", ops(100), ops(20));
        assert_eq!(loop_cost(&both), 1 + 60);
        let table = format!(
            "(func (loop
                (block (block (block (block (br_table 0 1 2 3 (i32.const 0)))
                    {a} (br 2)) {a} (br 1)) {a})))",
            a = ops(400)
        );
        // Three arms of four have 400 operators.
        assert!((300..310).contains(&loop_cost(&table)));
    }

    #[test]
    fn code_after_a_way_out_counts_less() {
        let guarded =
            format!("(func (loop (block (br_if 0 (i32.const 0)) {} (return)) {}))", ops(80), ops(800));
        assert_eq!(loop_cost(&guarded), 1 + 70 + 100);
        assert_eq!(loop_cost(&format!("(func (loop (unreachable) {}))", ops(99))), 1);
    }

    #[test]
    fn callers_pay_for_what_they_call() {
        let leaf = format!("(func $leaf {})", ops(40));
        let charges = all(&format!("{leaf} (func $middle (call $leaf)) (func (loop (call $middle)))"));
        assert_eq!((charges[1].entry, charges[2].entry, charges[3].entry), (None, None, None));
        assert_eq!(charges[3].loops[0].cost, 42);
        let large = format!("(func $large {})", ops(5000));
        let charges = all(&format!("{large} (func (loop (call $large)))"));
        assert_eq!((charges[1].entry, charges[2].loops[0].cost), (Some(5000), 1));
    }

    #[test]
    fn cycles_of_calls_are_charged() {
        let charges =
            all("(func $self (call $self)) (func $a (call $b)) (func $b (call $c)) (func $c (call $a))");
        assert!(charges[1..].iter().all(|charges| charges.entry.is_some()));
        // A cycle through a loop or through an unlikely call has a charge already.
        let charges = all("(func $a (call $b)) (func $b (loop (call $a)))");
        assert!(charges[1..].iter().all(|charges| charges.entry.is_none()));
        let charges = all("(func $a (call $b)) (func $b (block (br_if 0 (i32.const 0)) (return)) (call $a))");
        assert!(charges[1..].iter().all(|charges| charges.entry.is_none()));
        assert_eq!((&charges[1].calls[..], &charges[2].calls[..]), (&[None][..], &[Some(3)][..]));
        // Through the table: only what can get to an indirect call again is charged.
        let charges =
            all("(elem (i32.const 0) $a $b $c) (func $a (call $d)) (func $b (drop (i32.eqz (i32.const 0))))
            (func $c (block (br_if 0 (i32.const 0)) (return)) (call_indirect (i32.const 0)))
            (func $d (call_indirect (i32.const 0)))");
        let entries: Vec<bool> = charges[1..].iter().map(|charges| charges.entry.is_some()).collect();
        assert_eq!(entries, [true, false, false, false]);
        assert_eq!(charges[3].calls, [Some(INDIRECT_CALL_COST)]);
    }

    #[test]
    fn loops_are_quiet_when_nothing_in_them_charges() {
        let quiet = |body: &str| {
            let functions = format!("(func $leaf (nop)) (func $deep (call $leaf)) (func (loop {body}))");
            all(&functions).pop().unwrap().loops[0].quiet
        };
        assert!(quiet("(drop (i32.eqz (i32.const 0)))") && quiet("(call $leaf)") && quiet("(loop)"));
        assert!(quiet("(memory.fill (i32.const 0) (i32.const 0) (i32.const 100))"));
        assert!(!quiet("(memory.fill (i32.const 0) (i32.const 0) (memory.size))"));
        assert!(!quiet("(call $deep)"), "what a callee calls is not looked at");
        assert!(!quiet("(call $loop)") && !quiet("(call_indirect (i32.const 0))"));
        assert!(!quiet("(loop (call $loop))"));
    }
}
