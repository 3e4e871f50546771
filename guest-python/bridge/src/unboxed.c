/* Unboxed programs: taking them from the translator, and whether they still hold. */
#include "unboxed.h"

#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "unboxed_arithmetic.h"
#include "unboxed_block.h"
#include "unboxed_operations.h"
#include "unboxed_program.h"

/* A program is checked in time that its size bounds, and its registers stay in the cache. */
enum { MAX_REGISTERS = 512, MAX_INSTRUCTIONS = 8192 };

/* The low bits of an evaluation breaker are requests; those above count changes of what observes code
 * (`sys.settrace`, `sys.setprofile`, `sys.monitoring`). */
enum { BREAKER_BITS = 8 };

static uintptr_t observers;

static uintptr_t
count_observers(void)
{
    return PyThreadState_Get()->eval_breaker >> BREAKER_BITS;
}

void
unboxed_init(void)
{
    observers = count_observers();
}

static bool
malformed(void)
{
    failure_set(FAILURE_INTERNAL, NULL, "the translator's answer has another form");
    return false;
}

/* Checks every register and every jump, so that running the program leaves no array. */
static bool
check_instructions(const Unboxed *unboxed, int64_t count)
{
    unsigned registers = (unsigned)unboxed->n_registers;
    if (count < 1 || count > MAX_INSTRUCTIONS) {
        return malformed();
    }
    for (int64_t i = 0; i < count; i++) {
        const Instruction *at = &unboxed->instructions[i];
        bool is_jump = at->operation >= UNBOXED_JUMP;
        bool is_range = at->operation == UNBOXED_RANGE || at->operation == UNBOXED_FOR;
        unsigned range = at->operation == UNBOXED_FOR ? at->a : at->to;
        unsigned numbers = at->operation == UNBOXED_MATH ? MATH_FUNCTIONS : registers;
        if (at->operation >= UNBOXED_OPERATIONS || at->to >= (is_jump ? count : registers) ||
            at->a >= registers || at->b >= numbers || (is_range && range + 2 >= registers) ||
            (at->operation == UNBOXED_SLICE && at->b + 1u >= registers)) {
            return malformed();
        }
    }
    uint16_t last = unboxed->instructions[count - 1].operation;
    return last == UNBOXED_RETURN || last == UNBOXED_HAND_BACK || last == UNBOXED_JUMP || malformed();
}

static bool
take_instructions(Unboxed *unboxed, const char *bytes, Py_ssize_t size, int n_registers,
                  int64_t n_parameters)
{
    if (n_registers < 1 || n_registers > MAX_REGISTERS || n_parameters > n_registers ||
        size % (Py_ssize_t)sizeof(Instruction) != 0) {
        return malformed();
    }
    unboxed->n_registers = n_registers;
    unboxed->registers = calloc((size_t)n_registers, sizeof(Value));
    unboxed->instructions = malloc((size_t)size + 1);
    if (unboxed->registers == NULL || unboxed->instructions == NULL) {
        PyErr_NoMemory();
        return false;
    }
    memcpy(unboxed->instructions, bytes, (size_t)size);
    return check_instructions(unboxed, size / (Py_ssize_t)sizeof(Instruction));
}

/* The value of a plain number, a bool, None or text, which must live on; false for everything else. */
static bool
take_constant(PyObject *object, Value *value)
{
    if (PyLong_CheckExact(object)) {
        int overflow;
        value_set_integer(value, PyLong_AsLongLongAndOverflow(object, &overflow));
        return overflow == 0;
    }
    if (PyFloat_CheckExact(object)) {
        value_set_real(value, PyFloat_AS_DOUBLE(object));
    } else if (PyBool_Check(object)) {
        value_set_bool(value, object == Py_True);
    } else if (object == Py_None) {
        value_set_none(value);
    } else if (PyUnicode_CheckExact(object) && PyUnicode_IS_ASCII(object) &&
               PyUnicode_GET_LENGTH(object) <= INT32_MAX) {
        value_set_text(value, PyUnicode_1BYTE_DATA(object), (size_t)PyUnicode_GET_LENGTH(object));
    } else {
        return false;
    }
    return true;
}

/* Constants are pairs of register and value. */
static bool
take_constants(Unboxed *unboxed, PyObject *constants)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(constants); i++) {
        PyObject *value;
        int index;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(constants, i), "iO", &index, &value)) {
            return false;
        }
        if (index < 0 || index >= unboxed->n_registers ||
            !take_constant(value, &unboxed->registers[index])) {
            return malformed();
        }
    }
    return true;
}

static bool
take_globals(Unboxed *unboxed, PyObject *globals)
{
    unboxed->globals = calloc((size_t)PyTuple_GET_SIZE(globals) + 1, sizeof(Global));
    if (unboxed->globals == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(globals); i++) {
        Global *global = &unboxed->globals[i];
        PyObject *module, *attribute;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(globals, i), "iUOOO", &global->to, &global->name,
                              &module, &attribute, &global->expected)) {
            return false;
        }
        if (global->to >= unboxed->n_registers || (module != Py_None) != PyUnicode_Check(attribute) ||
            (module != Py_None && !PyModule_CheckExact(module))) {
            return malformed();
        }
        global->module = module == Py_None ? NULL : module;
        global->attribute = module == Py_None ? NULL : attribute;
        unboxed->n_globals = i + 1;
    }
    return true;
}

Unboxed *
unboxed_new(PyObject *program, PyObject *handler, int64_t n_parameters)
{
    const char *bytes;
    Py_ssize_t size;
    int n_registers;
    PyObject *constants, *globals;
    Unboxed *unboxed = calloc(1, sizeof(Unboxed));
    if (unboxed == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (!PyFunction_Check(handler) || !PyTuple_CheckExact(program)) {
        malformed();
    } else if (PyArg_ParseTuple(program, "y#iO!O!", &bytes, &size, &n_registers, &PyTuple_Type,
                                &constants, &PyTuple_Type, &globals)) {
        unboxed->program = Py_NewRef(program);
        unboxed->code = Py_NewRef(PyFunction_GET_CODE(handler));
        if (take_instructions(unboxed, bytes, size, n_registers, n_parameters) &&
            take_constants(unboxed, constants) && take_globals(unboxed, globals)) {
            int64_t count = size / (Py_ssize_t)sizeof(Instruction);
            unboxed->block = block_new(unboxed, count, n_parameters);
            return unboxed;
        }
    }
    unboxed_release(unboxed);
    return NULL;
}

void
unboxed_release(Unboxed *unboxed)
{
    if (unboxed != NULL) {
        block_release(unboxed->block);
        free(unboxed->instructions);
        free(unboxed->registers);
        free(unboxed->globals);
        Py_XDECREF(unboxed->program);
        Py_XDECREF(unboxed->code);
        free(unboxed);
    }
}

/* What a name means in a function, a borrowed reference; NULL if that cannot be told without running code
 * of the user. */
static PyObject *
find_global(PyObject *handler, PyObject *name)
{
    const PyFunctionObject *function = (PyFunctionObject *)handler;
    if (!PyDict_CheckExact(function->func_globals) || !PyDict_CheckExact(function->func_builtins)) {
        return NULL;
    }
    PyObject *found = PyDict_GetItemWithError(function->func_globals, name);
    return found != NULL ? found : PyDict_GetItemWithError(function->func_builtins, name);
}

static bool
global_holds(Unboxed *unboxed, const Global *global, PyObject *handler)
{
    PyObject *found = find_global(handler, global->name);
    if (global->module != NULL) {
        if (found != global->module) {
            return false;
        }
        found = PyDict_GetItemWithError(PyModule_GetDict(found), global->attribute);
    }
    return found != NULL && (global->to < 0 ? found == global->expected
                                            : take_constant(found, &unboxed->registers[global->to]));
}

bool
unboxed_begin(Unboxed *unboxed, PyObject *handler)
{
    if (PyFunction_GET_CODE(handler) != unboxed->code || count_observers() != observers) {
        return false;
    }
    for (int64_t i = 0; i < unboxed->n_globals; i++) {
        if (!global_holds(unboxed, &unboxed->globals[i], handler)) {
            PyErr_Clear();
            return false;
        }
    }
    if (unboxed->block != NULL) {
        block_begin(unboxed->block, unboxed);
    }
    return true;
}
