#include "entropy.h"

#include <Python.h>

#include <unistd.h>

#include "failure.h"
#include "guest.h"

enum { STATE_WORDS = 624 };

/* `RandomObject` of CPython's Modules/_randommodule.c: Mersenne Twister's state. */
typedef struct {
    PyObject_HEAD
    int index;
    uint32_t state[STATE_WORDS];
} Generator;

/* Weak references to generators, while they wait for the fork's seed; NULL once they have it. */
static PyObject *waiting;

bool
entropy_init(void)
{
    PyTypeObject *type = (PyTypeObject *)guest.generator;
    if (!PyList_CheckExact(guest.entropy_sources) || !PyType_Check(guest.generator) || type->tp_basicsize != (Py_ssize_t)sizeof(Generator)) {
        PyErr_SetString(PyExc_SystemError, "the generators are not what the bridge knows");
        return false;
    }
    return true;
}

bool
entropy_arm(void)
{
    PyObject *generators = PyObject_CallNoArgs(guest.unseeded);
    if (generators == NULL || !PyTuple_CheckExact(generators)) {
        Py_XDECREF(generators);
        return false;
    }
    Py_XSETREF(waiting, generators);
    return true;
}

static inline uint64_t
rotated(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

/* The next number of xoshiro256++: quick, and unlike the twister's own recurrence. */
static uint64_t
next_number(uint64_t state[4])
{
    uint64_t result = rotated(state[0] + state[3], 23) + state[0];
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotated(state[3], 45);
    return result;
}

/* Fills the twister's whole state, which takes a tenth of the time of its own seeding. */
static void
seed(Generator *generator, uint64_t numbers[4])
{
    for (int i = 0; i < STATE_WORDS; i += 2) {
        uint64_t number = next_number(numbers);
        generator->state[i] = (uint32_t)number;
        generator->state[i + 1] = (uint32_t)(number >> 32);
    }
    generator->index = STATE_WORDS;
}

static bool
renew(void)
{
    uint64_t numbers[4];
    if (getentropy(numbers, sizeof numbers) != 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return false;
    }
    numbers[0] |= 1; /* a state of zeros would stay one */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(waiting); i++) {
        PyObject *generator;
        if (PyWeakref_GetRef(PyTuple_GET_ITEM(waiting, i), &generator) < 0) {
            return false;
        }
        if (generator != NULL && PyObject_TypeCheck(generator, (PyTypeObject *)guest.generator)) {
            seed((Generator *)generator, numbers);
        }
        Py_XDECREF(generator);
    }
    if (PyList_GET_SIZE(guest.entropy_sources) == 0) {
        return true;
    }
    PyObject *result = PyObject_CallNoArgs(guest.reseed);
    Py_XDECREF(result);
    return result != NULL;
}

bool
entropy_renew(void)
{
    if (waiting == NULL) {
        return true;
    }
    if (!renew()) {
        failure_from_exception(FAILURE_INTERNAL);
        return false;
    }
    Py_CLEAR(waiting);
    return true;
}
