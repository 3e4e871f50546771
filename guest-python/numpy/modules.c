/* Registers NumPy's extension modules, and stands in for what its C++ code lacks here. */
#include <Python.h>

#define MODULES(X)                                                                                  \
    X("numpy._core._multiarray_umath", PyInit__multiarray_umath)                                    \
    X("numpy.fft._pocketfft_umath", PyInit__pocketfft_umath)                                        \
    X("numpy.linalg._umath_linalg", PyInit__umath_linalg)                                           \
    X("numpy.random._bounded_integers", PyInit__bounded_integers)                                   \
    X("numpy.random._common", PyInit__common)                                                       \
    X("numpy.random._generator", PyInit__generator)                                                 \
    X("numpy.random._mt19937", PyInit__mt19937)                                                     \
    X("numpy.random._pcg64", PyInit__pcg64)                                                         \
    X("numpy.random._philox", PyInit__philox)                                                       \
    X("numpy.random._sfc64", PyInit__sfc64)                                                         \
    X("numpy.random.bit_generator", PyInit_bit_generator)                                           \
    X("numpy.random.mtrand", PyInit_mtrand)

#define DECLARE(name, init) PyObject *init(void);
MODULES(DECLARE)

/* Makes them built-in modules before the interpreter starts. The rest of the guest does not refer to
 * this file: it is in the module or not. */
__attribute__((constructor)) static void
register_modules(void)
{
#define ENTRY(name, init) {name, init},
    static struct _inittab modules[] = {MODULES(ENTRY){NULL, NULL}};
    if (PyImport_ExtendInittab(modules) != 0) {
        __builtin_trap(); /* no memory, before anything has run */
    }
}

/* C++ exceptions cannot be thrown: NumPy's C++ code throws when memory is exhausted, and for
 * arguments that its Python code has refused before. The instance ends, as with any trap. */
void *
__cxa_allocate_exception(size_t size)
{
    (void)size;
    __builtin_trap();
}

_Noreturn void
__cxa_throw(void *exception, void *type, void (*destroy)(void *))
{
    (void)exception;
    (void)type;
    (void)destroy;
    __builtin_trap();
}
